#pragma once

/// Operations of users with hand-written derivatives. They are useful where the derivative of the formula is not finite
/// (a norm at zero) or slow, and where other code computes the value.

#include <string>

#include "autodiff/derivatives.h"
#include "autodiff/tangents.h"

namespace levda::autodiff {

/// A user's operation. A rule is written with the functions of op.h and tangents.h; then its results can be
/// differentiated again (hvp) and it runs on every device. A rule that computes in another way, for example on
/// Tensor::to_vector(), gives first derivatives only.
struct CustomOp {
  std::string name;  ///< begins the messages of errors
  /// f(x). The inputs are constants.
  std::function<Var(const Vars& x)> value;
  /// J_i' w: the cotangent of input i, in its shape, from w, the cotangent of the output. Inputs and output are in n.
  /// Empty function: the operation cannot be swept in reverse.
  std::function<Var(const Call& n, int i, const Var& w)> vjp = {};
  /// J v: the tangent of the output from the tangents of the inputs (an empty one is zero; at least one is not). If the
  /// tangents have extra leading axes, so must the result; see tangents.h. Empty function: no forward sweeps, no hvp.
  std::function<Var(const Call& n, const Vars& v)> jvp = {};
  /// The shape of the result. Throws Error when the inputs do not fit. Empty function: the shape that `value` returns.
  std::function<Shape(Inputs x)> shape = {};
};

/// The operation as a function of its inputs, for use in every computation: under vjp, jvp, hvp, checkpoint and
/// tiled_sum. Several threads may call the rules at once. The function throws Error that begins with "[name]" when a
/// rule is missing, or returns another shape, type or device than it must. check_derivatives (check.h) tests whether
/// the rules are right.
Function custom_op(CustomOp op);

}  // namespace levda::autodiff
