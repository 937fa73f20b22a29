#pragma once

/// Scalar functions of the tape, written once for every backend. X is a floating number (CUDA, references) or a
/// fixed-size block of them with elementwise arithmetic (the CPU's vector registers).

#include <cmath>

namespace levda::autodiff::scalar {

template <typename X>
X sigmoid(const X& x) {
  using std::exp;
  return 1 / (1 + exp(-x));
}

/// x sigmoid(x) (Elfwing et al., arXiv 1702.03118) and its derivative s (1 + x (1 - s)), from s = sigmoid(x).
template <typename X>
X silu(const X& x, const X& s) {
  return x * s;
}
template <typename X>
X silu_derivative(const X& x, const X& s) {
  return s * (1 + x * (1 - s));
}

}  // namespace levda::autodiff::scalar
