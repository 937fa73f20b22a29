/// Functions of one variable.

#include <Eigen/Core>
#include <algorithm>

#include "autodiff/cpu/cpu_backend.h"
#include "autodiff/cpu/lanes.h"
#include "autodiff/tensor.h"

namespace levda::autodiff {

namespace {

using scalar::Lanes;

/// f(register, i, count) for registers of the numbers x, from the i-th on. The numbers after the last full register go
/// through a register too, so that the result of an element does not depend on its position.
template <typename T, typename F>
void for_each_register(const T* x, std::int64_t n, F f) {
  constexpr int width = Lanes<T>::width;
  std::int64_t i = 0;
  for (; i + width <= n; i += width) f(Lanes<T>::load(x + i), i, std::integral_constant<int, width>());
  if (i == n) return;
  T rest[width] = {};
  std::copy(x + i, x + n, rest);
  f(Lanes<T>::load(rest), i, static_cast<int>(n - i));
}

/// y = f(x) with Eigen's function, in the same way.
template <Unary f, typename T>
void map_by_eigen(const T* x, T* y, std::int64_t n) {
  constexpr int width = 64 / sizeof(T);
  using Block = Eigen::Array<T, width, 1>;
  std::int64_t i = 0;
  for (; i + width <= n; i += width) {
    const Block in = Eigen::Map<const Block>(x + i);
    Eigen::Map<Block>(y + i) = scalar::apply<f>(in);
  }
  Block rest = Block::Zero();
  std::copy(x + i, x + n, rest.data());
  rest = scalar::apply<f>(rest).eval();
  std::copy_n(rest.data(), n - i, y + i);
}

template <Unary f, typename T>
void map(const T* x, T* y, std::int64_t n) {
  // Eigen's sin and cos are good to 1.5 units in the last place over the whole range.
  if constexpr (f == Unary::sin || f == Unary::cos)
    map_by_eigen<f>(x, y, n);
  else if constexpr (f == Unary::sqrt || f == Unary::gelu || f == Unary::erf ||
                     (f == Unary::tanh && std::is_same_v<T, double>))
    std::transform(x, x + n, y, [](T value) { return scalar::apply<f>(value); });
  else
    for_each_register(
        x, n, [y](const Lanes<T>& in, std::int64_t i, auto count) { scalar::apply<f>(in).store(y + i, count); });
}

}  // namespace

void CpuBackend::unary(Unary f, const Tensor& x, Tensor& y) {
  dispatch(x.dtype(), [&]<typename T>(T) {
    scalar::visit(f, [&](auto function) { map<decltype(function)::value>(x.data<T>(), y.data<T>(), x.size()); });
  });
}

void CpuBackend::silu(const Tensor& x, Tensor& y, Tensor* derivative) {
  dispatch(x.dtype(), [&]<typename T>(T) {
    T* const py = y.data<T>();
    T* const slope = derivative == nullptr ? nullptr : derivative->data<T>();
    if (slope == nullptr)
      for_each_register(x.data<T>(), x.size(), [py](const Lanes<T>& in, std::int64_t i, auto count) {
        scalar::silu(in, scalar::Logistic(in)).store(py + i, count);
      });
    else
      for_each_register(x.data<T>(), x.size(), [py, slope](const Lanes<T>& in, std::int64_t i, auto count) {
        const scalar::Logistic at(in);
        scalar::silu(in, at).store(py + i, count);
        scalar::silu_derivative(in, at).store(slope + i, count);
      });
  });
}

}  // namespace levda::autodiff
