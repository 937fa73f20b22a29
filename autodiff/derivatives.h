#pragma once

/// Derivatives of recorded computations: sweeps over a tape.

#include <functional>

#include "autodiff/op.h"

namespace levda::autodiff {

/// keep: the operations of a sweep are recorded on the tape, so that its result can be differentiated again.
enum class Graph : std::uint8_t { discard, keep };

/// J' w by one reverse sweep. w has the shape, type and device of y; the result has one cotangent per x in `wrt`, in
/// the shape of x: zeros if y does not depend on x, or one of them is a constant. If a variable of `wrt` was computed
/// from another one, it counts as independent of it. A result that is not recorded has storage of its own. The sweep
/// takes time in proportion to the nodes that y was computed from since the first variable. Throws Error when an x is
/// not on the tape of y, that tape no longer exists, or a tensor that a visited node holds was changed after it was
/// recorded.
Vars vjp(const Var& y, const Var& w, const Vars& wrt, Graph graph = Graph::discard);

/// J v by one forward sweep over the recorded operations. v[i] is the tangent of wrt[i], in its type; an empty one is
/// zero. To carry several directions at once, give all tangents the same extra leading axes; the result has them too.
/// Throws Error as vjp does, and when the leading axes differ.
Var jvp(const Var& y, const Vars& wrt, const Vars& v, Graph graph = Graph::discard);

/// jvp for several results in one sweep.
Vars jvp(const Vars& y, const Vars& wrt, const Vars& v, Graph graph = Graph::discard);

struct ValueAndGrad {
  double value = 0;
  std::vector<Tensor> gradients;  ///< in the shapes of the inputs
};

using Function = std::function<Var(const Vars&)>;

/// Value and gradient of a scalar function; the gradient of a constant is zero. Throws Error when its result is not a
/// scalar, and NonFiniteError under guard (Tape::guard).
ValueAndGrad value_and_grad(const Function& f, std::span<const Tensor> inputs, bool guard = false);
inline ValueAndGrad value_and_grad(const Function& f, std::initializer_list<Tensor> inputs, bool guard = false) {
  return value_and_grad(f, std::span(inputs.begin(), inputs.size()), guard);
}

/// H v, the Hessian of a scalar function times a vector, in the shapes of the inputs: a forward sweep over the recorded
/// reverse sweep. Extra leading axes of v give several products at once, as in jvp. Throws as value_and_grad does.
std::vector<Tensor> hvp(const Function& f, std::span<const Tensor> inputs, std::span<const Tensor> v,
                        bool guard = false);
inline std::vector<Tensor> hvp(const Function& f, std::initializer_list<Tensor> inputs, std::initializer_list<Tensor> v,
                               bool guard = false) {
  return hvp(f, std::span(inputs.begin(), inputs.size()), std::span(v.begin(), v.size()), guard);
}

/// f(inputs) as one node. Its operations are not stored but computed again in each sweep, which saves memory and takes
/// time; value and derivatives have the same bits as f(inputs). A recorded sweep (Graph::keep) records the operations.
/// Throws Error when f computes with a tracked variable that is not among its inputs.
Var checkpoint(const Function& f, const Vars& inputs);

}  // namespace levda::autodiff
