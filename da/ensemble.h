#pragma once

/// Ensembles of control vectors.

#include <vector>

#include "autodiff/tensor.h"

namespace levda::da {

/// N members of n numbers, as rows: (N, n) float64.
class Ensemble {
 public:
  Ensemble() = default;
  /// Throws Error when there are fewer than two members or a value is not finite.
  explicit Ensemble(const autodiff::Tensor& members);

  std::int64_t size() const { return members_.shape()[0]; }
  std::int64_t controls() const { return members_.shape()[1]; }
  const autodiff::Tensor& members() const { return members_; }

  /// (n)
  autodiff::Tensor mean() const;
  /// A' = (members - mean) / sqrt(N - 1): (N, n), so that A A' is the sample covariance.
  autodiff::Tensor anomalies() const;
  /// Standard deviation of each control, (n); N - 1 in the denominator.
  std::vector<double> spread() const;

 private:
  autodiff::Tensor members_;
};

}  // namespace levda::da
