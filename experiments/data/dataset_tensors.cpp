#include "experiments/data/dataset_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "autodiff/error.h"
#include "experiments/config/version.h"
#include "experiments/data/observation_csv.h"
#include "models/dataset_checks.h"
#include "nn/safetensors.h"

namespace levda::experiments {

using autodiff::DType;
using autodiff::Shape;
using autodiff::Tensor;
using Json = nlohmann::ordered_json;

namespace {

constexpr const char* format_name = "levda-dataset-1";

std::string metadata(const std::filesystem::path& path, const nn::TensorFile& file, const char* key) {
  const auto entry = file.metadata.find(key);
  if (entry == file.metadata.end()) throw InputError(path.string(), key, "missing from the metadata");
  return entry->second;
}

/// Reads a file entry by entry; every complaint names one.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : path_(path), file_(nn::read_safetensors(path)) {
    if (metadata(path_, file_, "format") != format_name)
      fail("format", fmt::format("not a data set (\"{}\" expected)", format_name));
  }

  Dataset read() {
    set_.fingerprint = metadata(path_, file_, "levda_configuration");
    read_description();
    const models::Description& about = set_.about;
    const std::int64_t members = set_.members();
    const std::int64_t c = about.channels();
    set_.parameters = doubles("parameters", {members, about.parameters()});
    set_.fields = floats("field", {members, about.frames, c, about.grid.ny, about.grid.nx});
    if (file_.tensors.contains("between_field")) {
      BetweenFrames& between = set_.between;
      const std::int64_t intervals = about.frames - 1;
      const Shape shape = file_.tensors.at("between_field").shape();
      between.points = shape.rank() == 4 ? shape[2] : 0;
      between.fraction = doubles("between_fraction", {members, intervals});
      between.x = floats("between_x", {members, intervals, between.points});
      between.y = floats("between_y", {members, intervals, between.points});
      between.values = floats("between_field", {members, intervals, between.points, c});
    }
    const std::string source = path_.string();
    note_others();
    models::settle_outline(set_, members, c, source);
    models::check_between(set_.between, about, members, source);
    models::FieldSummary summary(set_);
    set_.each_member(0, members, [&](std::int64_t, std::span<const float> fields) { summary.add(fields, source); });
    summary.finish(source);
    return std::move(set_);
  }

 private:
  [[noreturn]] void fail(const std::string& entry, const std::string& message) const {
    throw InputError(path_.string(), entry, message);
  }

  /// Names what is not read.
  void note_others() const {
    constexpr std::array tensors{"parameters", "field", "between_fraction", "between_x", "between_y", "between_field"};
    constexpr std::array keys{"case",
                              "parameter_names",
                              "parameter_units",
                              "parameter_min",
                              "parameter_max",
                              "channel_names",
                              "channel_units",
                              "nx",
                              "ny",
                              "x0",
                              "y0",
                              "dx",
                              "dy",
                              "geometry",
                              "offset_x",
                              "offset_y",
                              "frames",
                              "first_time",
                              "frame_interval",
                              "time_unit",
                              "place_unit",
                              "train",
                              "valid",
                              "test"};
    std::vector<std::string> names;
    for (const auto& [name, tensor] : file_.tensors)
      if (std::find(tensors.begin(), tensors.end(), name) == tensors.end()) names.push_back(name);
    const Json description = Json::parse(metadata(path_, file_, "description"), nullptr, false);
    for (const auto& [key, value] : description.items())
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) names.push_back("description:" + key);
    note_unread(path_.string(), names);
  }

  void read_description() {
    models::Description& about = set_.about;
    models::Grid& grid = about.grid;
    const Json json = Json::parse(metadata(path_, file_, "description"), nullptr, false);
    try {
      json.at("case").get_to(about.case_name);
      json.at("parameter_names").get_to(about.parameter_names);
      json.at("parameter_units").get_to(about.parameter_units);
      json.at("parameter_min").get_to(about.parameter_min);
      json.at("parameter_max").get_to(about.parameter_max);
      json.at("channel_names").get_to(about.channel_names);
      json.at("channel_units").get_to(about.channel_units);
      json.at("nx").get_to(grid.nx);
      json.at("ny").get_to(grid.ny);
      json.at("x0").get_to(grid.x0);
      json.at("y0").get_to(grid.y0);
      json.at("dx").get_to(grid.dx);
      json.at("dy").get_to(grid.dy);
      const auto geometry = choice_of<models::Geometry>(json.value("geometry", "plane"));
      if (!geometry) fail("description", "geometry is none of " + choice_names<models::Geometry>());
      grid.geometry = *geometry;
      json.at("offset_x").get_to(grid.offset_x);
      json.at("offset_y").get_to(grid.offset_y);
      json.at("frames").get_to(about.frames);
      json.at("first_time").get_to(about.first_time);
      json.at("frame_interval").get_to(about.frame_interval);
      json.at("time_unit").get_to(about.time_unit);
      json.at("place_unit").get_to(about.place_unit);
      json.at("train").get_to(set_.train);
      json.at("valid").get_to(set_.valid);
      json.at("test").get_to(set_.test);
    } catch (const Json::exception& error) {
      fail("description", error.what());
    }
    constexpr std::int64_t most = 1'000'000'000;
    for (const std::int64_t extent : {grid.nx, grid.ny, about.frames, set_.train, set_.valid, set_.test})
      if (extent < 1 || extent > most) fail("description", fmt::format("{} is not in 1 .. {}", extent, most));
  }

  const Tensor& tensor(const std::string& name, const Shape& shape, DType dtype) const {
    const auto entry = file_.tensors.find(name);
    if (entry == file_.tensors.end()) fail(name, "no such tensor");
    const Tensor& found = entry->second;
    if (found.shape() != shape || found.dtype() != dtype)
      fail(name, fmt::format("{} {}, where {} {} is needed", autodiff::name(found.dtype()), found.shape().text(),
                             autodiff::name(dtype), shape.text()));
    return found;
  }
  std::vector<float> floats(const std::string& name, const Shape& shape) const {
    return tensor(name, shape, DType::float32).to_floats();
  }
  std::vector<double> doubles(const std::string& name, const Shape& shape) const {
    return tensor(name, shape, DType::float64).to_vector();
  }

  std::filesystem::path path_;
  nn::TensorFile file_;
  Dataset set_;
};

}  // namespace

