#pragma once

/// Comparisons that the tests of all rooms use.

#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "autodiff/derivatives.h"
#include "autodiff/random.h"
#include "autodiff/tensor.h"

namespace levda::testing {

/// Largest |a_i - b_i|; infinite when the sizes differ or a difference is not a number.
inline double largest_difference(std::span<const double> a, std::span<const double> b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]);
    if (std::isnan(difference)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, difference);
  }
  return largest;
}

inline double largest_difference(const autodiff::Tensor& a, const autodiff::Tensor& b) {
  if (!(a.shape() == b.shape())) return std::numeric_limits<double>::infinity();
  return largest_difference(a.to_vector(), b.to_vector());
}

/// Largest |a_i|.
inline double largest(std::span<const double> a) { return largest_difference(a, std::vector<double>(a.size(), 0.0)); }

/// Same shape, type and bits.
inline bool same_bits(const autodiff::Tensor& a, const autodiff::Tensor& b) {
  if (!(a.shape() == b.shape()) || a.dtype() != b.dtype()) return false;
  const auto equal = [&]<typename T>(T) {
    return std::memcmp(a.data<T>(), b.data<T>(), static_cast<std::size_t>(a.size()) * sizeof(T)) == 0;
  };
  switch (a.dtype()) {
    case autodiff::DType::float32: return equal(float{});
    case autodiff::DType::float64: return equal(double{});
    case autodiff::DType::int64: break;
  }
  return equal(std::int64_t{});
}

/// The derivative of f's gradient along v by central differences of fourth order with steps h and 2 h.
template <typename F>
std::vector<autodiff::Tensor> gradient_differences(const F& f, const std::vector<autodiff::Tensor>& x,
                                                   const std::vector<autodiff::Tensor>& v, double h) {
  using namespace autodiff;
  const auto at = [&](double step) {
    std::vector<Tensor> moved;
    for (std::size_t i = 0; i < x.size(); ++i) moved.push_back((Var(x[i]) + step * Var(v[i])).value());
    return value_and_grad(f, moved).gradients;
  };
  const auto ahead = at(h);
  const auto behind = at(-h);
  const auto far_ahead = at(2 * h);
  const auto far_behind = at(-2 * h);
  std::vector<Tensor> result;
  for (std::size_t i = 0; i < x.size(); ++i)
    result.push_back(
        ((2 / (3 * h)) * (Var(ahead[i]) - Var(behind[i])) - (1 / (12 * h)) * (Var(far_ahead[i]) - Var(far_behind[i])))
            .value());
  return result;
}

inline autodiff::Tensor normal_tensor(const autodiff::Shape& shape, std::uint64_t seed,
                                      autodiff::DType dtype = autodiff::DType::float64) {
  autodiff::Random random(seed);
  std::vector<double> values(static_cast<std::size_t>(shape.size()));
  for (double& value : values) value = random.normal();
  return autodiff::Tensor::from(std::span<const double>(values), shape, dtype);
}

}  // namespace levda::testing
