#include "experiments/data/dataset_places.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "experiments/data/units.h"

namespace levda::experiments {

namespace {

/// The step of an evenly spaced axis of at least two values, of either sign; they may be float32.
std::optional<double> even_step(const std::vector<double>& values) {
  if (values.size() < 2) return std::nullopt;
  const double step = (values.back() - values.front()) / static_cast<double>(values.size() - 1);
  // Half a unit in the last place of a float32 for the value itself and for each end.
  const double rounding =
      1.5 * std::numeric_limits<float>::epsilon() * std::max(std::abs(values.front()), std::abs(values.back()));
  const double slack = std::max(1e-6 * std::abs(step), std::min(rounding, 1e-2 * std::abs(step)));
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!(std::abs(values[i] - values[0] - static_cast<double>(i) * step) <= slack)) return std::nullopt;
  return step;
}

/// The unit of an axis; where none is said, `otherwise`, and the axis is noted.
std::string place_unit(const DatasetFile& file, const char* axis, const std::string& otherwise,
                       models::Description& about) {
  if (!file.has_variable(axis) || !file.has_attribute(axis, "units")) {
    about.unsaid_units.emplace_back(axis);
    return otherwise;
  }
  const std::string unit = file.text(axis, "units");
  const bool named = file.has_attribute(axis, "standard_name") && file.text(axis, "standard_name") == "longitude";
  return named && unit.starts_with("degree") ? "degrees_east" : unit;
}

/// Longitudes of an axis, each the shorter way around from the one before.
void unwrap(std::vector<double>& x) {
  for (std::size_t i = 1; i < x.size(); ++i) x[i] -= 360 * std::round((x[i] - x[i - 1]) / 360);
}

/// Longitudes of a list, around the widest gap between them, where that makes their range shorter.
void gather(std::vector<double>& x) {
  std::vector<double> sorted;
  for (const double place : x) sorted.push_back(place - 360 * std::floor(place / 360));
  std::sort(sorted.begin(), sorted.end());
  double first = sorted.front();
  double gap = first + 360 - sorted.back();
  for (std::size_t i = 1; i < sorted.size(); ++i)
    if (sorted[i] - sorted[i - 1] > gap) {
      gap = sorted[i] - sorted[i - 1];
      first = sorted[i];
    }
  const auto [west, east] = std::minmax_element(x.begin(), x.end());
  if (*east - *west <= 360 - gap + 1e-9) return;
  for (double& place : x) place -= 360 * std::floor((place - first) / 360 + 1e-12);
}

void check_order(const DatasetFile& file, const char* name, const std::vector<double>& axis) {
  const auto falls = [](double a, double b) { return !(a < b); };
  const auto rises = [](double a, double b) { return !(a > b); };
  if (std::adjacent_find(axis.begin(), axis.end(), falls) != axis.end() &&
      std::adjacent_find(axis.begin(), axis.end(), rises) != axis.end())
    file.fail(name, "is neither increasing nor decreasing");
}

/// The geometry in the file; plane where there is none.
models::Geometry geometry_of(const DatasetFile& file) {
  if (!file.has_attribute(geometry_name)) return models::Geometry::plane;
  const std::string text = file.text(geometry_name);
  const std::optional<models::Geometry> geometry = choice_of<models::Geometry>(text);
  if (!geometry) file.fail(geometry_name, fmt::format("\"{}\" is none of {}", text, choice_names<models::Geometry>()));
  return *geometry;
}

std::vector<double> offsets(const DatasetFile& file, const std::string& name, std::int64_t channels, bool turned) {
  if (!file.has_variable(name)) return {};
  std::vector<double> values = file.finite<double>(name, {channels});
  if (file.has_attribute(name, "units") && file.text(name, "units") != "1" && file.text(name, "units") != "cells")
    file.fail(name + ":units", "is not 1: offsets are counted in cells");
  for (double& value : values)
    if (turned) value = -value;
  return values;
}

Places list_of(const DatasetFile& file, std::vector<double> x, std::vector<double> y, std::int64_t channels,
               models::Geometry geometry) {
  if (geometry != models::Geometry::plane)
    file.fail(geometry_name, fmt::format("\"{}\" needs a grid of evenly spaced x and y; a list of points, like uneven "
                                         "axes, lies on a plane",
                                         name_of(geometry)));
  try {
    return {.grid = models::Grid::of_points(std::move(x), std::move(y), channels)};
  } catch (const Error& error) {
    file.fail("x", error.what());
  }
}

}  // namespace

