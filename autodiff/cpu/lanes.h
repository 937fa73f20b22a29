#pragma once

/// Vector registers of the CPU as numbers for the formulas of autodiff/internal/scalar.h. Their exp, log and log1p hold
/// over the whole range: infinities, NaN, denormals and overflow are those of IEEE arithmetic, and errors are below 2
/// units in the last place. (Eigen 3.4 clamps the argument of exp and flushes denormals to zero.)

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#ifdef __AVX__
#include <immintrin.h>
#endif

#include "autodiff/internal/scalar.h"

namespace levda::autodiff::scalar {

#ifdef __AVX__
constexpr int register_bytes = 32;
#else
constexpr int register_bytes = 16;
#endif

/// The compiler's vector types of numbers, of the results of comparisons and of bits.
template <typename T>
struct Register;
template <>
struct Register<float> {
  typedef float Values __attribute__((vector_size(register_bytes)));
  typedef float Half __attribute__((vector_size(register_bytes / 2)));
  typedef std::int32_t Integers __attribute__((vector_size(register_bytes)));
  typedef std::uint32_t Bits __attribute__((vector_size(register_bytes)));
};
template <>
struct Register<double> {
  typedef double Values __attribute__((vector_size(register_bytes)));
  typedef std::int64_t Integers __attribute__((vector_size(register_bytes)));
  typedef std::uint64_t Bits __attribute__((vector_size(register_bytes)));
};

/// One register of numbers.
template <typename T>
struct Lanes {
  using Scalar = T;
  using Values = typename Register<T>::Values;
  using Integers = typename Register<T>::Integers;
  using Bits = typename Register<T>::Bits;
  static constexpr int width = register_bytes / static_cast<int>(sizeof(T));

  /// The result of a comparison.
  struct Mask {
    Integers set;
    Lanes select(const Lanes& a, const Lanes& b) const { return Lanes(set ? a.v : b.v); }
  };

  Values v;

  Lanes() = default;
  explicit Lanes(Values values) : v(values) {}
  Lanes(T value) : v(value - Values{}) {}  // NOLINT: numbers stand for registers in formulas
  explicit Lanes(Bits bits) : v(std::bit_cast<Values>(bits)) {}

  static Lanes load(const T* x) {
    Values values;
    std::memcpy(&values, x, sizeof(values));
    return Lanes(values);
  }
  void store(T* x, std::size_t count = width) const { std::memcpy(x, &v, count * sizeof(T)); }
  Bits bits() const { return std::bit_cast<Bits>(v); }

  friend Lanes operator+(Lanes a, Lanes b) { return Lanes(a.v + b.v); }
  friend Lanes operator-(Lanes a, Lanes b) { return Lanes(a.v - b.v); }
  friend Lanes operator*(Lanes a, Lanes b) { return Lanes(a.v * b.v); }
  friend Lanes operator/(Lanes a, Lanes b) { return Lanes(a.v / b.v); }
  friend Lanes operator-(Lanes a) { return Lanes(-a.v); }
  friend Mask operator<(Lanes a, Lanes b) { return {a.v < b.v}; }
  friend Mask operator>(Lanes a, Lanes b) { return {a.v > b.v}; }
  friend Mask operator<=(Lanes a, Lanes b) { return {a.v <= b.v}; }
  friend Mask operator==(Lanes a, Lanes b) { return {a.v == b.v}; }
};

/// Constants of a type of numbers.
template <typename T>
struct Constants {
  using Limits = std::numeric_limits<T>;
  static constexpr int digits = Limits::digits - 1;  // of the fraction
  /// k + shift has k in its last bits, if k is a whole number (or is rounded to one).
  static constexpr T shift = T(3) * static_cast<T>(std::int64_t{1} << (digits - 1));
  static constexpr long double ln2 = 0.693147180559945309417232121458L;
  /// ln 2 in two parts. A product of `high` with the exponent of a number is exact.
  static constexpr T high = std::is_same_v<T, float> ? T(355.0 / 512) : T(0x1.62e42feep-1);
  static constexpr T low = static_cast<T>(ln2 - high);
};

template <typename T>
Lanes<T> abs(const Lanes<T>& x) {
  return Lanes<T>(x.bits() & ~Lanes<T>(T(-0.0)).bits());
}
/// x >= 0 with the sign of another number.
template <typename T>
Lanes<T> with_sign(const Lanes<T>& x, const Lanes<T>& sign) {
  return Lanes<T>(x.bits() | (sign.bits() & Lanes<T>(T(-0.0)).bits()));
}

#ifdef __AVX__
// One instruction each; they return the second operand if one is NaN.
inline Lanes<float> at_least(Lanes<float> bound, Lanes<float> x) { return Lanes<float>(_mm256_max_ps(bound.v, x.v)); }
inline Lanes<double> at_least(Lanes<double> bound, Lanes<double> x) {
  return Lanes<double>(_mm256_max_pd(bound.v, x.v));
}
inline Lanes<float> at_most(Lanes<float> bound, Lanes<float> x) { return Lanes<float>(_mm256_min_ps(bound.v, x.v)); }
inline Lanes<double> at_most(Lanes<double> bound, Lanes<double> x) {
  return Lanes<double>(_mm256_min_pd(bound.v, x.v));
}
#endif

/// 2^k for k + Constants::shift, k an exponent of normal numbers.
template <typename T>
Lanes<T> power_of_two(const Lanes<T>& shifted) {
  return Lanes<T>((shifted.bits() << Constants<T>::digits) + Lanes<T>(T(1)).bits());
}

/// exp(x) = e^r 2^k with |r| <= ln(2) / 2, by the Taylor series of e^r, which ends where its terms are below 2^-27 or
/// 2^-57.
template <typename T>
struct Exponential {
  using C = Constants<T>;
  using X = Lanes<T>;
  /// exp of it is 0, even times a thousand.
  static constexpr T least = static_cast<T>((C::Limits::min_exponent - C::digits - 13) * C::ln2);

