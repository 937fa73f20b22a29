#include "experiments/data/observation_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>

#include "autodiff/error.h"
#include "da/observation_operators.h"
#include "experiments/config/version.h"
#include "experiments/data/netcdf_file.h"
#include "experiments/data/observation_csv.h"
#include "nn/atomic_file.h"

namespace levda::experiments {

namespace {

constexpr const char* format_name = "levda-observations-1";

}  // namespace

void write_observations(const std::filesystem::path& path, const ObservationFile& content,
                        const models::Description& about) {
  const da::Observations& o = content.observations;
  if (content.covariance) throw InputError(path.string(), "error_covariance", "correlated errors are not written");
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
  const bool values_only = std::all_of(o.op.begin(), o.op.end(), [](const auto& name) { return name == "value"; });
  for (const NumberColumn& c : number_columns) {
    if (!c.needed && values_only) continue;
    Attributes attributes{{"long_name", c.long_name}};
    if (c.unit != nullptr) attributes.emplace(attributes.begin(), "units", about.*c.unit);
    column(c.name, Type::Float64, attributes, o.*c.values);
  }
  if (!values_only) file.write_strings("op", "row", o.op);
  column("channel", Type::Int64, {{"long_name", "position in channel_name"}}, o.channel);
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

/// Covariances as they stand in a file.
struct Correlations {
  const char* name = nullptr;
  std::vector<double> elements;
  std::int64_t columns = 0;  // of each row
};

constexpr const char* full_name = "error_covariance";
constexpr const char* band_name = "error_band";

Correlations read_correlations(const NetcdfReader& file, const std::string& source, std::int64_t rows) {
  Correlations found;
  for (const char* name : {"error_std", full_name, band_name}) {
    if (!file.has_variable(name)) continue;
    if (found.name != nullptr) throw InputError(source, name, fmt::format("stands beside {}", found.name));
    found.name = name;
  }
  if (found.name == nullptr || found.name == std::string("error_std")) return {};
  const std::vector<std::int64_t> shape = file.shape(found.name);
  if (shape.size() != 2 || shape[1] < 1) throw InputError(source, found.name, "two dimensions are needed");
  found.columns = found.name == std::string(full_name) ? rows : shape[1];
  file.require_shape(found.name, {rows, found.columns});
  found.elements = file.read_unpacked<double>(found.name);
  return found;
}

/// Entries that are not used may hold anything; they are made independent of the others.
std::shared_ptr<const da::ErrorCovariance> covariance_of(Correlations all, const da::Observations& o,
                                                         const std::string& source) {
  const bool full = all.name == std::string(full_name);
  const auto used = [&](std::int64_t i) { return o.qc[i] == da::used; };
  for (std::int64_t i = 0; i < o.size(); ++i)
    for (std::int64_t k = 0; k < all.columns; ++k) {
      const std::int64_t other = full ? k : i - k;
      if (other >= 0 && (!used(i) || !used(other))) all.elements[i * all.columns + k] = other == i ? 1 : 0;
    }
  try {
    if (full) return std::make_shared<da::FullCovariance>(std::move(all.elements));
    return std::make_shared<da::BandedCovariance>(std::move(all.elements), all.columns - 1);
  } catch (const Error& error) {
    throw InputError(source, all.name, error.what());
  }
}

void check_unit(const NetcdfReader& file, const std::string& source, const NumberColumn& column,
                const models::Description& about) {
  if (column.unit == nullptr || !file.has_variable(column.name) || !file.has_attribute(column.name, "units")) return;
  const std::string unit = file.text(column.name, "units");
  if (!equal_units(unit, about.*column.unit))
    throw InputError(source, std::string(column.name) + ":units",
                     fmt::format("\"{}\", where the surrogate has \"{}\"", unit, about.*column.unit));
}

/// Standard deviations of the errors; a variance that is not positive as it is, to be refused.
std::vector<double> deviations(const Correlations& all) {
  const std::int64_t rows = static_cast<std::int64_t>(all.elements.size()) / all.columns;
  const std::int64_t step = all.columns + (all.name == std::string(full_name) ? 1 : 0);
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
  for (const std::int64_t c : file.read<std::int64_t>("channel")) {
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

ObservationFile read_netcdf(const std::filesystem::path& path, const models::Description& about,
                            Correlations& correlations) {
  const NetcdfReader file(path);
  const std::string source = path.string();
  const auto text_or_empty = [&](const char* name) { return file.has_attribute(name) ? file.text(name) : ""; };
  if (file.has_attribute("levda_format") && file.text("levda_format") != format_name)
    throw InputError(source, "levda_format", fmt::format("not a file of observations (\"{}\" expected)", format_name));
  if (!file.has_variable("value")) throw InputError(source, "value", "no such variable: not a file of observations");
  const std::vector<std::int64_t> shape = file.shape("value");
  if (shape.size() != 1) throw InputError(source, "value", "one dimension is needed, one entry per observation");
  const auto rows = static_cast<std::size_t>(shape[0]);
  ObservationFile content{.experiment = text_or_empty("experiment"),
                          .observations = {},
                          .truth = read_truth(file, source),
                          .fingerprint = text_or_empty("levda_configuration"),
                          .gross = {}};
  da::Observations& o = content.observations;
  for (const NumberColumn& column : number_columns) check_unit(file, source, column, about);
  correlations = read_correlations(file, source, shape[0]);
  for (const NumberColumn& column : number_columns) {
    std::vector<double>& values = o.*column.values;
    if (column.values == &da::Observations::error_std && correlations.name != nullptr) {
      values = deviations(correlations);
    } else if (is_needed(column, about) || file.has_variable(column.name)) {
      file.require_shape(column.name, shape);
      values = file.read_unpacked<double>(column.name);
    } else {
      values.assign(rows, 0.0);
    }
  }
  const auto present = [&](const char* name) {
    if (file.has_variable(name)) file.require_shape(name, shape);
    return file.has_variable(name);
  };
  o.op = present("op") ? file.read_strings("op") : std::vector<std::string>(rows, "value");
  o.qc = present("qc") ? file.read<std::int32_t>("qc") : std::vector<std::int32_t>(rows, da::used);
  if (content.truth && present("gross")) content.gross = file.read<std::int32_t>("gross");
  file.require_shape("channel", shape);
  o.channel = read_channels(file, source, about);
  return content;
}

}  // namespace

ObservationFile read_observations(const std::filesystem::path& path, const models::Description& about,
                                  double last_time) {
  const std::string source = path.string();
  ObservationFile content;
  Correlations correlations;
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (extension == ".csv")
    content.observations = parse_observations_csv(nn::read_text_file(path), source, about);
  else
    content = read_netcdf(path, about, correlations);
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
    if (!grid.contains_x(grid.node_of_x(c, o.x[i]))) outside("x", i, o.x[i], grid.x0, grid.width());
    if (!grid.contains_y(grid.node_of_y(c, o.y[i]))) outside("y", i, o.y[i], grid.y0, grid.height());
    try {
      da::places_of(o, i, about);
    } catch (const Error& error) {
      throw InputError(source, "op", fmt::format("row {}: {}", i, error.what()));
    }
  }
  if (correlations.name != nullptr) content.covariance = covariance_of(std::move(correlations), o, source);
  return content;
}

namespace {

std::vector<std::int64_t> used_ones(const da::Observations& o) {
  return o.in_window(0, std::numeric_limits<double>::infinity());
}

}  // namespace

std::unique_ptr<da::ErrorCovariance> error_covariance(const ObservationFile& file) {
  const da::Observations& o = file.observations;
  if (file.covariance) return file.covariance->plus(std::vector<double>(o.value.size(), 0.0));
  std::vector<double> variance(o.value.size(), 1.0);
  for (const std::int64_t i : used_ones(o)) variance[i] = o.error_std[i] * o.error_std[i];
  return std::make_unique<da::DiagonalCovariance>(std::move(variance));
}

std::unique_ptr<da::ErrorCovariance> error_covariance(
    const ObservationFile& file, const models::Description& about, std::span<const double> field_mean,
    std::span<const double> field_std, const std::function<double(std::int64_t i, std::int64_t c)>& variance) {
  const std::vector<std::int64_t> used = used_ones(file.observations);
  const std::vector<double> seen =
      da::Footprints(file.observations.part(used), about)
          .error_variance(field_mean, field_std, [&](std::int64_t k, std::int64_t c) { return variance(used[k], c); });
  std::vector<double> more(file.observations.value.size(), 0.0);
  for (std::size_t k = 0; k < used.size(); ++k) more[used[k]] = seen[k];
  return error_covariance(file)->plus(more);
}

}  // namespace levda::experiments
