#pragma once

/// What the files of operations share; not for users.

#include <vector>

#include "autodiff/op.h"

namespace levda::autodiff {

std::vector<const Op*> elementwise_rows();
std::vector<const Op*> product_rows();
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

/// sum_to where it is needed.
Var unbroadcast(const Var& x, const Shape& shape);

/// a + b where either may be empty.
Var add_tangents(const Var& a, const Var& b);

}  // namespace levda::autodiff
