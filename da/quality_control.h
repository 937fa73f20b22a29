#pragma once

/// Quality control of observations: what does not fit the ensemble is left out.

#include "da/error_covariance.h"
#include "da/observations.h"

namespace levda::da {

/// R of some of the observations, as if the others were not there: for them whiten, solve and colour are 0 (their error
/// is infinite), for the rest they are those of that part of R. So one observation operator can serve problems that
/// leave out different observations; to value and derivatives along directions of the others nothing is added, not even
/// by a prediction that is not a number. (Of a reverse sweep only where the operator's own derivative is finite.)
class MaskedCovariance final : public ErrorCovariance {
 public:
  /// kept: which of the observations of `covariance` are there; at least one.
  MaskedCovariance(const ErrorCovariance& covariance, const std::vector<bool>& kept);

  std::int64_t size() const override { return size_; }
  autodiff::Var solve(const autodiff::Var& x) const override;
  autodiff::Var whiten(const autodiff::Var& x) const override;
  autodiff::Var colour(const autodiff::Var& x) const override;
  /// Infinite where an observation is left out.
  std::vector<double> variance() const override;
  /// Throws Error when none of those that are kept is at one of the positions.
  std::unique_ptr<ErrorCovariance> part(std::span<const std::int64_t> positions,
                                        std::span<const double> factors) const override;
  std::unique_ptr<ErrorCovariance> plus(std::span<const double> variance) const override;

 private:
  MaskedCovariance() = default;
  autodiff::Var kept_of(const autodiff::Var& x) const;
  autodiff::Var spread_out(const autodiff::Var& x) const;

  std::int64_t size_ = 0;
  std::vector<std::int64_t> positions_;  // of those that are kept
  autodiff::Tensor index_;
  std::unique_ptr<ErrorCovariance> inner_;
};

/// Gross-error check of m values against an ensemble: the DART code of each. `predictions` (N + 1, m): G of the
/// ensemble's mean, then of its members; `variance`: of the errors.
///
///   operator_failed  G(mean), or G of more than half of the members, is not finite
///   outlier          |value - G(mean)| > threshold sqrt(spread^2 + variance), spread that of the members' predictions
///                    (Y Y' of the finite ones)
///   used             else
std::vector<std::int32_t> check_gross_errors(std::span<const double> values, std::span<const double> variance,
                                             const autodiff::Tensor& predictions, double threshold);

}  // namespace levda::da
