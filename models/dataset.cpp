#include "models/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "autodiff/error.h"
#include "models/dataset_checks.h"

namespace levda::models {

std::span<const double> Dataset::parameters_of(std::int64_t member) const {
  const auto each = static_cast<std::size_t>(about.parameters() * (varying ? about.frames : 1));
  return std::span(parameters).subspan(static_cast<std::size_t>(member) * each, each);
}

std::span<const double> Dataset::parameters_at(std::int64_t member, std::int64_t frame) const {
  const auto p = static_cast<std::size_t>(about.parameters());
  return parameters_of(member).subspan(varying ? static_cast<std::size_t>(frame) * p : 0, p);
}

std::span<const float> Dataset::frame(std::int64_t member, std::int64_t frame) const {
  const auto size = static_cast<std::size_t>(frame_size());
  if (member < in_memory) throw Error(fmt::format("the fields of trajectory {} are not in memory", member));
  return std::span(fields).subspan(static_cast<std::size_t>((member - in_memory) * about.frames + frame) * size, size);
}

void Dataset::each_member(std::int64_t first, std::int64_t last, const MemberVisitor& f) const {
  if (first < std::min(last, in_memory)) {
    if (!read) throw Error(fmt::format("the fields of trajectory {} are not in memory", first));
    read(first, std::min(last, in_memory), f);
  }
  const auto size = static_cast<std::size_t>(about.frames * frame_size());
  for (std::int64_t member = std::max(first, in_memory); member < last; ++member)
    f(member, std::span(fields).subspan(static_cast<std::size_t>(member - in_memory) * size, size));
}

Dataset make_dataset(Dataset set, std::int64_t members, std::span<const std::uint8_t> missing) {
  const std::string source = "data set";
  Description& about = set.about;
  const auto fail = [&](const char* field, const std::string& message) { throw InputError(source, field, message); };
  if (members < 1) fail("members", fmt::format("{}, at least 1 is needed", members));
  if (about.frames < 2) fail("frames", fmt::format("{}, at least 2 are needed", about.frames));
  const Grid& grid = about.grid;
  if (grid.nx < 1 || grid.ny < 1) fail("grid", fmt::format("{} x {} nodes", grid.nx, grid.ny));
  const auto per_channel = static_cast<std::size_t>(members * about.frames * grid.cells());
  const std::size_t channels = set.fields.size() / per_channel;
  if (channels < 1 || set.fields.size() % per_channel != 0)
    fail("field", fmt::format("{} values, no multiple of {} members x {} frames x {} nodes", set.fields.size(), members,
                              about.frames, grid.cells()));
  if (!missing.empty() && missing.size() != set.fields.size())
    fail("missing", fmt::format("{} values for {} of field", missing.size(), set.fields.size()));
  for (std::size_t i = 0; i < missing.size(); ++i)
    if (missing[i] != 0) set.fields[i] = std::numeric_limits<float>::quiet_NaN();
  settle_outline(set, members, static_cast<std::int64_t>(channels), source);
  check_between(set.between, about, members, source);
  FieldSummary summary(set);
  set.each_member(0, members, [&](std::int64_t, std::span<const float> fields) { summary.add(fields, source); });
  summary.finish(source);
  return set;
}

Moments field_moments(const Dataset& data) {
  if (data.moments) return *data.moments;
  MomentSums sums(data.about);
  for (std::int64_t member = 0; member < data.train; ++member)
    for (std::int64_t frame = 0; frame < data.about.frames; ++frame) sums.add(data.frame(member, frame));
  return sums.moments();
}

namespace {

bool any_missing(std::span<const float> values) {
  return std::any_of(values.begin(), values.end(), [](float value) { return std::isnan(value); });
}

}  // namespace

bool has_missing(const Dataset& data) { return data.left_missing || any_missing(data.fields); }

bool training_has_missing(const Dataset& data) {
  if (data.pool.points > 0) return any_missing(data.pool.values);
  return any_missing(
      std::span(data.fields).first(static_cast<std::size_t>(data.train * data.about.frames * data.frame_size())));
}

}  // namespace levda::models
