#include "models/interpolation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autodiff/error.h"

namespace levda::models {

CubicStencil cubic_stencil(double position, std::int64_t count) {
  if (count < 4) throw Error(fmt::format("cubic interpolation on {} nodes: four are needed", count));
  constexpr double resolution = 1e-6;
  position = std::clamp(position, 0.0, static_cast<double>(count - 1));
  const double nearest = std::round(position);
  if (std::abs(position - nearest) < resolution) position = nearest;
  CubicStencil s{.first = std::clamp(static_cast<std::int64_t>(std::floor(position)) - 1, std::int64_t{0}, count - 4)};
  const double t = position - static_cast<double>(s.first);
  for (int k = 0; k < 4; ++k) {
    s.weights[k] = 1;
    for (int i = 0; i < 4; ++i)
      if (i != k) s.weights[k] *= (t - i) / (k - i);
  }
  return s;
}

double interpolate(std::span<const float> state, const Grid& grid, std::int64_t c, double x, double y) {
  const CubicStencil i = cubic_stencil((x - grid.x0) / grid.dx - grid.offset_x[c], grid.nx);
  const CubicStencil j = cubic_stencil((y - grid.y0) / grid.dy - grid.offset_y[c], grid.ny);
  double value = 0;
  for (int b = 0; b < 4; ++b)
    for (int a = 0; a < 4; ++a)
      value += j.weights[b] * i.weights[a] *
               static_cast<double>(state[c * grid.cells() + (j.first + b) * grid.nx + i.first + a]);
  return value;
}

}  // namespace levda::models
