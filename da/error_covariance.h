#pragma once

/// Covariances of observation errors.

#include <memory>
#include <span>
#include <vector>

#include "autodiff/op.h"

namespace levda::da {

/// R of m observations, positive definite; R = C C'. All act on the rows of x (.., m), in x's type.
class ErrorCovariance {
 public:
  virtual ~ErrorCovariance() = default;
  virtual std::int64_t size() const = 0;
  /// R^-1 x.
  virtual autodiff::Var solve(const autodiff::Var& x) const = 0;
  /// C^-1 x: unit covariance from errors.
  virtual autodiff::Var whiten(const autodiff::Var& x) const = 0;
  /// C x: errors from unit covariance.
  virtual autodiff::Var colour(const autodiff::Var& x) const = 0;
  /// The diagonal.
  virtual std::vector<double> variance() const = 0;
  /// Covariance of the observations at `positions`, in that order, as if the k-th one's error were
  /// sqrt(factors[k]) times as large.
  virtual std::unique_ptr<ErrorCovariance> part(std::span<const std::int64_t> positions,
                                                std::span<const double> factors) const = 0;
};

/// Independent errors.
class DiagonalCovariance final : public ErrorCovariance {
 public:
  /// Throws Error when a variance is not positive.
  explicit DiagonalCovariance(std::vector<double> variance);

  std::int64_t size() const override { return static_cast<std::int64_t>(variance_.size()); }
  autodiff::Var solve(const autodiff::Var& x) const override;
  autodiff::Var whiten(const autodiff::Var& x) const override;
  autodiff::Var colour(const autodiff::Var& x) const override;
  std::vector<double> variance() const override { return variance_; }
  std::unique_ptr<ErrorCovariance> part(std::span<const std::int64_t> positions,
                                        std::span<const double> factors) const override;

 private:
  std::vector<double> variance_;
  autodiff::Tensor deviation_;  // (m) float64
};

}  // namespace levda::da
