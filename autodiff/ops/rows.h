#pragma once

/// The lists of rows, one per file of operations.

#include <vector>

#include "autodiff/tangents.h"

namespace levda::autodiff {

std::vector<const Op*> elementwise_rows();
std::vector<const Op*> choice_rows();
std::vector<const Op*> product_rows();
std::vector<const Op*> solve_rows();
std::vector<const Op*> sum_rows();
std::vector<const Op*> layout_rows();

/// a * b and scale(), as parts of another function, whose name is used in messages.
Var product_as(const char* who, const Var& a, const Var& b);
Var scale_as(const char* who, const Var& x, double alpha, double beta = -0.0);

/// A pointer for the tape to a row of static lifetime, without reference counting.
inline std::shared_ptr<const Op> row(const Op& op) { return {std::shared_ptr<const Op>(), &op}; }

}  // namespace levda::autodiff
