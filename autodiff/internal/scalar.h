#pragma once

/// Scalar functions, written once for all backends. X is a floating-point number (CUDA, references) or a register of
/// numbers (autodiff/cpu/lanes.h). Each function has the values of IEEE arithmetic at infinities, NaN, signed zeros and
/// denormals; where that would be 0 times infinity, it has the limit.

#include <cmath>
#include <cstdint>
#include <limits>
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

/// x, but not less than the bound; NaN for NaN. For registers: where there is no instruction for it.
template <typename X>
LEVDA_HOST_DEVICE X at_least(const X& bound, const X& x) {
  return choose(x < bound, bound, x);
}
template <typename X>
LEVDA_HOST_DEVICE X at_most(const X& bound, const X& x) {
  return choose(x > bound, bound, x);
}

/// One number in every element.
template <typename X>
LEVDA_HOST_DEVICE X constant(double value) {
  if constexpr (std::is_floating_point_v<X>)
    return static_cast<X>(value);
  else
    return X(static_cast<typename X::Scalar>(value));
}

/// A power of two in the type of a number, and of the numbers in a register.
template <typename X>
struct Lift : Lift<typename X::Scalar> {};
template <>
struct Lift<float> {
  static constexpr float value = 0x1p64F;
};
template <>
struct Lift<double> {
  static constexpr double value = 0x1p512;
};
template <typename X>
constexpr auto lift = Lift<X>::value;

/// exp(x) times lift for x <= 0, a normal number where exp(x) is denormal.
template <typename T>
requires std::is_floating_point_v<T> LEVDA_HOST_DEVICE T lifted_exp(T x) {
  using std::exp;
  constexpr T least = static_cast<T>(std::numeric_limits<T>::min_exponent * std::numbers::ln2);  // exp of it is normal
  const bool deep = x < least;
  const T e = exp(deep ? x / 2 : x);
  return e * lift<T> * (deep ? e : T(1));
}

/// s = 1 / (1 + exp(-x)) as a product, and 1 - s, without cancellation. x s scale is rounded once where it is denormal.
template <typename X>
struct Logistic {
  X s;
  X scale;
  X rest;
  LEVDA_HOST_DEVICE explicit Logistic(const X& x) {
    using std::abs;
    const X one = constant<X>(1);
    const auto negative = x < constant<X>(0);
    const X positive = choose(negative, constant<X>(0), one);
    const X drop = constant<X>(1 / static_cast<double>(lift<X>));
    const X e = lifted_exp(X(-abs(x)));
    const X small = at_least(constant<X>(0x1p-40), e) * drop;  // not denormal: that is slow
    const X q = one / (one + small);
    s = choose(negative, e, one) * q;
    scale = at_least(drop, positive);
    rest = at_least(X(one - positive), small) * q;
  }
};

template <typename X>
LEVDA_HOST_DEVICE X sigmoid(const X& x) {
  const Logistic<X> at(x);
  return at.s * at.scale;
}

/// x, or -800 for all smaller numbers, where x exp(x) is 0 and an infinite x would make it NaN.
template <typename X>
LEVDA_HOST_DEVICE X cut_off(const X& x) {
  return at_least(constant<X>(-800), x);
}

/// x sigmoid(x) (Elfwing et al., arXiv 1702.03118) and its derivative s (1 + x (1 - s)).
template <typename X>
LEVDA_HOST_DEVICE X silu(const X& x, const Logistic<X>& at) {
  return cut_off(x) * at.s * at.scale;
}
template <typename X>
LEVDA_HOST_DEVICE X silu_derivative(const X& x, const Logistic<X>& at) {
  return at.s * (constant<X>(1) - cut_off(X(-cut_off(x))) * at.rest) * at.scale;
}

/// max(x, 0); NaN for NaN.
template <typename X>
LEVDA_HOST_DEVICE X relu(const X& x) {
  return choose(x <= constant<X>(0), constant<X>(0), x);
}

/// log(1 + exp(x)) without overflow.
template <typename X>
LEVDA_HOST_DEVICE X softplus(const X& x) {
  using std::abs, std::exp, std::log1p;
  const X size = abs(x);
  return at_least(constant<X>(0), x) + log1p(X(exp(X(-size))));
}

/// -1, 0 or 1; NaN for NaN.
template <typename X>
LEVDA_HOST_DEVICE X sign(const X& x) {
  const X zero = constant<X>(0);
  return choose(x > zero, constant<X>(1), X(choose(x < zero, constant<X>(-1), x)));
}

/// x P(x), P the standard normal distribution function (Hendrycks & Gimpel, arXiv 1606.08415). Numbers only.
/// P(x) = erfc(z) / 2 with z = -x / sqrt(2), whose rounding matters: erfc(z + d) = erfc(z) - 2 / sqrt(pi) exp(-z^2) d.
LEVDA_HOST_DEVICE inline double gelu(double x) {
  constexpr double high = 0x1.6a09e667f3bcdp-1;  // 1 / sqrt(2)
  constexpr double low = -0x1.bdd3413b26456p-55;
  if (x > 0) return x / 2 * std::erfc(-high * x);
  const double cut = x < -40 ? -40 : x;  // erfc is 0 there
  const double z = -high * cut;
  const double d = std::fma(-high, cut, -z) - low * cut;
  return cut / 2 * (std::erfc(z) - 2 * std::numbers::inv_sqrtpi * std::exp(-z * z) * d);
}
LEVDA_HOST_DEVICE inline float gelu(float x) { return static_cast<float>(gelu(static_cast<double>(x))); }

/// tanh of a float is computed in double. Near 1 the error of its slope, 1 - tanh^2, is many times that of tanh, and
/// tanh in float is wrong by 1 to 3 units in the last place.
template <typename T>
requires std::is_floating_point_v<T> LEVDA_HOST_DEVICE T tanh(T x) {
  return static_cast<T>(std::tanh(static_cast<double>(x)));
}

/// The function f at x.
template <Unary f, typename X>
LEVDA_HOST_DEVICE X apply(const X& x) {
  using std::abs, std::cos, std::exp, std::log, std::sin, std::sqrt;
  if constexpr (f == Unary::neg) return -x;
  if constexpr (f == Unary::sin) return sin(x);
  if constexpr (f == Unary::cos) return cos(x);
  if constexpr (f == Unary::exp) return exp(x);
  if constexpr (f == Unary::sqrt) return sqrt(x);
  if constexpr (f == Unary::square) return x * x;
  if constexpr (f == Unary::sigmoid) return sigmoid(x);
  if constexpr (f == Unary::silu_derivative) return silu_derivative(x, Logistic<X>(x));
  if constexpr (f == Unary::tanh) return tanh(x);
  if constexpr (f == Unary::relu) return relu(x);
  if constexpr (f == Unary::softplus) return softplus(x);
  if constexpr (f == Unary::log) return log(x);
  if constexpr (f == Unary::abs) return abs(x);
  if constexpr (f == Unary::sign) return scalar::sign(x);
  if constexpr (f == Unary::gelu) return gelu(x);
  if constexpr (f == Unary::erf) return std::erf(x);
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
