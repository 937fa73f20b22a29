/// Linear systems and Cholesky factors.

#include <fmt/format.h>

#include <Eigen/Cholesky>
#include <Eigen/LU>

#include "autodiff/cpu/cpu_backend.h"
#include "autodiff/internal/walk.h"
#include "autodiff/tensor.h"

namespace levda::autodiff {

namespace {

template <typename T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

}  // namespace

void CpuBackend::solve(const Tensor& a, bool transpose_a, const Tensor& b, Tensor& y) {
  const std::int64_t n = a.shape()[-1];
  const std::int64_t columns = b.shape()[-1];
  dispatch(y.dtype(), [&]<typename T>(T) {
    Eigen::PartialPivLU<Matrix<T>> factors;
    std::int64_t factored = -1;
    for_each_matrix(a.shape(), b.shape(), y.shape(), [&](std::int64_t ia, std::int64_t ib, std::int64_t iy) {
      if (n == 0) return;
      if (ia != factored) factors.compute(Eigen::Map<const Matrix<T>>(a.data<T>() + ia * n * n, n, n));
      factored = ia;
      if ((factors.matrixLU().diagonal().array() == 0).any())
        throw Error(fmt::format("[solve] singular matrix in {}", a.shape().text()));
      const Eigen::Map<const Matrix<T>> right(b.data<T>() + ib * n * columns, n, columns);
      Eigen::Map<Matrix<T>> result(y.data<T>() + iy * n * columns, n, columns);
      if (transpose_a)
        result = factors.transpose().solve(right);
      else
        result = factors.solve(right);
    });
  });
}

void CpuBackend::cholesky(const Tensor& a, Tensor& y) {
  const std::int64_t n = a.shape()[-1];
  if (n == 0) return;
  dispatch(y.dtype(), [&]<typename T>(T) {
    for (std::int64_t begin = 0; begin < a.size(); begin += n * n) {
      const Eigen::Map<const Matrix<T>> whole(a.data<T>() + begin, n, n);
      const Eigen::LLT<Matrix<T>> factor(Matrix<T>(whole * T(0.5) + whole.transpose() * T(0.5)));
      if (factor.info() != Eigen::Success)
        throw Error(fmt::format("[cholesky] not positive definite: a matrix in {}", a.shape().text()));
      Eigen::Map<Matrix<T>>(y.data<T>() + begin, n, n) = factor.matrixL();
    }
  });
}

}  // namespace levda::autodiff
