#pragma once

/// Tensors as Eigen matrices and back, for the algebra in ensemble space. Not installed: no public header includes it.

#include <oneapi/tbb/parallel_for.h>

#include <Eigen/Core>
#include <algorithm>
#include <span>

#include "autodiff/tensor.h"

namespace levda::da {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;

/// Rows of a float64 tensor on the host.
inline Matrix matrix_of(const autodiff::Tensor& x) {
  const std::vector<double> values = x.to_vector();
  const std::int64_t columns = x.shape()[-1];
  return Eigen::Map<const Matrix>(values.data(), x.size() / std::max<std::int64_t>(columns, 1), columns);
}

inline Vector vector_of(const autodiff::Tensor& x) { return matrix_of(x).reshaped<Eigen::RowMajor>(); }

inline autodiff::Tensor tensor_of(const Matrix& x) {
  return autodiff::Tensor::from(std::span<const double>(x.data(), static_cast<std::size_t>(x.size())),
                                {x.rows(), x.cols()});
}

inline autodiff::Tensor tensor_of(const Vector& x) {
  return autodiff::Tensor::from(std::span<const double>(x.data(), static_cast<std::size_t>(x.size())), {x.size()});
}

/// The part of outermost index k.
inline autodiff::Tensor part(const autodiff::Tensor& x, std::size_t k) {
  const auto i = static_cast<std::int64_t>(k);
  return x.rows(i, i + 1).reshaped(x.shape().part(1, x.shape().rank()));
}

/// f(0) .. f(count - 1), each a task of its own.
template <typename F>
void in_parallel(std::size_t count, const F& f) {
  oneapi::tbb::parallel_for(std::size_t{0}, count, f, oneapi::tbb::simple_partitioner());
}

}  // namespace levda::da
