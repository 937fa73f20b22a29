/// Functions of several variables with broadcasting, and maxima over axes.

#include <algorithm>

#include "autodiff/cpu/cpu_backend.h"
#include "autodiff/internal/scalar.h"
#include "autodiff/internal/walk.h"
#include "autodiff/tensor.h"

namespace levda::autodiff {

namespace {

template <typename T, typename F>
void binary_walk(const Tensor& a, const Tensor& b, Tensor& y, F f) {
  const Walk<3> walk = broadcast_walk(y.shape(), a.shape(), b.shape(), y.shape());
  const std::int64_t n = walk.inner();
  const std::int64_t step_a = walk.inner_stride(0);
  const std::int64_t step_b = walk.inner_stride(1);
  walk.for_each_row([&, pa = a.data<T>(), pb = b.data<T>(), py = y.data<T>()](const auto& offset) {
    const T* ra = pa + offset[0];
    const T* rb = pb + offset[1];
    T* ry = py + offset[2];
    if (step_a == 0 && step_b == 0) {
      std::fill(ry, ry + n, f(*ra, *rb));
    } else if (step_a == 0) {
      const T value = *ra;
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) ry[i] = f(value, rb[i]);
    } else if (step_b == 0) {
      const T value = *rb;
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) ry[i] = f(ra[i], value);
    } else {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) ry[i] = f(ra[i], rb[i]);
    }
  });
}

}  // namespace

void CpuBackend::binary(Binary f, const Tensor& a, const Tensor& b, Tensor& y) {
  dispatch(y.dtype(), [&]<typename T>(T) {
    scalar::visit(f, [&](auto function) {
      binary_walk<T>(a, b, y, [](T p, T q) { return scalar::apply<decltype(function)::value>(p, q); });
    });
  });
}

void CpuBackend::select(const Tensor& mask, const Tensor& a, const Tensor& b, Tensor& y) {
  const Walk<4> walk = broadcast_walk(y.shape(), mask.shape(), a.shape(), b.shape(), y.shape());
  dispatch(y.dtype(), [&]<typename T>(T) {
    walk.for_each_row(
        [&, pm = mask.data<T>(), pa = a.data<T>(), pb = b.data<T>(), py = y.data<T>()](const auto& offset) {
          for (std::int64_t i = 0; i < walk.inner(); ++i) {
            const T& m = pm[offset[0] + i * walk.inner_stride(0)];
            py[offset[3] + i] =
                m != 0 ? pa[offset[1] + i * walk.inner_stride(1)] : pb[offset[2] + i * walk.inner_stride(2)];
          }
        });
  });
}

void CpuBackend::max_to(const Tensor& x, Tensor& y) {
  fill(y, -std::numeric_limits<double>::infinity());
  const Walk<2> walk = broadcast_walk(x.shape(), x.shape(), y.shape());
  dispatch(x.dtype(), [&]<typename T>(T) {
    walk.for_each_row([&, px = x.data<T>(), py = y.data<T>()](const auto& offset) {
      for (std::int64_t i = 0; i < walk.inner(); ++i) {
        const T value = px[offset[0] + i];
        T& most = py[offset[1] + i * walk.inner_stride(1)];
        if (value > most || value != value) most = value;
      }
    });
  });
}

}  // namespace levda::autodiff
