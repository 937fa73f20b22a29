/// Products of matrices.

#include <Eigen/Core>

#include "autodiff/cpu/cpu_backend.h"
#include "autodiff/internal/walk.h"
#include "autodiff/tensor.h"

namespace levda::autodiff {

namespace {

template <typename T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <typename T>
void product(const T* a, bool transpose_a, const T* b, bool transpose_b, std::int64_t rows, std::int64_t inner,
             std::int64_t columns, T* y) {
  using Map = Eigen::Map<const Matrix<T>>;
  Eigen::Map<Matrix<T>> result(y, rows, columns);
  if (inner == 0) {
    result.setZero();
    return;
  }
  const Map ma(a, transpose_a ? inner : rows, transpose_a ? rows : inner);
  const Map mb(b, transpose_b ? columns : inner, transpose_b ? inner : columns);
  if (transpose_a && transpose_b)
    result.noalias() = ma.transpose() * mb.transpose();
  else if (transpose_a)
    result.noalias() = ma.transpose() * mb;
  else if (transpose_b)
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
    if (sb.rank() == 2 && !transpose_a) {  // the leading axes of a count as rows
      product(a.data<T>(), false, b.data<T>(), transpose_b, columns == 0 ? 0 : y.size() / columns, inner, columns,
              y.data<T>());
    } else {
      const std::int64_t rows = y.shape()[-2];
      for_each_matrix(sa, sb, y.shape(), [&](std::int64_t ia, std::int64_t ib, std::int64_t iy) {
        product(a.data<T>() + ia * rows * inner, transpose_a, b.data<T>() + ib * inner * columns, transpose_b, rows,
                inner, columns, y.data<T>() + iy * rows * columns);
      });
    }
    if (bias != nullptr && y.size() > 0) {
      Eigen::Map<Matrix<T>> result(y.data<T>(), y.size() / columns, columns);
      result.rowwise() += Eigen::Map<const Eigen::Matrix<T, 1, Eigen::Dynamic>>(bias->data<T>(), columns);
    }
  });
}

}  // namespace levda::autodiff
