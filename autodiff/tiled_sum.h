#pragma once

/// Sums over many rows in tiles that stay in a core's cache.

#include <functional>

#include "autodiff/op.h"

namespace levda::autodiff {

/// A scalar function of the shared inputs and one tile of the rows: f(shared, rows), with every rows[i] cut along axis
/// 0. Several threads call it at once, all with the same shared values.
using TileFunction = std::function<Var(const Vars& shared, const Vars& rows)>;

/// The sum over tiles of f(shared, tile of rows): a scalar, as one node.
///
/// Every tile sees all of `shared` (for example weights). `rows` have equal extents along axis 0 and are cut in tiles
/// of `tile` rows; the last tile may be shorter. If an input is tracked, each tile runs forward and backward at once on
/// its own tape, so that memory is bounded by the tiles that run at the same time, and activations are still in cache
/// for the backward sweep. Tiles run in parallel. Each adds its gradients to one of several slots, whose number depends
/// on the problem only, and the slots are added in order: the bits are the same for any number of threads. jvp runs the
/// tiles again with tangents. A recorded sweep (Graph::keep, hvp) records one node too; each further derivative runs
/// the tiles again, one direction after the other, with the operations of the lower derivative on the tapes of the
/// tiles. Throws Error when the rows do not match, there are none, or tile < 1.
Var tiled_sum(const TileFunction& f, const Vars& shared, const Vars& rows, std::int64_t tile);

}  // namespace levda::autodiff
