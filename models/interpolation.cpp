#include "models/interpolation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autodiff/error.h"

namespace levda::models {

CubicStencil cubic_stencil(double position, std::int64_t count, bool periodic) {
  if (count < 4) throw Error(fmt::format("cubic interpolation on {} nodes: four are needed", count));
  constexpr double resolution = 1e-6;
  const auto n = static_cast<double>(count);
  if (!periodic) position = std::clamp(position, 0.0, n - 1);
  const double nearest = std::round(position);
  if (std::abs(position - nearest) < resolution) position = nearest;
  if (periodic) position -= n * std::floor(position / n);
  std::int64_t first = static_cast<std::int64_t>(std::floor(position)) - 1;
  if (!periodic) first = std::clamp(first, std::int64_t{0}, count - 4);
  CubicStencil s{.first = first < 0 ? first + count : first, .weights = {}, .count = count};
  const double t = position - static_cast<double>(first);
  for (int k = 0; k < 4; ++k) {
    s.weights[k] = 1;
    for (int i = 0; i < 4; ++i)
      if (i != k) s.weights[k] *= (t - i) / (k - i);
  }
  return s;
}

CubicStencil stencil_x(const Grid& grid, std::int64_t c, double x) {
  return cubic_stencil((x - grid.x0) / grid.dx - grid.offset_x[c], grid.nx, grid.periodic_x());
}

CubicStencil stencil_y(const Grid& grid, std::int64_t c, double y) {
  return cubic_stencil((y - grid.y0) / grid.dy - grid.offset_y[c], grid.ny, grid.periodic_y());
}

double interpolate(std::span<const float> state, const Grid& grid, std::int64_t c, double x, double y) {
  const CubicStencil i = stencil_x(grid, c, x);
  const CubicStencil j = stencil_y(grid, c, y);
  double value = 0;
  for (int b = 0; b < 4; ++b)
    for (int a = 0; a < 4; ++a)
      value +=
          j.weights[b] * i.weights[a] * static_cast<double>(state[c * grid.cells() + j.node(b) * grid.nx + i.node(a)]);
  return value;
}

}  // namespace levda::models
