#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <tuple>

#include "autodiff/error.h"
#include "experiments/config/version.h"
#include "experiments/data/dataset_file.h"
#include "experiments/data/dataset_format.h"
#include "experiments/data/dataset_tensors.h"
#include "experiments/data/netcdf_file.h"
#include "models/checksum.h"

namespace levda::experiments {

namespace {

std::vector<double> axis(double first, double step, std::int64_t count) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(first + static_cast<double>(i) * step);
  return values;
}

/// All but the values.
void write_outline(NetcdfWriter& file, const Dataset& set, const char* format) {
  const models::Description& about = set.about;
  const models::Grid& grid = about.grid;
  file.attribute("Conventions", "CF-1.10");
  file.attribute("title", about.case_name + " trajectories");
  file.attribute("source", "levda " + version());
  file.attribute("levda_format", format);
  file.attribute(fingerprint_name, set.fingerprint);
  file.attribute("case", about.case_name);
  file.attribute(geometry_name, std::string(name_of(grid.geometry)));
  file.attribute("first_time", about.first_time);
  file.attribute("frame_interval", about.frame_interval);

  file.dimension("member", set.members());
  file.dimension("time", about.frames);
  file.dimension("channel", about.channels());
  file.dimension("y", grid.ny);
  file.dimension("x", grid.nx);
  file.dimension("parameter", about.parameters());

  file.variable(
      "time", Type::Float64, {"time"},
      {{"standard_name", "time"}, {"units", about.time_unit}, {"long_name", "time after the initial condition"}});
  file.write("time", axis(about.first_time, about.frame_interval, about.frames));
  for (const auto& [name, first, step, count] :
       {std::tuple{"x", grid.x0, grid.dx, grid.nx}, std::tuple{"y", grid.y0, grid.dy, grid.ny}}) {
    file.variable(name, Type::Float64, {name},
                  {{"units", about.place_unit},
                   {"axis", name == std::string("x") ? "X" : "Y"},
                   {"long_name", "position of nodes"}});
    file.write(name, axis(first, step, count));
  }
  file.write_strings("channel_name", "channel", about.channel_names);
  file.write_strings("channel_units", "channel", about.channel_units);
  file.variable("offset_x", Type::Float64, {"channel"},
                {{"units", "1"}, {"long_name", "place of the channel in a cell, in cells east of the node"}});
  file.write("offset_x", grid.offset_x);
  file.variable("offset_y", Type::Float64, {"channel"},
                {{"units", "1"}, {"long_name", "place of the channel in a cell, in cells north of the node"}});
  file.write("offset_y", grid.offset_y);
  file.write_strings("parameter_name", "parameter", about.parameter_names);
  file.write_strings("parameter_units", "parameter", about.parameter_units);
  file.variable("parameter_min", Type::Float64, {"parameter"}, {{"long_name", "prior range, lower end"}});
  file.write("parameter_min", about.parameter_min);
  file.variable("parameter_max", Type::Float64, {"parameter"}, {{"long_name", "prior range, upper end"}});
  file.write("parameter_max", about.parameter_max);
  file.variable("parameters", Type::Float64, {"member", "parameter"},
                {{"long_name", "parameters of the member, units in parameter_units"}});
  file.write("parameters", set.parameters);
}

void write_values(NetcdfWriter& file, const Dataset& set) {
  const models::Description& about = set.about;
  const models::Grid& grid = about.grid;
  // A chunk is a frame. In smooth float32 fields only the bytes of the exponents compress; higher levels gain nothing.
  file.variable("field", Type::Float32, {"member", "time", "channel", "y", "x"},
                {{"long_name", "state, channels in channel_name, units in channel_units"}},
                {.deflate = 1, .chunk = {1, 1, about.channels(), grid.ny, grid.nx}});
  file.write("field", set.fields);
  if (const BetweenFrames& between = set.between; between.points > 0) {
    file.dimension("interval", about.frames - 1);
    file.dimension("place", between.points);
    file.variable("between_fraction", Type::Float64, {"member", "interval"},
                  {{"units", "1"}, {"long_name", "time between frames: share of the interval after frame `interval`"}});
    file.write("between_fraction", between.fraction);
    file.variable(
        "between_x", Type::Float32, {"member", "interval", "place"},
        {{"units", about.place_unit}, {"long_name", "place of the node; channels lie at offset_x, offset_y from it"}});
    file.write("between_x", between.x);
    file.variable(
        "between_y", Type::Float32, {"member", "interval", "place"},
        {{"units", about.place_unit}, {"long_name", "place of the node; channels lie at offset_x, offset_y from it"}});
    file.write("between_y", between.y);
    file.variable("between_field", Type::Float32, {"member", "interval", "place", "channel"},
                  {{"long_name", "state between frames and between nodes, units in channel_units"}});
    file.write("between_field", between.values);
  }
  file.variable(checksum_name, Type::Int64, {"member"},
                {{"long_name", "FNV-1a of the member's bytes: field, then between_fraction, _x, _y, _field"}});
  file.write(checksum_name, member_checksums(set));
}

void write_members(NetcdfWriter& file, const Dataset& set) {
  file.attribute("train", set.train);
  file.attribute("valid", set.valid);
  file.attribute("test", set.test);
  if (!set.interpolation) return;
  const InterpolationError& error = *set.interpolation;
  const std::array values{error.all, error.first, error.last};
  for (std::size_t i = 0; i < values.size(); ++i) file.attribute(interpolation_names[i], values[i]);
}

}  // namespace

