#pragma once

/// Quality control: leaves out observations that do not fit the ensemble.

#include "da/error_covariance.h"
#include "da/observations.h"

namespace levda::da {

/// R with infinite errors of some observations: for these whiten, solve and colour give 0, for the rest the result of
/// the remaining part of R. With it one observation operator serves problems that leave out different observations. An
/// observation that is left out adds nothing to values and forward derivatives, even when its prediction is NaN, and
/// nothing to a reverse sweep when the operator's derivative is finite.
class MaskedCovariance final : public ErrorCovariance {
 public:
  /// kept: whether each observation of `covariance` remains; at least one must.
  MaskedCovariance(const ErrorCovariance& covariance, const std::vector<bool>& kept);

  std::int64_t size() const override { return size_; }
  autodiff::Var solve(const autodiff::Var& x) const override;
  autodiff::Var whiten(const autodiff::Var& x) const override;
  autodiff::Var colour(const autodiff::Var& x) const override;
  /// Infinite for an observation that is left out.
  std::vector<double> variance() const override;
  /// Throws Error when no remaining observation is at one of the positions.
  std::unique_ptr<ErrorCovariance> part(std::span<const std::int64_t> positions,
                                        std::span<const double> factors) const override;
  std::unique_ptr<ErrorCovariance> plus(std::span<const double> variance) const override;

 private:
  MaskedCovariance() = default;
  autodiff::Var kept_of(const autodiff::Var& x) const;
  autodiff::Var spread_out(const autodiff::Var& x) const;

  std::int64_t size_ = 0;
  std::vector<std::int64_t> positions_;  // of the remaining observations
  autodiff::Tensor index_;
  std::unique_ptr<ErrorCovariance> inner_;
};

/// Gross-error check of m values against an ensemble; returns the DART code of each. `predictions` (N + 1, m): G of the
/// ensemble's mean, then of its members. `variance`: of the errors.
///
///   operator_failed  G(mean), or G of more than half of the members, is not finite
///   outlier          |value - G(mean)| > threshold sqrt(spread^2 + variance), with the spread of the members' finite
///                    predictions
///   used             otherwise
std::vector<std::int32_t> check_gross_errors(std::span<const double> values, std::span<const double> variance,
                                             const autodiff::Tensor& predictions, double threshold);

}  // namespace levda::da
