#include "models/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numbers>

#include "autodiff/error.h"

namespace levda::models {

std::string Grid::fault() const {
  if (geometry != Geometry::sphere) return "";
  constexpr double slack = 1e-6;
  if (y0 < -90 - slack || y0 + height() > 90 + slack) return "latitudes of a sphere lie between -90 and 90 degrees";
  if (!(std::abs(period_x() - 360) <= 1e-3 * dx)) return "longitudes of a sphere go round in 360 degrees";
  return "";
}

bool Grid::is_never(std::int64_t channel, double place_x, double place_y) const {
  if (never.empty()) return false;
  const double node_x_at = node_of_x(channel, place_x);
  const double node_y_at = node_of_y(channel, place_y);
  std::int64_t nearest = 0;
  if (listed()) {
    double least = std::numeric_limits<double>::infinity();
    for (std::int64_t i = 0; i < nx; ++i) {
      const double far = std::hypot(x[i] - node_x_at, y[i] - node_y_at);
      if (far < least) nearest = i;
      least = std::min(least, far);
    }
  } else {
    const auto along = [](double position, std::int64_t count, bool periodic) {
      const auto k = static_cast<std::int64_t>(std::llround(position));
      return periodic ? (k % count + count) % count : std::clamp<std::int64_t>(k, 0, count - 1);
    };
    nearest = along((node_y_at - y0) / dy, ny, periodic_y()) * nx + along((node_x_at - x0) / dx, nx, periodic_x());
  }
  return never[static_cast<std::size_t>(channel * cells() + nearest)] != 0;
}

double Grid::area(std::int64_t i, std::int64_t j) const {
  return geometry == Geometry::sphere ? std::cos(node_y(i, j) * std::numbers::pi / 180) : 1;
}

Grid Grid::of_points(std::vector<double> x, std::vector<double> y, std::int64_t channels) {
  const std::size_t n = x.size();
  if (n < 2 || y.size() != n) throw Error(fmt::format("a list of {} x and {} y is no list of points", n, y.size()));
  const auto [west, east] = std::minmax_element(x.begin(), x.end());
  const auto [south, north] = std::minmax_element(y.begin(), y.end());
  const auto intervals = static_cast<double>(n - 1);
  Grid grid{.nx = static_cast<std::int64_t>(n),
            .ny = 1,
            .x0 = *west,
            .y0 = *south,
            .dx = (*east - *west) / intervals,
            .dy = (*north - *south) / intervals,
            .offset_x = std::vector<double>(static_cast<std::size_t>(channels), 0.0),
            .offset_y = std::vector<double>(static_cast<std::size_t>(channels), 0.0),
            .x = std::move(x),
            .y = std::move(y)};
  if (!(grid.width() > 0 || grid.height() > 0)) throw Error("all points lie at one place");
  return grid;
}

namespace {

void check_stride(std::int64_t stride) {
  if (stride < 1) throw Error(fmt::format("a stride of {} nodes", stride));
}

}  // namespace

autodiff::Tensor grid_points(const Grid& grid, std::int64_t stride) {
  check_stride(stride);
  if (grid.listed()) stride = 1;
  std::vector<float> x;
  for (std::int64_t j = 0; j < grid.ny; j += stride)
    for (std::int64_t i = 0; i < grid.nx; i += stride) {
      x.push_back(static_cast<float>(grid.normal_x(grid.node_x(i))));
      x.push_back(static_cast<float>(grid.normal_y(grid.node_y(i, j))));
    }
  return autodiff::Tensor::from(std::span<const float>(x), {static_cast<std::int64_t>(x.size()) / 2, 2});
}

std::vector<double> grid_areas(const Grid& grid, std::int64_t stride) {
  check_stride(stride);
  if (grid.listed()) stride = 1;
  std::vector<double> areas;
  for (std::int64_t j = 0; j < grid.ny; j += stride)
    for (std::int64_t i = 0; i < grid.nx; i += stride) areas.push_back(grid.area(i, j));
  return areas;
}

}  // namespace levda::models