std::string dataset_name() { return has_netcdf() ? "data.nc" : "data.safetensors"; }

void write_dataset(const std::filesystem::path& path, const Dataset& set) {
  if (holds_tensors(path)) return write_dataset_tensors(path, set);
  if (set.about.grid.listed() || set.varying)
    throw InputError(path.string(), "", "only gridded sets with constant parameters");
  NetcdfWriter file(path);
  write_outline(file, set, dataset_format);
  write_members(file, set);
  write_values(file, set);
  file.commit();
}

void write_shard(const std::filesystem::path& path, const Dataset& part, std::int64_t first) {
  NetcdfWriter file(path);
  write_outline(file, part, shard_format);
  file.attribute(first_member_name, first);
  write_values(file, part);
  file.commit();
}

void write_index(const std::filesystem::path& path, const Dataset& outline, const std::vector<Shard>& shards) {
  NetcdfWriter file(path);
  write_outline(file, outline, dataset_format);
  write_members(file, outline);
  std::vector<std::string> names;
  std::vector<std::int64_t> members;
  for (const Shard& shard : shards) {
    names.push_back(shard.name);
    members.push_back(shard.members);
  }
  file.dimension(shards_name, static_cast<std::int64_t>(shards.size()));
  file.write_strings(shards_name, shards_name, names);
  file.variable(shard_members_name, Type::Int64, {shards_name},
                {{"long_name", "members in the file `shard`, which lies beside this one"}});
  file.write(shard_members_name, members);
  file.commit();
}

std::vector<std::int64_t> member_checksums(const Dataset& data) {
  const BetweenFrames& between = data.between;
  const std::int64_t intervals = between.points > 0 ? data.about.frames - 1 : 0;
  std::vector<std::int64_t> sums(static_cast<std::size_t>(data.members()));
  oneapi::tbb::parallel_for(std::int64_t{0}, data.members(), [&](std::int64_t member) {
    models::Checksum sum;
    const auto add = [&]<typename T>(const std::vector<T>& of_all, std::int64_t each) {
      sum.add(std::span(of_all).subspan(static_cast<std::size_t>(member * each), static_cast<std::size_t>(each)));
    };
    add(data.fields, data.about.frames * data.frame_size());
    add(between.fraction, intervals);
    add(between.x, intervals * between.points);
    add(between.y, intervals * between.points);
    add(between.values, intervals * between.points * data.about.channels());
    sums[static_cast<std::size_t>(member)] = static_cast<std::int64_t>(sum.value());
  });
  return sums;
}

}  // namespace levda::experiments
