#pragma once

/// What the files of operations share; not for users.

#include <vector>

#include "autodiff/op.h"

namespace levda::autodiff {

std::vector<const Op*> elementwise_rows();
std::vector<const Op*> choice_rows();
std::vector<const Op*> product_rows();
std::vector<const Op*> solve_rows();
std::vector<const Op*> sum_rows();
std::vector<const Op*> layout_rows();

/// A row of static lifetime as the tape holds it: not counted.
inline std::shared_ptr<const Op> row(const Op& op) { return {std::shared_ptr<const Op>(), &op}; }

/// The extra leading axes that a tangent has over its primal.
inline Shape leading(const Var& tangent, const Var& primal) {
  return tangent.shape().part(0, tangent.shape().rank() - primal.shape().rank());
}

/// The extra leading axes of a set of tangents: those of the one that has most.
Shape leading(const Vars& tangents, Inputs primals);

/// A tangent with ones put between its leading axes and the primal's, so that it broadcasts against arrays of `rank`.
Var align(const Var& tangent, const Var& primal, int rank);

/// Tangent of input i, aligned to the output; empty if zero.
Var aligned(const Call& n, const Vars& v, int i);

/// A tangent that may lack broadcast axes of the output, in full.
Var filled(const Call& n, const Vars& v, const Var& tangent);

/// One number in every element, a constant, in the type and on the device of another value.
inline Var constant(double value, const Shape& shape, const Var& like) {
  return Tensor::full(shape, value, like.dtype(), like.value().backend());
}

/// sum_to where it is needed.
Var unbroadcast(const Var& x, const Shape& shape);

/// a + b where either may be empty.
Var add_tangents(const Var& a, const Var& b);

}  // namespace levda::autodiff
