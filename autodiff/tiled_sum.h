#pragma once

/// Sums over many rows in tiles that stay in a core's cache.

#include <functional>

#include "autodiff/op.h"

namespace levda::autodiff {

/// A scalar from the shared inputs and one tile of the rows: f(shared, rows), with every rows[i] cut along axis 0.
/// Called from several threads at once; all calls see the same shared values.
using TileFunction = std::function<Var(const Vars& shared, const Vars& rows)>;

/// sum over tiles of f(shared, tile of rows): a scalar, as one node.
///
/// shared: whole to every tile (weights). rows: equal extents along axis 0, cut in tiles of `tile` (the last may be
/// shorter). When an input is tracked, each tile runs forward and backward at once on a tape of its own, so memory
/// is bounded by the tiles in flight, and activations are still in cache when the backward sweep needs them. Tiles run
/// in parallel; each adds its gradients into one of a number of slots which depends on the problem only, and slots
/// are added in order: the same bits for any number of threads. jvp runs the tiles again with tangents. A sweep that is
/// to be differentiated again (Graph::keep, hvp) records one node too; each further derivative runs the tiles again,
/// one direction after the other, with the operations of the lower derivative on the tiles' tapes.
/// Throws Error when the rows do not match, there are none, or tile < 1.
Var tiled_sum(const TileFunction& f, const Vars& shared, const Vars& rows, std::int64_t tile);

}  // namespace levda::autodiff
