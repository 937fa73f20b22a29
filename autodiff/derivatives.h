#pragma once

/// Derivatives of recorded computations: sweeps over a tape.

#include <functional>

#include "autodiff/op.h"

namespace levda::autodiff {

/// Whether a sweep's own arithmetic is recorded on the tape, so that its result can be differentiated again.
enum class Graph : std::uint8_t { discard, keep };

/// J' w by one reverse sweep: for each x in `wrt` the cotangent in x's shape; zeros where y does not depend on x.
/// A variable of `wrt` that was computed from another one counts as independent of it.
/// w has y's shape. Throws Error when y is not tracked, or an x is not on its tape.
Vars vjp(const Var& y, const Var& w, const Vars& wrt, Graph graph = Graph::discard);

/// J v by one forward sweep over the recorded operations: v[i] is the tangent of wrt[i]; all may have the same extra
/// leading axes, for that many directions at once, and so has the result. Errors as for vjp, and when the leading axes
/// differ.
Var jvp(const Var& y, const Vars& wrt, const Vars& v, Graph graph = Graph::discard);

struct ValueAndGrad {
  double value = 0;
  std::vector<Tensor> gradients;  // in the inputs' shapes
};

/// Value and gradient of a scalar function. Throws Error when its result is not a scalar.
ValueAndGrad value_and_grad(const std::function<Var(const Vars&)>& f, std::span<const Tensor> inputs);

}  // namespace levda::autodiff
