#pragma once

/// Covariances of observation errors.

#include <memory>
#include <span>
#include <vector>

#include "autodiff/op.h"

namespace levda::da {

/// R of m observations, positive definite; R = C C'. The maps act on the rows of x (.., m), in x's type, and are linear
/// operations on the tape.
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
  /// Covariance of the observations at `positions`, in that order, with the k-th error multiplied by sqrt(factors[k]).
  virtual std::unique_ptr<ErrorCovariance> part(std::span<const std::int64_t> positions,
                                                std::span<const double> factors) const = 0;
  /// R with m variances >= 0 of further independent errors added to its diagonal. By default a FullCovariance.
  /// Throws Error: another number of variances, or one that is negative or not finite.
  virtual std::unique_ptr<ErrorCovariance> plus(std::span<const double> variance) const;
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
  std::unique_ptr<ErrorCovariance> plus(std::span<const double> variance) const override;

 private:
  std::vector<double> variance_;
  autodiff::Tensor deviation_;  // (m) float64
};

/// A lower triangular Cholesky factor of some bandwidth.
class Triangle;

/// Errors correlated with the `bandwidth` observations before and after; C is the Cholesky factor, made once in
/// O(m b^2). Its maps cost O(m b) per row.
class BandedCovariance final : public ErrorCovariance {
 public:
  /// band (m, bandwidth + 1): element (i, k) is R(i, i - k), the diagonal first; elements with i < k are not used.
  /// Throws Error when sizes do not fit or R is not positive definite.
  BandedCovariance(std::vector<double> band, std::int64_t bandwidth);

  std::int64_t size() const override;
  std::int64_t bandwidth() const { return bandwidth_; }
  const std::vector<double>& band() const { return band_; }
  autodiff::Var solve(const autodiff::Var& x) const override;
  autodiff::Var whiten(const autodiff::Var& x) const override;
  autodiff::Var colour(const autodiff::Var& x) const override;
  std::vector<double> variance() const override;
  /// Banded; its width depends on the order of the positions. Increasing positions do not make it wider.
  std::unique_ptr<ErrorCovariance> part(std::span<const std::int64_t> positions,
                                        std::span<const double> factors) const override;
  std::unique_ptr<ErrorCovariance> plus(std::span<const double> variance) const override;

 private:
  std::int64_t bandwidth_;
  std::vector<double> band_;
  std::shared_ptr<const Triangle> factor_;
};

/// Errors of any correlation; C is the Cholesky factor, made once in O(m^3 / 3). Its maps cost O(m^2) per row.
class FullCovariance final : public ErrorCovariance {
 public:
  /// matrix (m, m), row-major. Throws Error: not square, not symmetric to 1e-6 of the deviations' product, not positive
  /// definite.
  explicit FullCovariance(std::vector<double> matrix);

  std::int64_t size() const override { return size_; }
  const std::vector<double>& matrix() const { return matrix_; }
  autodiff::Var solve(const autodiff::Var& x) const override;
  autodiff::Var whiten(const autodiff::Var& x) const override;
  autodiff::Var colour(const autodiff::Var& x) const override;
  std::vector<double> variance() const override;
  std::unique_ptr<ErrorCovariance> part(std::span<const std::int64_t> positions,
                                        std::span<const double> factors) const override;
  std::unique_ptr<ErrorCovariance> plus(std::span<const double> variance) const override;

 private:
  std::int64_t size_;
  std::vector<double> matrix_;
  std::shared_ptr<const Triangle> factor_;
};

/// Independent errors, and r errors that all observations share: R = D + U U'. With D^-1/2 U = T diag(a) V' (singular
/// values), C = D^1/2 (I + T diag(sqrt(1 + a^2) - 1) T'), and the inverse is Woodbury's. The maps cost O(m r) per row.
class LowRankCovariance final : public ErrorCovariance {
 public:
  /// variance: the diagonal of D; factor: U (m, r), row-major. Throws Error: sizes that do not fit, a variance that is
  /// not positive, a factor that is not finite.
  LowRankCovariance(std::vector<double> variance, std::vector<double> factor);

  std::int64_t size() const override { return static_cast<std::int64_t>(diagonal_.size()); }
  std::int64_t rank() const { return rank_; }
  autodiff::Var solve(const autodiff::Var& x) const override;
  autodiff::Var whiten(const autodiff::Var& x) const override;
  autodiff::Var colour(const autodiff::Var& x) const override;
  std::vector<double> variance() const override;
  std::unique_ptr<ErrorCovariance> part(std::span<const std::int64_t> positions,
                                        std::span<const double> factors) const override;
  std::unique_ptr<ErrorCovariance> plus(std::span<const double> variance) const override;

 private:
  std::vector<double> diagonal_;
  std::vector<double> factor_;
  std::int64_t rank_;
  autodiff::Tensor deviation_;     // (m): D^1/2
  autodiff::Tensor directions_;    // T (m, min(m, r)); empty when r = 0
  autodiff::Tensor root_;          // (1 + a^2)^p - 1 for p = 1/2
  autodiff::Tensor inverse_root_;  // p = -1/2
  autodiff::Tensor inverse_;       // p = -1
};

}  // namespace levda::da
