#pragma once

/// Tensors as Eigen matrices and back, for the algebra in ensemble space. Not installed: no public header includes it.

#include <Eigen/Core>
#include <algorithm>

#include "da/internal/groups.h"

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

}  // namespace levda::da
