#pragma once

/// Scalar functions, written once for all backends. X is a floating-point number (CUDA, references) or a block of fixed
/// size with elementwise arithmetic (vector registers of the CPU).

#include <cmath>
#include <cstdint>
#include <numbers>
#include <type_traits>

#include "autodiff/backend.h"

#ifdef __CUDACC__
#define LEVDA_HOST_DEVICE __host__ __device__
#else
#define LEVDA_HOST_DEVICE
#endif

namespace levda::autodiff::scalar {

/// a where the condition holds, else b.
template <typename C, typename X>
LEVDA_HOST_DEVICE X choose(const C& condition, const X& a, const X& b) {
  if constexpr (std::is_same_v<C, bool>)
    return condition ? a : b;
  else
    return condition.select(a, b);
}

/// One number in every element.
template <typename X>
LEVDA_HOST_DEVICE X constant(double value) {
  if constexpr (std::is_floating_point_v<X>)
    return static_cast<X>(value);
  else
    return X::Constant(static_cast<typename X::Scalar>(value));
}

template <typename X>
LEVDA_HOST_DEVICE X sigmoid(const X& x) {
  using std::exp;
  return 1 / (1 + exp(-x));
}

/// x sigmoid(x) (Elfwing et al., arXiv 1702.03118) and its derivative s (1 + x (1 - s)), from s = sigmoid(x).
template <typename X>
LEVDA_HOST_DEVICE X silu(const X& x, const X& s) {
  return x * s;
}
template <typename X>
LEVDA_HOST_DEVICE X silu_derivative(const X& x, const X& s) {
  return s * (1 + x * (1 - s));
}

/// max(x, 0); NaN for NaN.
template <typename X>
LEVDA_HOST_DEVICE X relu(const X& x) {
  return choose(x <= 0, constant<X>(0), x);
}

/// log(1 + exp(x)) without overflow.
template <typename X>
LEVDA_HOST_DEVICE X softplus(const X& x) {
  using std::abs;
  using std::exp;
  using std::log1p;
  const X size = abs(x);
  return choose(x > 0, x, constant<X>(0)) + log1p(X(exp(X(-size))));
}

/// -1, 0 or 1; NaN for NaN.
template <typename X>
LEVDA_HOST_DEVICE X sign(const X& x) {
  return choose(x > 0, constant<X>(1), X(choose(x < 0, constant<X>(-1), x)));
}

/// x P(x), P the standard normal distribution function (Hendrycks & Gimpel, arXiv 1606.08415). Numbers only, no blocks.
template <typename T>
LEVDA_HOST_DEVICE T gelu(T x) {
  return x / 2 * std::erfc(-x / std::numbers::sqrt2_v<T>);
}

/// tanh of a float is computed in double. Near 1 the error of its slope, 1 - tanh^2, is many times that of tanh, and
/// vectorised tanh in float is wrong by 1 to 3 units in the last place.
template <typename X>
LEVDA_HOST_DEVICE X tanh(const X& x) {
  using std::tanh;
  if constexpr (std::is_floating_point_v<X>) {
    return static_cast<X>(tanh(static_cast<double>(x)));
  } else if constexpr (std::is_same_v<typename X::Scalar, float>) {
    const auto wide = x.template cast<double>().eval();
    const auto e = (-2 * wide.abs()).exp().eval();
    const auto size = ((1 - e) / (1 + e)).eval();
    // Below 1e-4 the result is x, with a relative error of x^2 / 3, because 1 - e loses digits there.
    const auto signed_size = (wide < 0).select(-size, size).eval();
    return (wide.abs() < 1e-4).select(wide, signed_size).template cast<float>();
  } else {
    return x.tanh();
  }
}

/// The function f at x.
template <Unary f, typename X>
LEVDA_HOST_DEVICE X apply(const X& x) {
  using std::abs, std::cos, std::exp, std::log, std::sin, std::sqrt;
  constexpr bool plain = std::is_floating_point_v<X>;
  if constexpr (f == Unary::neg) return -x;
  if constexpr (f == Unary::sin) return sin(x);
  if constexpr (f == Unary::cos) return cos(x);
  if constexpr (f == Unary::exp) return exp(x);
  if constexpr (f == Unary::sqrt) return sqrt(x);
  if constexpr (f == Unary::square) return x * x;
  if constexpr (f == Unary::sigmoid) return sigmoid(x);
  if constexpr (f == Unary::silu_derivative) return silu_derivative<X>(x, sigmoid(x));
  if constexpr (f == Unary::tanh) return scalar::tanh(x);
  if constexpr (f == Unary::relu) return relu(x);
  if constexpr (f == Unary::softplus) return softplus(x);
  if constexpr (f == Unary::log) return log(x);
  if constexpr (f == Unary::abs) return abs(x);
  if constexpr (f == Unary::sign) return scalar::sign(x);
  if constexpr (f == Unary::gelu && plain) return gelu(x);
  if constexpr (f == Unary::erf && plain) return std::erf(x);
  if constexpr ((f == Unary::gelu || f == Unary::erf) && !plain)
    return x.unaryExpr([](typename X::Scalar value) { return apply<f>(value); });
}

template <Binary f, typename T>
LEVDA_HOST_DEVICE T apply(T p, T q) {
  if constexpr (f == Binary::add) return p + q;
  if constexpr (f == Binary::sub) return p - q;
  if constexpr (f == Binary::mul) return p * q;
  if constexpr (f == Binary::div) return p / q;
  // NaN if an argument is NaN.
  if constexpr (f == Binary::maximum) return p > q || p != p ? p : q;
  if constexpr (f == Binary::minimum) return p < q || p != p ? p : q;
  if constexpr (f == Binary::greater) return p > q ? T(1) : T(0);
}

template <auto f>
using Constant = std::integral_constant<decltype(f), f>;

/// Calls g(Constant<f>) for a function that is known only at run time.
template <typename G>
void visit(Unary f, G&& g) {
  switch (f) {
    case Unary::neg: return g(Constant<Unary::neg>());
    case Unary::sin: return g(Constant<Unary::sin>());
    case Unary::cos: return g(Constant<Unary::cos>());
    case Unary::exp: return g(Constant<Unary::exp>());
    case Unary::sqrt: return g(Constant<Unary::sqrt>());
    case Unary::square: return g(Constant<Unary::square>());
    case Unary::sigmoid: return g(Constant<Unary::sigmoid>());
    case Unary::silu_derivative: return g(Constant<Unary::silu_derivative>());
    case Unary::tanh: return g(Constant<Unary::tanh>());
    case Unary::relu: return g(Constant<Unary::relu>());
    case Unary::gelu: return g(Constant<Unary::gelu>());
    case Unary::erf: return g(Constant<Unary::erf>());
    case Unary::softplus: return g(Constant<Unary::softplus>());
    case Unary::log: return g(Constant<Unary::log>());
    case Unary::abs: return g(Constant<Unary::abs>());
    case Unary::sign: return g(Constant<Unary::sign>());
  }
}
template <typename G>
void visit(Binary f, G&& g) {
  switch (f) {
    case Binary::add: return g(Constant<Binary::add>());
    case Binary::sub: return g(Constant<Binary::sub>());
    case Binary::mul: return g(Constant<Binary::mul>());
    case Binary::div: return g(Constant<Binary::div>());
    case Binary::maximum: return g(Constant<Binary::maximum>());
    case Binary::minimum: return g(Constant<Binary::minimum>());
    case Binary::greater: return g(Constant<Binary::greater>());
  }
}

}  // namespace levda::autodiff::scalar
