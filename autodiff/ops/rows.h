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

/// A pointer for the tape to a row of static lifetime, without reference counting.
inline std::shared_ptr<const Op> row(const Op& op) { return {std::shared_ptr<const Op>(), &op}; }

}  // namespace levda::autodiff
