#include "da/error_covariance.h"

#include <fmt/format.h>

#include <cmath>

#include "autodiff/error.h"

namespace levda::da {

using autodiff::Tensor;
using autodiff::Var;

DiagonalCovariance::DiagonalCovariance(std::vector<double> variance) : variance_(std::move(variance)) {
  std::vector<double> deviation;
  for (std::size_t i = 0; i < variance_.size(); ++i) {
    if (!(variance_[i] > 0) || !std::isfinite(variance_[i]))
      throw Error(fmt::format("error covariance: variance {} is {}", i, variance_[i]));
    deviation.push_back(std::sqrt(variance_[i]));
  }
  deviation_ = Tensor::from(std::span<const double>(deviation), {size()});
}

Var DiagonalCovariance::solve(const Var& x) const { return whiten(whiten(x)); }
Var DiagonalCovariance::whiten(const Var& x) const { return x / Var(deviation_.to(x.dtype())); }
Var DiagonalCovariance::colour(const Var& x) const { return x * Var(deviation_.to(x.dtype())); }

std::unique_ptr<ErrorCovariance> DiagonalCovariance::part(std::span<const std::int64_t> positions,
                                                          std::span<const double> factors) const {
  std::vector<double> some;
  for (std::size_t k = 0; k < positions.size(); ++k) some.push_back(variance_[positions[k]] * factors[k]);
  return std::make_unique<DiagonalCovariance>(std::move(some));
}

}  // namespace levda::da
