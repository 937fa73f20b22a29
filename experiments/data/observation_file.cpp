#include "experiments/data/observation_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>

#include "autodiff/error.h"
#include "da/observation_operators.h"
#include "experiments/config/version.h"
#include "experiments/data/netcdf_file.h"
#include "experiments/data/notes.h"
#include "experiments/data/observation_csv.h"
#include "experiments/data/observation_reading.h"
#include "experiments/data/units.h"
#include "nn/atomic_file.h"

namespace levda::experiments {

void write_observations(const std::filesystem::path& path, const ObservationFile& content,
                        const models::Description& about) {
  const da::Observations& o = content.observations;
  if (content.covariance) throw InputError(path.string(), "error_covariance", "correlated errors are not written");
  NetcdfWriter file(path);
  file.attribute("Conventions", "CF-1.10");
  file.attribute("title", about.case_name + " observations, one row per value");
  file.attribute("source", "levda " + version());
  file.attribute("levda_format", observations_format);
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
    const char* const axis = c.axis == 't' ? "time" : c.axis == 'x' ? "x" : "y";
    const auto& unsaid = about.unsaid_units;
    if (c.axis != 0 && std::find(unsaid.begin(), unsaid.end(), axis) == unsaid.end())
      attributes.emplace(attributes.begin(), "units", unit_of_axis(about, c.axis));
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

/// Entries that are not used may hold anything; they are made independent of the others.
std::shared_ptr<const da::ErrorCovariance> covariance_of(Correlations all, const da::Observations& o,
                                                         const std::string& source) {
  const bool full = all.name == std::string(Correlations::full);
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

/// Reads a file by what it is: NetCDF by its first bytes, CSV by its name or where it comes through a pipe.
RawObservations read_raw(const std::filesystem::path& path, const models::Description& about) {
  const std::string source = path.string();
  std::error_code ignored;
  const bool piped = std::filesystem::exists(path, ignored) && !std::filesystem::is_regular_file(path, ignored) &&
                     !std::filesystem::is_directory(path, ignored);
  std::string text;
  std::ifstream stream(path, std::ios::binary);
  if (piped) {
    text.assign(std::istreambuf_iterator<char>(stream), {});
  } else {
    text.resize(4);
    stream.read(text.data(), 4);
    text.resize(static_cast<std::size_t>(stream.gcount()));
  }
  const bool netcdf = text.starts_with("\x89HDF") || text.starts_with("CDF");
  if (piped && netcdf) throw InputError(source, "", "NetCDF through a pipe, where a file is needed");
  if (!piped && !netcdf && lower_case(path.extension().string()) != ".csv" && text.size() == 4 &&
      std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= ' ' || std::isspace(c) != 0; }))
    throw InputError(source, "", "is text, but not CSV by its name: a file of observations as text ends with .csv");
  if (piped || (!netcdf && lower_case(path.extension().string()) == ".csv")) {
    RawObservations raw;
    if (!piped) text = nn::read_text_file(path);
    raw.content.observations = parse_observations_csv(text, source, about, &raw.content.lines);
    return raw;
  }
  const NetcdfReader file(path);
  return is_ioda(file) ? read_ioda(file, source, about) : read_plain_netcdf(file, source, about);
}

/// Times within a hundred-thousandth of an interval of a frame are the frame's: they may be float32, or differences.
void snap_times(da::Observations& o, double interval) {
  constexpr double tolerance = 1e-5;
  for (double& time : o.time) {
    const double frame = std::round(time / interval);
    if (std::abs(time / interval - frame) <= tolerance) time = frame * interval + 0.0;
  }
}

/// The same places, in the convention of the domain where they are longitudes.
void turn_longitudes(da::Observations& o, const models::Grid& grid) {
  for (double& x : o.x)
    if (const double turned = x + 360 * std::round((grid.x0 + grid.width() / 2 - x) / 360);
        std::isfinite(x) && !grid.contains_x(x) && grid.contains_x(turned))
      x = turned;
}

/// Places that are one place get the same numbers.
da::Observations canonical(da::Observations o, const models::Grid& grid) {
  const auto settle = [](double& place, double first, double period) {
    constexpr double steps = 1e9;  // in which a period is divided: places differ by rounding
    const double part = std::round(std::fmod((place - first) / period, 1.0) * steps);
    if (std::isfinite(place)) place = part < 0 ? part + steps : part == steps ? 0 : part + 0.0;
  };
  for (std::int64_t i = 0; i < o.size(); ++i) {
    if (grid.geometry == models::Geometry::sphere && std::abs(o.y[i]) == 90 && std::isfinite(o.x[i])) o.x[i] = 0;
    if (grid.periodic_x()) settle(o.x[i], grid.x0, grid.dx * static_cast<double>(grid.nx));
    if (grid.periodic_y()) settle(o.y[i], grid.y0, grid.dy * static_cast<double>(grid.ny));
  }
  return o;
}

/// Throws InputError for an entry outside of the domain, or an operator that cannot look from its place.
void check_places(const da::Observations& o, const std::string& source, const models::Description& about,
                  std::span<const std::int64_t> lines) {
  const models::Grid& grid = about.grid;
  const auto outside = [&](const char* column, std::int64_t row, double place, double first, double extent) {
    const std::string& unit = unit_of_axis(about, *column);
    throw InputError(source, column,
                     fmt::format("{}: {} {} is outside the domain, {} to {} {}", da::row_name(row, lines), place, unit,
                                 first, first + extent, unit));
  };
  for (std::int64_t i = 0; i < o.size(); ++i) {
    if (o.qc[i] != da::used) continue;
    const std::int64_t c = o.channel[i];
    if (!grid.contains_x(grid.node_of_x(c, o.x[i]))) outside("x", i, o.x[i], grid.x0, grid.width());
    if (!grid.contains_y(grid.node_of_y(c, o.y[i]))) outside("y", i, o.y[i], grid.y0, grid.height());
    try {
      da::places_of(o, i, about);
    } catch (const Error& error) {
      throw InputError(source, "op", fmt::format("{}: {}", da::row_name(i, lines), error.what()));
    }
  }
}

/// Entries where the data set never has values, as on land, are not used.
void leave_out_land(da::Observations& o, const std::string& source, const models::Grid& grid,
                    std::span<const std::int64_t> lines) {
  if (grid.never.empty()) return;
  std::vector<std::string> names;
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < o.size(); ++i) {
    if (o.qc[i] != da::used || !grid.is_never(o.channel[i], o.x[i], o.y[i])) continue;
    o.qc[i] = da::operator_failed;
    if (++count <= 3) names.push_back(da::row_name(i, lines));
  }
  if (count == 0) return;
  const std::string what = fmt::format("{} of {} values lie where the data set never has any, as on land ({}{})", count,
                                       o.size(), fmt::join(names, ", "), count > 3 ? ", .." : "");
  if (o.in_window(0, std::numeric_limits<double>::infinity()).empty()) throw InputError(source, "x", what);
  note(source, what + "; they are not used");
}

}  // namespace

ObservationFile read_observations(const std::filesystem::path& path, const models::Description& about,
                                  double last_time) {
  const std::string source = path.string();
  auto [content, correlations] = read_raw(path, about);
  const std::vector<std::int64_t>& lines = content.lines;
  if (!content.experiment.empty() && content.experiment != "warm" && content.experiment != "cold")
    throw InputError(source, "experiment", fmt::format("\"{}\" is neither warm nor cold", content.experiment));
  da::Observations& o = content.observations;
  da::check_columns(o, source);
  snap_times(o, about.frame_interval);
  if (is_longitude(about.place_unit) && !about.grid.periodic_x()) turn_longitudes(o, about.grid);
  da::check(canonical(o, about.grid), source, last_time, about.channels(), lines);
  check_places(o, source, about, lines);
  leave_out_land(o, source, about.grid, lines);
  if (correlations.name != nullptr) content.covariance = covariance_of(std::move(correlations), o, source);
  return std::move(content);
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
