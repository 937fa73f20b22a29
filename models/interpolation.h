#pragma once

/// Values of gridded fields between the nodes.

#include <array>
#include <span>

#include "models/grid.h"

namespace levda::models {

/// Four neighbouring nodes along an axis and their weights.
struct CubicStencil {
  std::int64_t first = 0;
  std::array<double, 4> weights{};
  std::int64_t count = 0;  ///< nodes of the axis; a periodic axis continues at its first node

  std::int64_t node(int k) const { return first + k < count ? first + k : first + k - count; }
};

/// Lagrange's cubic through the four nodes around a position, in nodes from the first one; near an end, through the
/// last four. Exact for cubics. A position within 1e-6 of a node gives that node alone. Beyond the ends the position is
/// taken as the end; a periodic axis, on which `count` is 0 again, has none. Needs count >= 4 (Error).
CubicStencil cubic_stencil(double position, std::int64_t count, bool periodic = false);

/// Stencils of channel c at a place in physical units, on the staggered positions of the channel.
CubicStencil stencil_x(const Grid& grid, std::int64_t c, double x);
CubicStencil stencil_y(const Grid& grid, std::int64_t c, double y);

/// Channel c of a state (channels, ny, nx) at a place in physical units, bicubic.
double interpolate(std::span<const float> state, const Grid& grid, std::int64_t c, double x, double y);

}  // namespace levda::models