  X mantissa;  // e^r
  X k;
  X shifted;  // k + C::shift

  explicit Exponential(const X& x) {
    shifted = x * X(T(1 / C::ln2)) + X(C::shift);
    k = shifted - X(C::shift);
    const X r = (x - k * X(C::high)) - k * X(C::low);
    constexpr int order = std::is_same_v<T, float> ? 7 : 13;
    X series(inverse_factorial(order));
#pragma GCC unroll 16
    for (int n = order - 1; n >= 2; --n) series = series * r + X(inverse_factorial(n));
    mantissa = X(T(1)) + (r + r * r * series);
  }

 private:
  static constexpr T inverse_factorial(int n) {
    long double product = 1;
    for (; n > 1; --n) product *= n;
    return static_cast<T>(1 / product);
  }
};

template <typename T>
Lanes<T> lifted_exp(const Lanes<T>& x) {
  using E = Exponential<T>;
  using X = Lanes<T>;
  const E e(at_least(X(E::least), x));
  const X power((e.shifted.bits() << Constants<T>::digits) + X(lift<T>).bits());
  return choose(x < X(E::least), X(T(0)), e.mantissa * power);
}

/// 2^k is cut in two factors, both normal numbers.
template <typename T>
Lanes<T> exp(const Lanes<T>& x) {
  using C = Constants<T>;
  using E = Exponential<T>;
  using X = Lanes<T>;
  constexpr T most = static_cast<T>((C::Limits::max_exponent + 4) * C::ln2);
  const E e(at_most(X(most), at_least(X(E::least), x)));
  const X half = e.k * X(T(0.5)) + X(C::shift);
  const X rest = (e.k - (half - X(C::shift))) + X(C::shift);
  // 0 without underflow, which takes a hundred times as long as a product.
  return (e.mantissa * power_of_two(rest)) * choose(x < X(E::least), X(T(0)), power_of_two(half));
}

/// log((2 + t) / (2 - t)) = t + t^3 / 12 + t^5 / 80 + .., `terms` terms after the first one, plus `more`.
template <int terms, typename T>
Lanes<T> log_series(const Lanes<T>& t, const Lanes<T>& more) {
  using X = Lanes<T>;
  const X z = t * t * X(T(0.25));
  X series(T(1.0L / (2 * terms + 1)));
#pragma GCC unroll 16
  for (int n = terms - 1; n >= 1; --n) series = series * z + X(T(1.0L / (2 * n + 1)));
  return t + (t * (z * series) + more);
}

/// log(1 + x) for 0 <= x <= 1.
template <typename T>
Lanes<T> log1p(const Lanes<T>& x) {
  constexpr int terms = std::is_same_v<T, float> ? 7 : 16;
  return log_series<terms>((x + x) / (x + Lanes<T>(T(2))), Lanes<T>(T(0)));
}

/// log(m 2^k) with m between the roots of 1/2 and of 2.
template <typename T>
Lanes<T> log(const Lanes<T>& x) {
  using C = Constants<T>;
  using X = Lanes<T>;
  constexpr T infinity = C::Limits::infinity();
  constexpr T raise = static_cast<T>(std::int64_t{1} << (C::digits + 1));
  const auto denormal = x < X(C::Limits::min());
  const X raised = choose(denormal, x * X(raise), x);
  const auto exponents =
      std::bit_cast<typename X::Integers>(raised.bits() - X(T(0.70710678118654752L)).bits()) >> C::digits;
  const auto exponent_bits = std::bit_cast<typename X::Bits>(exponents);
  const X m(raised.bits() - (exponent_bits << C::digits));
  const X k = (X(exponent_bits + X(C::shift).bits()) - X(C::shift)) - choose(denormal, X(T(C::digits + 1)), X(T(0)));
  const X t = (m - X(T(1))) * X(T(2)) / (m + X(T(1)));
  constexpr int terms = std::is_same_v<T, float> ? 5 : 11;
  const X value = k * X(C::high) + log_series<terms>(t, k * X(C::low));
  const X beyond = choose(x == X(T(0)), X(-infinity), X(C::Limits::quiet_NaN()));
  return choose(x == X(infinity), x, choose(x > X(T(0)), value, beyond));
}

/// In double, see tanh of numbers in scalar.h.
inline Lanes<float> tanh(const Lanes<float>& x) {
  using Wide = Lanes<double>;
  using Half = Register<float>::Half;
  const auto in_double = [](Half half) {
    const Wide wide(__builtin_convertvector(half, Wide::Values));
    const Wide e = lifted_exp(Wide(-2.0) * abs(wide)) * Wide(1 / lift<double>);
    const Wide size = with_sign((Wide(1.0) - e) / (Wide(1.0) + e), wide);
    // Below 1e-4 the result is x, with a relative error of x^2 / 3, because 1 - e loses digits there.
    const Wide result = choose(abs(wide) < Wide(1e-4), wide, size);
    return __builtin_convertvector(result.v, Half);
  };
  const auto halves = std::bit_cast<std::array<Half, 2>>(x.v);
  return Lanes<float>(std::bit_cast<Lanes<float>::Values>(std::array{in_double(halves[0]), in_double(halves[1])}));
}

}  // namespace levda::autodiff::scalar
