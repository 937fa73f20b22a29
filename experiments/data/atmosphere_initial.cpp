#include "experiments/data/atmosphere_initial.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autodiff/error.h"
#include "experiments/data/netcdf_file.h"

namespace levda::experiments {

namespace {

/// A coordinate in ascending order, and where in the file each value stands.
struct Coordinate {
  std::string dimension;
  std::int64_t length = 0;  ///< in the file
  std::vector<double> value;
  std::vector<std::int64_t> from;
};

Coordinate read_coordinate(const NetcdfReader& file, const std::string& source, const std::string& shorter,
                           const std::string& longer, bool round) {
  const std::string name = file.has_variable(shorter) ? shorter : longer;
  if (!file.has_variable(name))
    throw InputError(source, shorter, fmt::format("no such variable, nor {}, of degrees", longer));
  const std::vector<std::int64_t> shape = file.shape(name);
  if (shape.size() != 1) throw InputError(source, name, "one dimension is needed, its own");
  std::vector<double> values = file.read_unpacked<double>(name);
  const double least = round ? -720 : -90 - 1e-6;
  const double most = round ? 720 : 90 + 1e-6;
  for (double& value : values) {
    if (!(value >= least && value <= most))
      throw InputError(source, name, fmt::format("{} is not in {:.0f} .. {:.0f} degrees", value, least, most));
    if (round) value -= 360 * std::floor(value / 360);
  }
  Coordinate result{file.dimensions(name)[0], shape[0], {}, {}};
  std::vector<std::int64_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return values[a] < values[b]; });
  // Single precision may tell 0 from 360 by a little.
  constexpr double same = 1e-4;
  for (const std::int64_t i : order) {
    if (!result.value.empty() && values[i] - result.value.back() < same) {
      if (!round) throw InputError(source, name, fmt::format("{} comes twice", values[i]));
      continue;
    }
    result.value.push_back(values[i]);
    result.from.push_back(i);
  }
  if (round && result.value.size() > 1 && result.value.front() + 360 - result.value.back() < same) {
    result.value.pop_back();
    result.from.pop_back();
  }
  if (result.value.size() < 4)
    throw InputError(source, name, fmt::format("{} places, but 4 are needed", values.size()));
  return result;
}

std::vector<double> read_field(const NetcdfReader& file, const std::string& source, const std::string& name,
                               const Coordinate& latitude, const Coordinate& longitude) {
  if (!file.has_variable(name)) throw InputError(source, name, "no such variable");
  std::vector<std::string> dimensions;
  for (const std::string& dimension : file.dimensions(name))
    if (dimension == latitude.dimension || dimension == longitude.dimension || file.dimension(dimension) != 1)
      dimensions.push_back(dimension);
  const bool rows = dimensions == std::vector{latitude.dimension, longitude.dimension};
  if (!rows && dimensions != std::vector{longitude.dimension, latitude.dimension})
    throw InputError(source, name,
                     fmt::format("its dimensions are not {} and {}", latitude.dimension, longitude.dimension));
  const std::vector<double> values = file.read_unpacked<double>(name);
  std::vector<double> field;
  for (const std::int64_t j : latitude.from)
    for (const std::int64_t i : longitude.from) {
      const double value = values[rows ? j * longitude.length + i : i * latitude.length + j];
      if (!std::isfinite(value)) throw InputError(source, name, "has missing values");
      field.push_back(value);
    }
  return field;
}

}  // namespace

models::AtmosphereInitial read_atmosphere_initial(const std::filesystem::path& path) {
  const NetcdfReader file(path);
  const std::string source = path.string();
  const Coordinate latitude = read_coordinate(file, source, "lat", "latitude", false);
  const Coordinate longitude = read_coordinate(file, source, "lon", "longitude", true);
  const auto field = [&](const char* name) { return read_field(file, source, name, latitude, longitude); };
  return {.latitude = latitude.value,
          .longitude = longitude.value,
          .u = field("u"),
          .v = field("v"),
          .h = field("h"),
          .orography = field("orography")};
}

}  // namespace levda::experiments
