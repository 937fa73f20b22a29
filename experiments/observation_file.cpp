#include "experiments/observation_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

#include "autodiff/error.h"
#include "experiments/netcdf_file.h"
#include "experiments/observation_csv.h"
#include "experiments/version.h"
#include "nn/atomic_file.h"

namespace levda::experiments {

namespace {

constexpr const char* format_name = "levda-observations-1";

}  // namespace

void write_observations(const std::filesystem::path& path, const ObservationFile& content,
                        const models::Description& about) {
  const da::Observations& o = content.observations;
  NetcdfWriter file(path);
  file.attribute("Conventions", "CF-1.10");
  file.attribute("title", about.case_name + " observations, one row per value");
  file.attribute("source", "levda " + version());
  file.attribute("levda_format", format_name);
  file.attribute("levda_configuration", content.fingerprint);
  file.attribute("experiment", content.experiment);
  if (content.truth) {
    file.attribute("truth_index", content.truth->index);
    file.attribute("truth_member", content.truth->member);
    file.attribute("truth_start_frame", content.truth->start);
  }
  file.dimension("row", o.size());
  file.dimension("channel_list", about.channels());
  file.write_strings("channel_name", "channel_list", about.channel_names);
  const auto column = [&](const std::string& name, Type type, const Attributes& attributes, const auto& values) {
    file.variable(name, type, {"row"}, attributes);
    file.write(name, values);
  };
  column("time", Type::Float64, {{"units", about.time_unit}, {"long_name", "time after the start of the assimilation"}},
         o.time);
  column("x", Type::Float64, {{"units", about.place_unit}, {"long_name", "place of the value, eastward"}}, o.x);
  column("y", Type::Float64, {{"units", about.place_unit}, {"long_name", "place of the value, northward"}}, o.y);
  column("channel", Type::Int64, {{"long_name", "position in channel_name"}}, o.channel);
  column("value", Type::Float64, {{"long_name", "observed value, in the channel's unit"}}, o.value);
  column("error_std", Type::Float64, {{"long_name", "standard deviation of the error, in the channel's unit"}},
         o.error_std);
  column("qc", Type::Int32,
         {{"long_name", "quality control"},
          {"comment", "0 used, 4 operator failed, 5 not to be assimilated, 6 rejected before, 7 outlier"}},
         o.qc);
  if (!content.gross.empty())
    column("gross", Type::Int32, {{"long_name", "1: this value was given a gross error; no method is told"}},
           content.gross);
  file.commit();
}

namespace {

/// Whether two names are of one unit: "hours since .." is hours, seconds are s, metres are m.
bool equal_units(const std::string& a, const std::string& b) {
  const auto plain = [](const std::string& unit) {
    const std::string name = unit.substr(0, unit.find(" since "));
    if (name == "second" || name == "seconds" || name == "sec") return std::string("s");
    if (name == "metre" || name == "metres" || name == "meter" || name == "meters") return std::string("m");
    return name;
  };
  return plain(a) == plain(b);
}

ObservationFile read_netcdf(const std::filesystem::path& path, const models::Description& about) {
  const NetcdfReader file(path);
  const std::string source = path.string();
  if (file.has_attribute("levda_format") && file.text("levda_format") != format_name)
    throw InputError(source, "levda_format", fmt::format("not a file of observations (\"{}\" expected)", format_name));
  if (!file.has_variable("value")) throw InputError(source, "value", "no such variable: not a file of observations");
  const std::vector<std::int64_t> shape = file.shape("value");
  if (shape.size() != 1) throw InputError(source, "value", "one dimension is needed, one entry per observation");
  const std::int64_t rows = shape[0];
  ObservationFile content;
  if (file.has_attribute("experiment")) content.experiment = file.text("experiment");
  content.fingerprint = file.has_attribute("levda_configuration") ? file.text("levda_configuration") : "";
  const auto whole = [&](const std::string& name, double least) {
    const double value = file.number(name);
    constexpr double most = 1e9;
    if (!(value >= least && value <= most))
      throw InputError(source, name, fmt::format("{} is not in {} .. {}", value, least, most));
    return static_cast<std::int64_t>(value);
  };
  if (file.has_attribute("truth_member"))
    content.truth = Truth{
        .index = whole("truth_index", 0), .member = whole("truth_member", 0), .start = whole("truth_start_frame", -1)};

  const auto numbers = [&](const std::string& name) {
    file.require_shape(name, {rows});
    return file.read_unpacked<double>(name);
  };
  const auto same_unit = [&](const char* name, const std::string& wanted) {
    if (!file.has_variable(name) || !file.has_attribute(name, "units")) return;
    const std::string unit = file.text(name, "units");
    if (!equal_units(unit, wanted))
      throw InputError(source, std::string(name) + ":units",
                       fmt::format("\"{}\", where the surrogate has \"{}\"", unit, wanted));
  };
  same_unit("time", about.time_unit);
  same_unit("x", about.place_unit);
  same_unit("y", about.place_unit);
  da::Observations& o = content.observations;
  o.time = numbers("time");
  o.x = numbers("x");
  if (file.has_variable("y") || about.grid.height() > 0)
    o.y = numbers("y");
  else
    o.y.assign(o.x.size(), 0.0);
  o.value = numbers("value");
  o.error_std = numbers("error_std");
  if (file.has_variable("qc")) {
    file.require_shape("qc", {rows});
    o.qc = file.read<std::int32_t>("qc");
  } else {
    o.qc.assign(o.value.size(), da::used);
  }
  if (content.truth && file.has_variable("gross")) {
    file.require_shape("gross", {rows});
    content.gross = file.read<std::int32_t>("gross");
  }
  file.require_shape("channel", {rows});
  // Channels by name where there are names: the file's order need not be the surrogate's.
  std::vector<std::string> names = about.channel_names;
  if (file.has_variable("channel_name")) names = file.read_strings("channel_name");
  const auto find = [&](const std::string& name, const char* field) {
    const auto known = std::find(about.channel_names.begin(), about.channel_names.end(), name);
    if (known == about.channel_names.end())
      throw InputError(
          source, field,
          fmt::format("\"{}\" is not a channel of the surrogate ({})", name, fmt::join(about.channel_names, ", ")));
    return static_cast<std::int64_t>(known - about.channel_names.begin());
  };
  if (file.holds_strings("channel")) {
    for (const std::string& name : file.read_strings("channel")) o.channel.push_back(find(name, "channel"));
    return content;
  }
  o.channel = file.read<std::int64_t>("channel");
  for (std::int64_t i = 0; i < rows; ++i) {
    std::int64_t& c = o.channel[i];
    if (c < 0 || c >= static_cast<std::int64_t>(names.size()))
      throw InputError(source, "channel", fmt::format("row {}: {} is not in 0 .. {}", i, c, names.size() - 1));
    c = find(names[c], "channel_name");
  }
  return content;
}

}  // namespace

ObservationFile read_observations(const std::filesystem::path& path, const models::Description& about,
                                  double last_time) {
  const std::string source = path.string();
  ObservationFile content;
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (extension == ".csv")
    content.observations = parse_observations_csv(nn::read_text_file(path), source, about);
  else
    content = read_netcdf(path, about);
  if (!content.experiment.empty() && content.experiment != "warm" && content.experiment != "cold")
    throw InputError(source, "experiment", fmt::format("\"{}\" is neither warm nor cold", content.experiment));
  const da::Observations& o = content.observations;
  da::check(o, source, last_time, about.channels());
  const models::Grid& grid = about.grid;
  const auto outside = [&](const char* column, std::int64_t row, double place, double first, double extent) {
    throw InputError(source, column,
                     fmt::format("row {}: {} {} is outside the domain, {} to {} {}", row, place, about.place_unit,
                                 first, first + extent, about.place_unit));
  };
  for (std::int64_t i = 0; i < o.size(); ++i) {
    if (o.qc[i] != da::used) continue;
    const std::int64_t c = o.channel[i];
    if (!grid.contains_x(o.x[i] - grid.offset_x[c] * grid.dx)) outside("x", i, o.x[i], grid.x0, grid.width());
    if (!grid.contains_y(o.y[i] - grid.offset_y[c] * grid.dy)) outside("y", i, o.y[i], grid.y0, grid.height());
  }
  return content;
}

}  // namespace levda::experiments
