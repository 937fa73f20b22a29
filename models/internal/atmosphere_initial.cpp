#include "models/internal/atmosphere_initial.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "autodiff/error.h"

namespace levda::models {

namespace {

using std::int64_t;
constexpr double degree = std::numbers::pi / 180;

std::size_t index(int64_t i) { return static_cast<std::size_t>(i); }

/// Four points around a place and the weights of the cubic through them. x ascends.
struct Cubic {
  int64_t first;
  std::array<double, 4> weight;
};

Cubic cubic(const std::vector<double>& x, double at) {
  const auto n = static_cast<int64_t>(x.size());
  const int64_t above = std::lower_bound(x.begin(), x.end(), at) - x.begin();
  Cubic result{std::clamp<int64_t>(above - 2, 0, n - 4), {1, 1, 1, 1}};
  for (int64_t i = 0; i < 4; ++i)
    for (int64_t j = 0; j < 4; ++j)
      if (j != i)
        result.weight[index(i)] *=
            (at - x[index(result.first + j)]) / (x[index(result.first + i)] - x[index(result.first + j)]);
  return result;
}

void check_ascending(const char* name, const std::vector<double>& x) {
  if (x.size() < 4)
    throw Error(fmt::format("atmosphere: {} of the initial state has {} values, not 4", name, x.size()));
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!std::isfinite(x[i]) || (i > 0 && !(x[i] > x[i - 1])))
      throw Error(fmt::format("atmosphere: {} of the initial state does not ascend at {}", name, i));
}

}  // namespace

void check_initial(const AtmosphereInitial& initial) {
  check_ascending("latitude", initial.latitude);
  check_ascending("longitude", initial.longitude);
  if (initial.latitude.front() < -90 - 1e-6 || initial.latitude.back() > 90 + 1e-6)
    throw Error("atmosphere: latitudes of the initial state are not within -90 .. 90 degrees");
  if (!(initial.longitude.back() - initial.longitude.front() < 360 - 1e-6))
    throw Error("atmosphere: longitudes of the initial state span 360 degrees or more");
  // The axes must cover the sphere, or the cubics would extrapolate far.
  const auto check_gaps = [](const char* name, std::vector<double> x, double first, double last) {
    const double most = 3 * (last - first) / static_cast<double>(x.size());
    x.insert(x.begin(), first);
    x.push_back(last);
    for (std::size_t i = 1; i < x.size(); ++i)
      if (x[i] - x[i - 1] > most)
        throw Error(fmt::format("atmosphere: {} of the initial state leaves a gap from {:g} to {:g} degrees", name,
                                x[i - 1], x[i]));
  };
  check_gaps("latitude", initial.latitude, -90, 90);
  check_gaps("longitude", initial.longitude, initial.longitude.front(), initial.longitude.front() + 360);
  const auto check = [&](const char* name, const std::vector<double>& field) {
    const std::size_t wanted = initial.latitude.size() * initial.longitude.size();
    if (field.size() != wanted)
      throw Error(fmt::format("atmosphere: {} of the initial state has {} values, not {}", name, field.size(), wanted));
    for (std::size_t i = 0; i < wanted; ++i)
      if (!std::isfinite(field[i]))
        throw Error(fmt::format("atmosphere: {} of the initial state is not finite at {}", name, i));
  };
  check("u", initial.u);
  check("v", initial.v);
  check("h", initial.h);
  check("orography", initial.orography);
}

std::vector<double> interpolated(const AtmosphereInitial& initial, const std::vector<double>& field, bool wind,
                                 const std::vector<double>& latitudes) {
  const auto rows = static_cast<int64_t>(initial.latitude.size());
  const auto columns = static_cast<int64_t>(initial.longitude.size());
  const auto nlat = static_cast<int64_t>(latitudes.size());
  const int64_t nlon = 2 * nlat;
  // Longitudes go round.
  std::vector<double> x;
  for (int64_t i = -2; i < columns + 2; ++i)
    x.push_back(initial.longitude[index((i + columns) % columns)] + (i < 0 ? -360 : i < columns ? 0 : 360));
  std::vector<double> wide(index(rows * nlon));
  for (int64_t i = 0; i < nlon; ++i) {
    double at = 360 * static_cast<double>(i) / static_cast<double>(nlon);
    at -= 360 * std::floor((at - initial.longitude.front()) / 360);
    const Cubic c = cubic(x, at);
    for (int64_t j = 0; j < rows; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < 4; ++k)
        sum += c.weight[index(k)] * field[index(j * columns + (c.first + k - 2 + columns) % columns)];
      wide[index(j * nlon + i)] = sum;
    }
  }
  // Rows, and two across either pole; one on the pole is not repeated.
  struct Row {
    double latitude;
    int64_t from;
    bool across;
  };
  std::vector<Row> all;
  for (int64_t j = 0; j < rows; ++j) {
    const double here = initial.latitude[index(j)];
    all.push_back({here, j, false});
    if (j < 3 && here > -90 + 1e-6) all.push_back({-180 - here, j, true});
    if (j >= rows - 3 && here < 90 - 1e-6) all.push_back({180 - here, j, true});
  }
  std::sort(all.begin(), all.end(), [](const Row& a, const Row& b) { return a.latitude < b.latitude; });
  std::vector<double> y;
  for (const Row& row : all) y.push_back(row.latitude);
  std::vector<double> result(index(nlat * nlon));
  for (int64_t j = 0; j < nlat; ++j) {
    const Cubic c = cubic(y, latitudes[index(j)] / degree);
    for (int64_t k = 0; k < 4; ++k) {
      const Row& row = all[index(c.first + k)];
      const double weight = c.weight[index(k)] * (row.across && wind ? -1 : 1);
      for (int64_t i = 0; i < nlon; ++i)
        result[index(j * nlon + i)] += weight * wide[index(row.from * nlon + (row.across ? (i + nlat) % nlon : i))];
    }
  }
  return result;
}

}  // namespace levda::models
