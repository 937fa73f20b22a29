#pragma once

/// Scalar functions of the tape, written once for every backend. X is a floating number (CUDA, references) or a
/// fixed-size block of them with elementwise arithmetic (the CPU's vector registers).

#include <cmath>
#include <numbers>
#include <type_traits>

namespace levda::autodiff::scalar {

/// a where the condition holds, else b.
template <typename C, typename X>
X choose(const C& condition, const X& a, const X& b) {
  if constexpr (std::is_same_v<C, bool>)
    return condition ? a : b;
  else
    return condition.select(a, b);
}

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

/// The same number everywhere.
template <typename X>
X constant(double value) {
  if constexpr (std::is_floating_point_v<X>)
    return static_cast<X>(value);
  else
    return X::Constant(static_cast<typename X::Scalar>(value));
}

/// max(x, 0); NaN stays.
template <typename X>
X relu(const X& x) {
  return choose(x <= 0, constant<X>(0), x);
}

/// log(1 + exp(x)) without overflow.
template <typename X>
X softplus(const X& x) {
  using std::abs;
  using std::exp;
  using std::log1p;
  const X size = abs(x);
  return choose(x > 0, x, constant<X>(0)) + log1p(X(exp(X(-size))));
}

/// -1, 0 or 1; NaN stays.
template <typename X>
X sign(const X& x) {
  return choose(x > 0, constant<X>(1), X(choose(x < 0, constant<X>(-1), x)));
}

/// x P(x), P the standard normal distribution function (Hendrycks & Gimpel, arXiv 1606.08415). For plain numbers.
template <typename T>
T gelu(T x) {
  return x / 2 * std::erfc(-x / std::numbers::sqrt2_v<T>);
}

}  // namespace levda::autodiff::scalar