Places read_places(const DatasetFile& file, const std::vector<std::int64_t>& shape, bool listed,
                   models::Description& about) {
  const models::Geometry geometry = geometry_of(file);
  const bool sphere = geometry == models::Geometry::sphere;
  about.place_unit = place_unit(file, "x", sphere ? "degrees" : about.place_unit, about);
  const std::string unit_y = place_unit(file, "y", about.place_unit, about);
  if (unit_y != about.place_unit) about.place_unit_y = unit_y;
  if (sphere) {  // it has degrees, said or not
    std::erase_if(about.unsaid_units, [](const std::string& axis) { return axis == "x" || axis == "y"; });
    for (const std::string& unit : {about.place_unit, about.unit_y()})
      if (const std::optional<Conversion> same = conversion(unit, "degrees"); !same || same->changes())
        file.fail(geometry_name, fmt::format("a sphere has degrees, and its axes \"{}\"", unit));
  }
  const bool longitudes = is_longitude(about.place_unit) || sphere;
  const std::int64_t channels = shape[2];
  if (listed) {
    std::vector<double> x = file.finite<double>("x", {shape[3]});
    std::vector<double> y =
        file.has_variable("y") ? file.finite<double>("y", {shape[3]}) : std::vector<double>(x.size(), 0.0);
    if (longitudes) gather(x);
    return list_of(file, std::move(x), std::move(y), channels, geometry);
  }
  const std::vector<double> y = file.finite<double>("y", {shape[3]});
  std::vector<double> x = file.finite<double>("x", {shape[4]});
  if (longitudes) unwrap(x);
  check_order(file, "x", x);
  check_order(file, "y", y);
  const std::optional<double> dy = even_step(y);
  const std::optional<double> dx = even_step(x);
  if (dx && dy && *dx != 0 && *dy != 0) {
    const bool turn_x = *dx < 0;
    const bool turn_y = *dy < 0;
    return {.grid = {.nx = shape[4],
                     .ny = shape[3],
                     .x0 = std::min(x.front(), x.back()),
                     .y0 = std::min(y.front(), y.back()),
                     .dx = std::abs(*dx),
                     .dy = std::abs(*dy),
                     .offset_x = offsets(file, "offset_x", channels, turn_x),
                     .offset_y = offsets(file, "offset_y", channels, turn_y),
                     .x = {},
                     .y = {},
                     .geometry = geometry},
            .turn_x = turn_x,
            .turn_y = turn_y};
  }
  if (file.has_variable("offset_x") || file.has_variable("offset_y"))
    file.fail("x", "is not evenly spaced, which staggered channels need");
  std::vector<double> all_x;
  std::vector<double> all_y;
  for (const double row : y)
    for (const double column : x) {
      all_x.push_back(column);
      all_y.push_back(row);
    }
  return list_of(file, std::move(all_x), std::move(all_y), channels, geometry);
}

void read_times(const DatasetFile& file, std::int64_t frames, models::Description& about) {
  about.frames = frames;
  const std::vector<double> times = file.finite<double>("time", {frames});
  if (file.has_attribute("time", "units")) {
    const TimeUnit said =
        time_unit(file.text("time", "units"),
                  file.has_attribute("time", "calendar") ? file.text("time", "calendar") : std::string());
    about.time_unit = said.unit;
    about.time_reference = said.reference;
    about.calendar = said.calendar;
  } else {
    about.unsaid_units.emplace_back("time");
  }
  const std::optional<double> step = even_step(times);
  if (!step || !(*step > 0)) file.fail("time", "is not evenly spaced and increasing, in at least two frames");
  about.first_time = times[0];
  about.frame_interval = *step;
  // The file's numbers are exact; a difference of times loses the last digit.
  if (!file.has_attribute("first_time") || !file.has_attribute("frame_interval")) return;
  const double first = file.number("first_time");
  const double interval = file.number("frame_interval");
  if (!(std::abs(first - about.first_time) + std::abs(interval - about.frame_interval) <= 1e-6 * interval))
    file.fail("frame_interval", "contradicts time");
  about.first_time = first;
  about.frame_interval = interval;
}

}  // namespace levda::experiments
