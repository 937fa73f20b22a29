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

/// The same for several results in one sweep: the tangent of each, zeros for a constant.
Vars jvp(const Vars& y, const Vars& wrt, const Vars& v, Graph graph = Graph::discard);

struct ValueAndGrad {
  double value = 0;
  std::vector<Tensor> gradients;  // in the inputs' shapes
};

using Function = std::function<Var(const Vars&)>;

/// Value and gradient of a scalar function. Throws Error when its result is not a scalar, and NonFiniteError under
/// guard (Tape::guard).
ValueAndGrad value_and_grad(const Function& f, std::span<const Tensor> inputs, bool guard = false);

/// H v, the Hessian of a scalar function times a vector, in the inputs' shapes: a forward sweep over the recorded
/// reverse sweep. v as in jvp, so that extra leading axes give that many products. Errors as for value_and_grad.
std::vector<Tensor> hvp(const Function& f, std::span<const Tensor> inputs, std::span<const Tensor> v);

/// f(inputs) as one node: the operations inside are not kept but computed again in each sweep, to the same bits of
/// value and derivatives as without. Memory for time; a sweep that is recorded (Graph::keep) does record them. Throws
/// Error when f computes with a tracked variable that is not among its inputs.
Var checkpoint(const Function& f, const Vars& inputs);

}  // namespace levda::autodiff
