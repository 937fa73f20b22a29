#include "da/quality_control.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "autodiff/error.h"
#include "da/internal/matrices.h"

namespace levda::da {

using autodiff::Tensor;
using autodiff::Var;

MaskedCovariance::MaskedCovariance(const ErrorCovariance& covariance, const std::vector<bool>& kept)
    : size_(covariance.size()) {
  for (std::size_t i = 0; i < kept.size(); ++i)
    if (kept[i]) positions_.push_back(static_cast<std::int64_t>(i));
  if (positions_.empty()) throw Error("error covariance: every observation is left out");
  index_ = Tensor::indices(positions_);
  inner_ = covariance.part(positions_, std::vector<double>(positions_.size(), 1.0));
}

Var MaskedCovariance::kept_of(const Var& x) const { return gather(x, -1, index_.to(x.value().backend())); }
Var MaskedCovariance::spread_out(const Var& x) const {
  return scatter_add(x, -1, index_.to(x.value().backend()), size_);
}
Var MaskedCovariance::solve(const Var& x) const { return spread_out(inner_->solve(kept_of(x))); }
Var MaskedCovariance::whiten(const Var& x) const { return spread_out(inner_->whiten(kept_of(x))); }
Var MaskedCovariance::colour(const Var& x) const { return spread_out(inner_->colour(kept_of(x))); }

std::vector<double> MaskedCovariance::variance() const {
  std::vector<double> result(static_cast<std::size_t>(size_), std::numeric_limits<double>::infinity());
  const std::vector<double> own = inner_->variance();
  for (std::size_t k = 0; k < own.size(); ++k) result[positions_[k]] = own[k];
  return result;
}

std::unique_ptr<ErrorCovariance> MaskedCovariance::part(std::span<const std::int64_t> positions,
                                                        std::span<const double> factors) const {
  std::vector<std::int64_t> inner(static_cast<std::size_t>(size_), -1);
  for (std::size_t k = 0; k < positions_.size(); ++k) inner[positions_[k]] = static_cast<std::int64_t>(k);
  std::vector<std::int64_t> kept_positions;
  std::vector<double> kept_factors;
  std::vector<std::int64_t> where;
  for (std::size_t k = 0; k < positions.size(); ++k)
    if (inner[positions[k]] >= 0) {
      kept_positions.push_back(inner[positions[k]]);
      kept_factors.push_back(factors[k]);
      where.push_back(static_cast<std::int64_t>(k));
    }
  if (where.empty()) throw Error("error covariance: every observation is left out");
  std::unique_ptr<MaskedCovariance> result(new MaskedCovariance());
  result->size_ = static_cast<std::int64_t>(positions.size());
  result->index_ = Tensor::indices(where);
  result->positions_ = std::move(where);
  result->inner_ = inner_->part(kept_positions, kept_factors);
  return result;
}

std::unique_ptr<ErrorCovariance> MaskedCovariance::plus(std::span<const double> more) const {
  if (static_cast<std::int64_t>(more.size()) != size_)
    throw Error(fmt::format("error covariance: {} variances on top of {}", more.size(), size_));
  std::vector<double> kept;
  for (const std::int64_t i : positions_) kept.push_back(more[i]);
  std::unique_ptr<MaskedCovariance> result(new MaskedCovariance());
  result->size_ = size_;
  result->positions_ = positions_;
  result->index_ = index_;
  result->inner_ = inner_->plus(kept);
  return result;
}

std::vector<std::int32_t> check_gross_errors(std::span<const double> values, std::span<const double> variance,
                                             const Tensor& predictions, double threshold) {
  const Matrix all = matrix_of(predictions.to(autodiff::DType::float64));
  const std::int64_t members = all.rows() - 1;
  std::vector<std::int32_t> codes(values.size(), used);
  for (std::int64_t i = 0; i < all.cols(); ++i) {
    double sum = 0;
    std::int64_t finite = 0;
    for (std::int64_t k = 1; k <= members; ++k)
      if (std::isfinite(all(k, i))) {
        sum += all(k, i);
        ++finite;
      }
    if (!std::isfinite(all(0, i)) || 2 * finite < members) {
      codes[i] = operator_failed;
      continue;
    }
    const double mean = sum / static_cast<double>(finite);
    double squares = 0;
    for (std::int64_t k = 1; k <= members; ++k)
      if (std::isfinite(all(k, i))) squares += (all(k, i) - mean) * (all(k, i) - mean);
    const double spread = finite > 1 ? squares / static_cast<double>(finite - 1) : 0;
    if (!(std::abs(values[i] - all(0, i)) <= threshold * std::sqrt(spread + variance[i]))) codes[i] = outlier;
  }
  return codes;
}

}  // namespace levda::da
