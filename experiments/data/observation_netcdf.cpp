#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "autodiff/error.h"
#include "experiments/data/observation_csv.h"
#include "experiments/data/observation_reading.h"

namespace levda::experiments {

namespace {

Correlations read_correlations(const NetcdfReader& file, const std::string& source, std::int64_t rows) {
  Correlations found;
  for (const char* name : {"error_std", Correlations::full, Correlations::band}) {
    if (!file.has_variable(name)) continue;
    if (found.name != nullptr) throw InputError(source, name, fmt::format("stands beside {}", found.name));
    found.name = name;
  }
  if (found.name == nullptr || found.name == std::string("error_std")) return {};
  const std::vector<std::int64_t> shape = file.shape(found.name);
  if (shape.size() != 2 || shape[1] < 1) throw InputError(source, found.name, "two dimensions are needed");
  found.columns = found.name == std::string(Correlations::full) ? rows : shape[1];
  file.require_shape(found.name, {rows, found.columns});
  found.elements = file.read_unpacked<double>(found.name);
  return found;
}

/// Codes of quality or of gross errors.
std::vector<std::int32_t> codes(const NetcdfReader& file, const std::string& source, const char* name) {
  std::vector<std::int32_t> all;
  for (const std::int64_t code : file.read_whole(name)) {
    if (code != static_cast<std::int32_t>(code))
      throw InputError(source, name, fmt::format("row {}: {} is no code", all.size(), code));
    all.push_back(static_cast<std::int32_t>(code));
  }
  return all;
}

/// Standard deviations of the errors; a variance that is not positive as it is, to be refused.
std::vector<double> deviations(const Correlations& all) {
  const std::int64_t rows = static_cast<std::int64_t>(all.elements.size()) / all.columns;
  const std::int64_t step = all.columns + (all.name == std::string(Correlations::full) ? 1 : 0);
  std::vector<double> result;
  for (std::int64_t i = 0; i < rows; ++i) {
    const double variance = all.elements[i * step];
    result.push_back(variance > 0 ? std::sqrt(variance) : variance);
  }
  return result;
}

/// Channels are found by name where there are names: the file's order need not be the surrogate's.
std::vector<std::int64_t> read_channels(const NetcdfReader& file, const std::string& source,
                                        const models::Description& about) {
  std::vector<std::int64_t> channels;
  if (file.holds_strings("channel")) {
    for (const std::string& name : file.read_strings("channel"))
      channels.push_back(channel_of(name, about, source, "channel"));
    return channels;
  }
  std::vector<std::string> names = about.channel_names;
  if (file.has_variable("channel_name")) names = file.read_strings("channel_name");
  for (const std::int64_t c : file.read_whole("channel")) {
    if (c < 0 || c >= static_cast<std::int64_t>(names.size()))
      throw InputError(source, "channel",
                       fmt::format("row {}: {} is not in 0 .. {}", channels.size(), c, names.size() - 1));
    channels.push_back(channel_of(names[c], about, source, "channel_name"));
  }
  return channels;
}

std::optional<Truth> read_truth(const NetcdfReader& file, const std::string& source) {
  if (!file.has_attribute("truth_member")) return std::nullopt;
  const auto whole = [&](const std::string& name, double least) {
    const double value = file.number(name);
    constexpr double most = 1e9;
    if (!(value >= least && value <= most))
      throw InputError(source, name, fmt::format("{} is not in {} .. {}", value, least, most));
    return static_cast<std::int64_t>(value);
  };
  return Truth{
      .index = whole("truth_index", 0), .member = whole("truth_member", 0), .start = whole("truth_start_frame", -1)};
}

}  // namespace

RawObservations read_plain_netcdf(const NetcdfReader& file, const std::string& source,
                                  const models::Description& about) {
  const auto text_or_empty = [&](const char* name) { return file.has_attribute(name) ? file.text(name) : ""; };
  if (file.has_attribute("levda_format") && file.text("levda_format") != observations_format)
    throw InputError(source, "levda_format",
                     fmt::format("not a file of observations (\"{}\" expected)", observations_format));
  check_case(source, file.variables());
  if (!file.has_variable("value")) throw InputError(source, "value", "no such variable: not a file of observations");
  const std::vector<std::int64_t> shape = file.shape("value");
  if (shape.size() != 1) throw InputError(source, "value", "one dimension is needed, one entry per observation");
  const auto rows = static_cast<std::size_t>(shape[0]);
  RawObservations raw{.content = {.experiment = text_or_empty("experiment"),
                                  .observations = {},
                                  .truth = read_truth(file, source),
                                  .fingerprint = text_or_empty("levda_configuration"),
                                  .gross = {}},
                      .correlations = read_correlations(file, source, shape[0])};
  da::Observations& o = raw.content.observations;
  UnitReader units(file, source, about);
  for (const NumberColumn& column : number_columns) {
    std::vector<double>& values = o.*column.values;
    if (column.values == &da::Observations::error_std && raw.correlations.name != nullptr) {
      values = deviations(raw.correlations);
    } else if (is_needed(column, about) || file.has_variable(column.name)) {
      file.require_shape(column.name, shape);
      values = file.read_unpacked<double>(column.name);
      const bool extent = column.values == &da::Observations::extent_x || column.values == &da::Observations::extent_y;
      if (column.axis != 0) units.convert(column.name, column.axis, extent, values);
    } else {
      values.assign(rows, 0.0);
    }
  }
  const auto present = [&](const char* name) {
    if (file.has_variable(name) && !file.holds_strings(name)) file.require_shape(name, shape);
    return file.has_variable(name);
  };
  o.op = present("op") ? file.read_strings("op") : std::vector<std::string>(rows, "value");
  o.qc = present("qc") ? codes(file, source, "qc") : std::vector<std::int32_t>(rows, da::used);
  if (raw.content.truth && present("gross")) raw.content.gross = codes(file, source, "gross");
  if (!file.has_variable("channel")) throw InputError(source, "channel", "no such variable");
  present("channel");
  o.channel = read_channels(file, source, about);
  da::check_columns(o, source);
  units.convert_values("value", raw.correlations.name == nullptr ? "error_std" : "", o);
  if (raw.correlations.name != nullptr) units.check_covariance(raw.correlations.name, "value", o);
  units.finish();
  note_unread(source, file.unread());
  return raw;
}

}  // namespace levda::experiments
