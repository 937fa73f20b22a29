#pragma once

/// Values of gridded fields between the nodes.

#include <array>
#include <span>

#include "models/surrogate.h"

namespace levda::models {

/// Four neighbouring nodes along an axis and their weights.
struct CubicStencil {
  std::int64_t first = 0;
  std::array<double, 4> weights{};
};

/// Lagrange's cubic through the four nodes around a position, in nodes from the first one; near an end, through the
/// last four. Exact for cubics. A position within 1e-6 of a node gives that node alone. Beyond the ends the position is
/// taken as the end. Needs count >= 4 (Error).
CubicStencil cubic_stencil(double position, std::int64_t count);

/// Channel c of a state (channels, ny, nx) at a place in physical units, bicubic on the channel's own staggered
/// positions.
double interpolate(std::span<const float> state, const Grid& grid, std::int64_t c, double x, double y);

}  // namespace levda::models
