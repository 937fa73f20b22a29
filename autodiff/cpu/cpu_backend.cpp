/// Operations that move or change tensors. Vector functions, products and factors are in other files.

#include <fmt/format.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "autodiff/cpu/cpu_backend.h"
#include "autodiff/internal/walk.h"
#include "autodiff/random.h"
#include "autodiff/tensor.h"

namespace levda::autodiff {

namespace {

template <typename T>
using Vector = Eigen::Array<T, Eigen::Dynamic, 1>;

}  // namespace

void check_indices(const char* op, const Tensor& index, std::int64_t rows) {
  const std::int64_t* k = index.data<std::int64_t>();
  for (std::int64_t i = 0; i < index.size(); ++i)
    if (k[i] < 0 || k[i] >= rows) throw Error(fmt::format("[{}] index {} is outside {} rows", op, k[i], rows));
}

void CpuBackend::fill(Tensor& y, double value) {
  dispatch(y.dtype(), [&]<typename T>(T) { std::fill_n(y.data<T>(), y.size(), static_cast<T>(value)); });
}

void CpuBackend::convert(const Tensor& x, Tensor& y) {
  if (x.dtype() == DType::float32)
    std::copy_n(x.data<float>(), x.size(), y.data<double>());
  else
    std::transform(x.data<double>(), x.data<double>() + x.size(), y.data<float>(),
                   [](double value) { return static_cast<float>(value); });
}

void CpuBackend::copy(const Shape& extents, const Tensor& x, const Strided& from, Tensor& y, const Strided& to) {
  const Walk<2> walk(extents, {from.strides.data(), to.strides.data()});
  const auto rows = [&]<typename T>(const T* px, T* py) {
    const std::int64_t n = walk.inner();
    const std::int64_t step_x = walk.inner_stride(0);
    const std::int64_t step_y = walk.inner_stride(1);
    walk.for_each_row([&](const auto& offset) {
      const T* rx = px + from.offset + offset[0];
      T* ry = py + to.offset + offset[1];
      if (step_x == 1 && step_y == 1)
        std::copy_n(rx, n, ry);
      else
        for (std::int64_t i = 0; i < n; ++i) ry[i * step_y] = rx[i * step_x];
    });
  };
  if (x.dtype() == DType::int64) return rows(x.data<std::int64_t>(), y.data<std::int64_t>());
  dispatch(x.dtype(), [&]<typename T>(T) { rows(x.data<T>(), y.data<T>()); });
}

void CpuBackend::scale(const Tensor& x, double alpha, double beta, Tensor& y) {
  dispatch(x.dtype(), [&]<typename T>(T) {
    const T a = static_cast<T>(alpha);
    const T b = static_cast<T>(beta);
    const T* px = x.data<T>();
    T* py = y.data<T>();
    const std::int64_t n = x.size();
    for (std::int64_t i = 0; i < n; ++i) py[i] = a * px[i] + b;
  });
}

void CpuBackend::power(const Tensor& x, double p, Tensor& y) {
  dispatch(x.dtype(), [&]<typename T>(T) {
    std::transform(x.data<T>(), x.data<T>() + x.size(), y.data<T>(),
                   [p = static_cast<T>(p)](T value) { return std::pow(value, p); });
  });
}

Range CpuBackend::range(const Tensor& x) {
  Range range{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  dispatch(x.dtype(), [&]<typename T>(T) {
    const T* values = x.data<T>();
    for (std::int64_t i = 0; i < x.size(); ++i) {
      if (!std::isfinite(values[i])) {
        ++range.nonfinite;
        continue;
      }
      range.least = std::min(range.least, static_cast<double>(values[i]));
      range.greatest = std::max(range.greatest, static_cast<double>(values[i]));
    }
  });
  return range;
}

void CpuBackend::gather(const Tensor& x, const Tensor& index, int axis, Tensor& y) {
  const int position = x.shape().position(axis);
  const std::int64_t outer = x.shape().size(0, position);
  const std::int64_t inner = x.shape().size(position + 1, x.shape().rank());
  const std::int64_t rows = x.shape()[position];
  const std::int64_t* k = index.data<std::int64_t>();
  check_indices("gather", index, rows);
  dispatch(x.dtype(), [&]<typename T>(T) {
    T* py = y.data<T>();
    for (std::int64_t o = 0; o < outer; ++o)
      for (std::int64_t i = 0; i < index.size(); ++i, py += inner)
        std::copy_n(x.data<T>() + (o * rows + k[i]) * inner, inner, py);
  });
}

void CpuBackend::adam(const AdamConstants& constants, const Tensor& now, const Tensor& g, Tensor& m, Tensor& v,
                      Tensor& p) {
  const double* const at = now.data<double>();
  dispatch(p.dtype(), [&]<typename T>(T) {
    const T b1 = static_cast<T>(constants.beta1);
    const T b2 = static_cast<T>(constants.beta2);
    // In double: in float32 the relative error of 1 - 0.999 would be 1e-5, in every step.
    const T fresh1 = static_cast<T>(1 - constants.beta1);
    const T fresh2 = static_cast<T>(1 - constants.beta2);
    const T rate = static_cast<T>(at[0] * at[1]);
    const T correction2 = static_cast<T>(at[2]);
    const T decay = static_cast<T>(at[3]);
    const T epsilon = static_cast<T>(constants.epsilon);
    const Eigen::Map<const Vector<T>> grad(g.data<T>(), g.size());
    Eigen::Map<Vector<T>> first(m.data<T>(), m.size());
    Eigen::Map<Vector<T>> second(v.data<T>(), v.size());
    Eigen::Map<Vector<T>> parameter(p.data<T>(), p.size());
    // A difference, not a product with 1 - decay: float32 would round the share to a few digits.
    if (decay != 0) parameter -= decay * parameter;
    first = b1 * first + fresh1 * grad;
    second = b2 * second + fresh2 * grad.square();
    // The root in double: Eigen's in float is wrong for denormal and infinite numbers.
    const auto root = (second * correction2).template cast<double>().sqrt().template cast<T>();
    parameter -= rate * first / (root + epsilon);
  });
}

void CpuBackend::draw_rows(const RandomRows& rows, const Tensor& step, const Tensor& base, Tensor& y) {
  const std::int64_t groups = base.size();
  const std::int64_t draws = groups == 0 ? 0 : y.size() / groups;
  const auto now = static_cast<std::uint32_t>(*step.data<std::int64_t>());
  std::int64_t* out = y.data<std::int64_t>();
  for (std::int64_t g = 0; g < groups; ++g) {
    Random random(rows.seed, rows.stream + static_cast<std::uint32_t>(g), now);
    for (std::int64_t k = 0; k < draws; ++k) *out++ = base.data<std::int64_t>()[g] + random.below(rows.choices);
  }
}

Backend& cpu() {
  // Never destroyed, so that tensors of static storage duration may outlive main.
  static CpuBackend* const backend = new CpuBackend;
  return *backend;
}

}  // namespace levda::autodiff
