#include "experiments/observation_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "autodiff/error.h"
#include "experiments/netcdf_file.h"
#include "experiments/version.h"

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
  column("time", Type::Float64, {{"units", "s"}, {"long_name", "time after the start of the assimilation"}}, o.time);
  column("x", Type::Float64, {{"units", "m"}, {"long_name", "place of the value, eastward"}}, o.x);
  column("y", Type::Float64, {{"units", "m"}, {"long_name", "place of the value, northward"}}, o.y);
  column("channel", Type::Int64, {{"long_name", "position in channel_name"}}, o.channel);
  column("value", Type::Float64, {{"long_name", "observed value, in the channel's unit"}}, o.value);
  column("error_std", Type::Float64, {{"long_name", "standard deviation of the error, in the channel's unit"}},
         o.error_std);
  column("qc", Type::Int32,
         {{"long_name", "quality control"},
          {"comment", "0 used, 4 operator failed, 5 not to be assimilated, 6 rejected before, 7 outlier"}},
         o.qc);
  file.commit();
}

ObservationFile read_observations(const std::filesystem::path& path, const models::Description& about,
                                  double last_time) {
  const NetcdfReader file(path);
  const std::string source = path.string();
  if (!file.has_attribute("levda_format") || file.text("levda_format") != format_name)
    throw InputError(source, "levda_format", fmt::format("not a file of observations (\"{}\" expected)", format_name));
  const std::int64_t rows = file.dimension("row");
  const auto read = [&]<typename T>(const std::string& name, std::vector<T>& column) {
    file.require_shape(name, {rows});
    column = file.read<T>(name);
  };
  ObservationFile content;
  content.experiment = file.text("experiment");
  if (content.experiment != "warm" && content.experiment != "cold")
    throw InputError(source, "experiment", fmt::format("\"{}\" is neither warm nor cold", content.experiment));
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
  da::Observations& o = content.observations;
  read("time", o.time);
  read("x", o.x);
  read("y", o.y);
  read("channel", o.channel);
  read("value", o.value);
  read("error_std", o.error_std);
  read("qc", o.qc);
  // Channels by name: the file's order need not be the surrogate's.
  const std::vector<std::string> names = file.read_strings("channel_name");
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t c = o.channel[i];
    if (c < 0 || c >= static_cast<std::int64_t>(names.size()))
      throw InputError(source, "channel", fmt::format("row {}: {} is not in 0 .. {}", i, c, names.size() - 1));
    const auto known = std::find(about.channel_names.begin(), about.channel_names.end(), names[c]);
    if (known == about.channel_names.end())
      throw InputError(
          source, "channel_name",
          fmt::format("\"{}\" is not a channel of the surrogate ({})", names[c], fmt::join(about.channel_names, ", ")));
    o.channel[i] = known - about.channel_names.begin();
  }
  da::check(o, source, last_time, about.channels());
  const models::Grid& grid = about.grid;
  const auto inside = [&](const char* column, std::int64_t row, double place, double first, double step,
                          std::int64_t n) {
    const double cells = (place - first) / step;
    if (!(cells >= -1 && cells <= static_cast<double>(n)))
      throw InputError(source, column,
                       fmt::format("row {}: {} m is outside the domain, {} to {} m", row, place, first,
                                   first + static_cast<double>(n - 1) * step));
  };
  for (std::int64_t i = 0; i < rows; ++i) {
    if (o.qc[i] != da::used) continue;
    inside("x", i, o.x[i], grid.x0, grid.dx, grid.nx);
    inside("y", i, o.y[i], grid.y0, grid.dy, grid.ny);
  }
  return content;
}

}  // namespace levda::experiments