void write_dataset_tensors(const std::filesystem::path& path, const Dataset& set) {
  const models::Description& about = set.about;
  const models::Grid& grid = about.grid;
  if (grid.listed() || set.varying) throw InputError(path.string(), "", "only gridded sets with constant parameters");
  const std::int64_t members = set.members();
  const std::int64_t c = about.channels();
  const Json description{{"case", about.case_name},
                         {"parameter_names", about.parameter_names},
                         {"parameter_units", about.parameter_units},
                         {"parameter_min", about.parameter_min},
                         {"parameter_max", about.parameter_max},
                         {"channel_names", about.channel_names},
                         {"channel_units", about.channel_units},
                         {"nx", grid.nx},
                         {"ny", grid.ny},
                         {"x0", grid.x0},
                         {"y0", grid.y0},
                         {"dx", grid.dx},
                         {"dy", grid.dy},
                         {"geometry", name_of(grid.geometry)},
                         {"offset_x", grid.offset_x},
                         {"offset_y", grid.offset_y},
                         {"frames", about.frames},
                         {"first_time", about.first_time},
                         {"frame_interval", about.frame_interval},
                         {"time_unit", about.time_unit},
                         {"place_unit", about.place_unit},
                         {"train", set.train},
                         {"valid", set.valid},
                         {"test", set.test}};
  nn::TensorFile file;
  file.metadata = {{"format", format_name},
                   {"levda_configuration", set.fingerprint},
                   {"source", "levda " + version()},
                   {"description", description.dump()}};
  const auto add = [&](const char* name, const auto& values, const Shape& shape) {
    using T = typename std::decay_t<decltype(values)>::value_type;
    file.tensors[name] = Tensor::from(std::span<const T>(values), shape);
  };
  add("parameters", set.parameters, {members, about.parameters()});
  add("field", set.fields, {members, about.frames, c, grid.ny, grid.nx});
  if (const BetweenFrames& between = set.between; between.points > 0) {
    const std::int64_t intervals = about.frames - 1;
    add("between_fraction", between.fraction, {members, intervals});
    add("between_x", between.x, {members, intervals, between.points});
    add("between_y", between.y, {members, intervals, between.points});
    add("between_field", between.values, {members, intervals, between.points, c});
  }
  nn::write_safetensors(path, file);
}

Dataset read_dataset_tensors(const std::filesystem::path& path) { return Reader(path).read(); }

std::string fingerprint_of_tensors(const std::filesystem::path& path) {
  return metadata(path, nn::read_safetensors(path), "levda_configuration");
}

}  // namespace levda::experiments
