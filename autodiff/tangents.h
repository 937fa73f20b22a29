#pragma once

/// Helpers for derivative rules (Op::vjp, Op::jvp, CustomOp). They handle the two things that make a rule longer than
/// its formula: inputs that are broadcast, and tangents with extra leading axes, one per direction that is carried.
/// For an input x of shape (3) and 8 directions the tangent has shape (8, 3).

#include "autodiff/op.h"

namespace levda::autodiff {

/// The extra leading axes that a tangent has over its primal: shape (8) in the example above.
inline Shape leading(const Var& tangent, const Var& primal) {
  return tangent.shape().part(0, tangent.shape().rank() - primal.shape().rank());
}

/// The extra leading axes of a set of tangents, some of which may be empty: those of the one that has most. The
/// tangent of an output has the shape `output.shape().prepend(leading(v, inputs))`.
Shape leading(const Vars& tangents, Inputs primals);

/// A tangent with axes of extent 1 put between its leading axes and the primal's, so that it broadcasts against arrays
/// of `rank` axes.
Var align(const Var& tangent, const Var& primal, int rank);

/// The tangent of input i, aligned to the output so that it can be multiplied with arrays that broadcast to the output;
/// empty if it is zero.
Var aligned(const Call& n, const Vars& v, int i);

/// A tangent of the output that may lack axes which the output has by broadcasting, repeated to the full shape.
Var filled(const Call& n, const Vars& v, const Var& tangent);

/// a + b where either may be empty.
Var add_tangents(const Var& a, const Var& b);

/// A cotangent summed over the axes that broadcasting repeated, to the shape of an input.
Var unbroadcast(const Var& x, const Shape& shape);

/// A constant with one number in every element, in the type and on the device of another value.
inline Var constant(double value, const Shape& shape, const Var& like) {
  return Tensor::full(shape, value, like.dtype(), like.value().backend());
}

}  // namespace levda::autodiff
