/// Products of matrices.

#include <Eigen/Core>

#include "autodiff/cpu/cpu_backend.h"
#include "autodiff/internal/walk.h"
#include "autodiff/tensor.h"

namespace levda::autodiff {

namespace {

template <typename T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// An operand of a product: rows of memory that are `stride` numbers apart, to be transposed or not.
template <typename T>
struct Operand {
  const T* data;
  std::int64_t stride;
  bool transpose;

  auto map(std::int64_t rows, std::int64_t columns) const {
    return Eigen::Map<const Matrix<T>, 0, Eigen::OuterStride<>>(data, transpose ? columns : rows,
                                                                transpose ? rows : columns, stride);
  }
};

/// y = op(a) op(b). Eigen adds along the inner axis in runs of a few hundred, one run after the other. Therefore a long
/// inner axis is cut in halves whose products are added: the error is bounded by (4096 + log2 inner) roundings.
template <typename T>
void product(const Operand<T>& a, const Operand<T>& b, std::int64_t rows, std::int64_t inner, std::int64_t columns,
             T* y) {
  Eigen::Map<Matrix<T>> result(y, rows, columns);
  if (inner == 0) {
    result.setZero();
    return;
  }
  if (inner > 4096) {
    const std::int64_t half = inner / 2;
    Matrix<T> rest(rows, columns);
    product(a, b, rows, half, columns, y);
    product<T>({a.data + (a.transpose ? half * a.stride : half), a.stride, a.transpose},
               {b.data + (b.transpose ? half : half * b.stride), b.stride, b.transpose}, rows, inner - half, columns,
               rest.data());
    result += rest;
    return;
  }
  const auto ma = a.map(rows, inner);
  const auto mb = b.map(inner, columns);
  if (a.transpose && b.transpose)
    result.noalias() = ma.transpose() * mb.transpose();
  else if (a.transpose)
    result.noalias() = ma.transpose() * mb;
  else if (b.transpose)
    result.noalias() = ma * mb.transpose();
  else
    result.noalias() = ma * mb;
}

}  // namespace

void CpuBackend::matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const Tensor* bias,
                        Tensor& y) {
  dispatch(y.dtype(), [&]<typename T>(T) {
    const Shape& sa = a.shape();
    const Shape& sb = b.shape();
    const std::int64_t inner = transpose_a ? sa[-2] : sa[-1];
    const std::int64_t columns = y.shape()[-1];
    const auto multiply = [&](const T* pa, const T* pb, std::int64_t rows, T* py) {
      product<T>({pa, sa[-1], transpose_a}, {pb, sb[-1], transpose_b}, rows, inner, columns, py);
    };
    if (sb.rank() == 2 && !transpose_a) {  // the leading axes of a count as rows
      multiply(a.data<T>(), b.data<T>(), columns == 0 ? 0 : y.size() / columns, y.data<T>());
    } else {
      const std::int64_t rows = y.shape()[-2];
      for_each_matrix(sa, sb, y.shape(), [&](std::int64_t ia, std::int64_t ib, std::int64_t iy) {
        multiply(a.data<T>() + ia * rows * inner, b.data<T>() + ib * inner * columns, rows,
                 y.data<T>() + iy * rows * columns);
      });
    }
    if (bias != nullptr && y.size() > 0) {
      Eigen::Map<Matrix<T>> result(y.data<T>(), y.size() / columns, columns);
      result.rowwise() += Eigen::Map<const Eigen::Matrix<T, 1, Eigen::Dynamic>>(bias->data<T>(), columns);
    }
  });
}

}  // namespace levda::autodiff
