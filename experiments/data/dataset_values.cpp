#include "experiments/data/dataset_values.h"

#include <algorithm>
#include <memory>

#include "experiments/data/units.h"
#include "models/dataset_checks.h"

namespace levda::experiments {

namespace {

void read_between(const DatasetFile& file, Dataset& part) {
  const models::Description& about = part.about;
  if (!file.has_variable("between_field")) return;
  const std::int64_t members = part.members();
  const std::int64_t intervals = about.frames - 1;
  BetweenFrames& between = part.between;
  between.points = file.dimension("place");
  for (const auto& [name, unit] : {std::pair{"between_fraction", std::string("1")},
                                   {"between_x", about.place_unit},
                                   {"between_y", about.unit_y()}})
    if (file.has_variable(name) && file.has_attribute(name, "units")) {
      const std::optional<Conversion> same = conversion(file.text(name, "units"), unit);
      if (!same || same->changes()) file.fail(std::string(name) + ":units", fmt::format("not \"{}\"", unit));
    }
  between.fraction = file.finite<double>("between_fraction", {members, intervals});
  between.x = file.finite<float>("between_x", {members, intervals, between.points});
  between.y = file.finite<float>("between_y", {members, intervals, between.points});
  between.values = file.finite<float>("between_field", {members, intervals, between.points, about.channels()});
  models::check_between(between, about, members, file.source());
}

}  // namespace

Dataset values_of(const DatasetFile& file, const Dataset& outline, std::int64_t first, std::int64_t members) {
  const models::Description& about = outline.about;
  Dataset part{.about = about,
               .train = members,
               .valid = 0,
               .test = 0,
               .varying = outline.varying,
               .parameters = {},
               .fields = {},
               .between = {},
               .fingerprint = {}};
  part.fields = file.read_unpacked<float>("field");
  read_between(file, part);
  if (file.has_attribute("levda_format") && file.has_variable(checksum_name)) {
    file.require_shape(checksum_name, {members});
    const std::vector<std::int64_t> expected = file.read<std::int64_t>(checksum_name);
    const std::vector<std::int64_t> found = member_checksums(part);
    const auto damaged = std::mismatch(expected.begin(), expected.end(), found.begin()).first;
    if (damaged != expected.end())
      file.fail(checksum_name, fmt::format("the values of member {} are damaged; levda generate makes them anew",
                                           first + (damaged - expected.begin())));
  }
  return part;
}

Dataset read_shard(const std::filesystem::path& path, const Dataset& outline, std::int64_t first,
                   std::int64_t members) {
  const std::unique_ptr<const DatasetFile> opened = [&] {
    try {
      return std::make_unique<const DatasetFile>(path);
    } catch (const InputError& error) {
      const std::string message = std::string(error.what()).substr(path.string().size() + 2);
      throw InputError(path.string(), "", message + "; levda generate makes this shard anew");
    }
  }();
  const DatasetFile& file = *opened;
  if (!file.has_attribute("levda_format") || file.text("levda_format") != shard_format)
    file.fail("levda_format", fmt::format("not a shard of a data set (\"{}\" expected)", shard_format));
  if (!file.has_attribute(fingerprint_name) || file.text(fingerprint_name) != outline.fingerprint)
    file.fail(fingerprint_name, "of another data set");
  if (!file.has_attribute(first_member_name) || file.number(first_member_name) != static_cast<double>(first))
    file.fail(first_member_name, fmt::format("is not {}", first));
  const models::Description& about = outline.about;
  file.require_shape("field", {members, about.frames, about.channels(), about.grid.ny, about.grid.nx});
  return values_of(file, outline, first, members);
}

}  // namespace levda::experiments
