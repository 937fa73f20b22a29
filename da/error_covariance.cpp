#include "da/error_covariance.h"

#include <fmt/format.h>

#include <Eigen/SVD>
#include <algorithm>
#include <cmath>
#include <utility>

#include "autodiff/error.h"
#include "da/internal/matrices.h"
#include "da/internal/triangle.h"

namespace levda::da {

using autodiff::Shape;
using autodiff::Tensor;
using autodiff::Var;

namespace {

void check_variance(const std::vector<double>& variance) {
  for (std::size_t i = 0; i < variance.size(); ++i)
    if (!(variance[i] > 0) || !std::isfinite(variance[i]))
      throw Error(fmt::format("error covariance: variance {} is {}", i, variance[i]));
}

/// What `plus` is given for m errors.
void check_added(std::span<const double> variance, std::int64_t m) {
  if (static_cast<std::int64_t>(variance.size()) != m)
    throw Error(fmt::format("error covariance: {} variances on top of {}", variance.size(), m));
  for (std::size_t i = 0; i < variance.size(); ++i)
    if (!(variance[i] >= 0) || !std::isfinite(variance[i]))
      throw Error(fmt::format("error covariance: added variance {} is {}", i, variance[i]));
}

Tensor tensor_of(const std::vector<double>& values) {
  return Tensor::from(std::span<const double>(values), {static_cast<std::int64_t>(values.size())});
}

}  // namespace

std::unique_ptr<ErrorCovariance> ErrorCovariance::plus(std::span<const double> variance) const {
  const std::int64_t m = size();
  check_added(variance, m);
  const Var c = colour(Var(tensor_of(Matrix(Matrix::Identity(m, m)))));  // C'
  std::vector<double> sum = matmul(c, c, true).value().to_vector();
  for (std::int64_t i = 0; i < m; ++i) sum[i * (m + 1)] += variance[i];
  return std::make_unique<FullCovariance>(std::move(sum));
}

DiagonalCovariance::DiagonalCovariance(std::vector<double> variance) : variance_(std::move(variance)) {
  check_variance(variance_);
  std::vector<double> deviation;
  for (const double v : variance_) deviation.push_back(std::sqrt(v));
  deviation_ = tensor_of(deviation);
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

std::unique_ptr<ErrorCovariance> DiagonalCovariance::plus(std::span<const double> variance) const {
  check_added(variance, size());
  std::vector<double> sum = variance_;
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += variance[i];
  return std::make_unique<DiagonalCovariance>(std::move(sum));
}

namespace {

using Factor = std::shared_ptr<const Triangle>;
using Map = Triangle::Map;

[[noreturn]] void not_definite(std::int64_t i) {
  throw Error(fmt::format("error covariance: not positive definite, at row {}", i));
}

/// The factor of a band of rows R(i, i - k), k = 0 .. b.
Factor factored(const std::vector<double>& band, std::int64_t bandwidth) {
  const std::int64_t b = bandwidth;
  const std::int64_t n = static_cast<std::int64_t>(band.size()) / (b + 1);
  std::vector<double> l(band.size(), 0.0);
  const auto row = [&](std::int64_t i) { return l.data() + b * (i + 1); };
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = std::max<std::int64_t>(0, i - b); j <= i; ++j) {
      double rest = band[i * (b + 1) + i - j];
      for (std::int64_t k = std::max<std::int64_t>(0, i - b); k < j; ++k) rest -= row(i)[k] * row(j)[k];
      if (j < i) {
        row(i)[j] = rest / row(j)[j];
      } else {
        if (!(rest > 0) || !std::isfinite(rest)) not_definite(i);
        row(i)[i] = std::sqrt(rest);
      }
    }
  return Triangle::banded(n, b, std::move(l));
}

std::int64_t root_of(std::size_t elements) {
  const auto n = static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(elements))));
  if (n * n != static_cast<std::int64_t>(elements))
    throw Error(fmt::format("error covariance: {} elements are no square matrix", elements));
  return n;
}

}  // namespace

BandedCovariance::BandedCovariance(std::vector<double> band, std::int64_t bandwidth)
    : bandwidth_(bandwidth), band_(std::move(band)) {
  if (bandwidth < 0 || static_cast<std::int64_t>(band_.size()) % (bandwidth + 1) != 0)
    throw Error(fmt::format("error covariance: {} elements are no band of width {}", band_.size(), bandwidth));
  for (std::int64_t i = 0; i < size(); ++i)  // before the first observation
    for (std::int64_t k = i + 1; k <= bandwidth_; ++k) band_[i * (bandwidth_ + 1) + k] = 0;
  factor_ = factored(band_, bandwidth_);
}

std::int64_t BandedCovariance::size() const { return static_cast<std::int64_t>(band_.size()) / (bandwidth_ + 1); }

Var BandedCovariance::solve(const Var& x) const { return mapped(factor_, Map::solution_transposed, whiten(x)); }
Var BandedCovariance::whiten(const Var& x) const { return mapped(factor_, Map::solution, x); }
Var BandedCovariance::colour(const Var& x) const { return mapped(factor_, Map::product, x); }

std::vector<double> BandedCovariance::variance() const {
  std::vector<double> diagonal;
  for (std::int64_t i = 0; i < size(); ++i) diagonal.push_back(band_[i * (bandwidth_ + 1)]);
  return diagonal;
}

std::unique_ptr<ErrorCovariance> BandedCovariance::part(std::span<const std::int64_t> positions,
                                                        std::span<const double> factors) const {
  const std::int64_t b = bandwidth_;
  // Pairs (k, l) of the new order, l <= k, that are correlated.
  constexpr std::int64_t absent = -1;
  std::vector<std::int64_t> new_place(static_cast<std::size_t>(size()), absent);
  for (std::size_t k = 0; k < positions.size(); ++k) new_place[positions[k]] = static_cast<std::int64_t>(k);
  std::int64_t wide = 0;
  const auto for_each_pair = [&](const auto& f) {
    for (std::int64_t i = 0; i < size(); ++i)
      for (std::int64_t j = std::max<std::int64_t>(0, i - b); j <= i; ++j) {
        if (new_place[i] == absent || new_place[j] == absent) continue;
        const double r = band_[i * (b + 1) + i - j];
        if (r != 0) f(std::max(new_place[i], new_place[j]), std::min(new_place[i], new_place[j]), r);
      }
  };
  for_each_pair([&](std::int64_t k, std::int64_t l, double) { wide = std::max(wide, k - l); });
  std::vector<double> some(positions.size() * static_cast<std::size_t>(wide + 1), 0.0);
  for_each_pair([&](std::int64_t k, std::int64_t l, double r) {
    some[k * (wide + 1) + k - l] = r * std::sqrt(factors[k] * factors[l]);
  });
  return std::make_unique<BandedCovariance>(std::move(some), wide);
}

std::unique_ptr<ErrorCovariance> BandedCovariance::plus(std::span<const double> variance) const {
  check_added(variance, size());
  std::vector<double> sum = band_;
  for (std::int64_t i = 0; i < size(); ++i) sum[i * (bandwidth_ + 1)] += variance[i];
  return std::make_unique<BandedCovariance>(std::move(sum), bandwidth_);
}

FullCovariance::FullCovariance(std::vector<double> matrix) : size_(root_of(matrix.size())), matrix_(std::move(matrix)) {
  const std::int64_t n = size_;
  check_variance(variance());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < i; ++j) {
      double& below = matrix_[i * n + j];
      double& above = matrix_[j * n + i];
      constexpr double tolerance = 1e-6;
      if (!(std::abs(below - above) <= tolerance * std::sqrt(matrix_[i * n + i] * matrix_[j * n + j])))
        throw Error(fmt::format("error covariance: not symmetric, element ({}, {}) is {}, ({}, {}) is {}", i, j, below,
                                j, i, above));
      below = above = 0.5 * (below + above);
    }
  try {
    const Tensor all = Tensor::from(std::span<const double>(matrix_), {n, n});
    factor_ = Triangle::full(n, cholesky(Var(all)).value().to_vector());
  } catch (const Error&) {
    throw Error("error covariance: not positive definite");
  }
}

Var FullCovariance::solve(const Var& x) const { return mapped(factor_, Map::solution_transposed, whiten(x)); }
Var FullCovariance::whiten(const Var& x) const { return mapped(factor_, Map::solution, x); }
Var FullCovariance::colour(const Var& x) const { return mapped(factor_, Map::product, x); }

std::vector<double> FullCovariance::variance() const {
  std::vector<double> diagonal;
  for (std::int64_t i = 0; i < size_; ++i) diagonal.push_back(matrix_[i * size_ + i]);
  return diagonal;
}

std::unique_ptr<ErrorCovariance> FullCovariance::part(std::span<const std::int64_t> positions,
                                                      std::span<const double> factors) const {
  std::vector<double> some;
  some.reserve(positions.size() * positions.size());
  for (std::size_t k = 0; k < positions.size(); ++k)
    for (std::size_t l = 0; l < positions.size(); ++l)
      some.push_back(matrix_[positions[k] * size_ + positions[l]] * std::sqrt(factors[k] * factors[l]));
  return std::make_unique<FullCovariance>(std::move(some));
}

std::unique_ptr<ErrorCovariance> FullCovariance::plus(std::span<const double> variance) const {
  check_added(variance, size());
  std::vector<double> sum = matrix_;
  for (std::int64_t i = 0; i < size_; ++i) sum[i * size_ + i] += variance[i];
  return std::make_unique<FullCovariance>(std::move(sum));
}

LowRankCovariance::LowRankCovariance(std::vector<double> variance, std::vector<double> factor)
    : diagonal_(std::move(variance)), factor_(std::move(factor)) {
  check_variance(diagonal_);
  const std::int64_t m = size();
  if (m == 0 ? !factor_.empty() : static_cast<std::int64_t>(factor_.size()) % m != 0)
    throw Error(fmt::format("error covariance: a factor of {} elements for {} observations", factor_.size(), m));
  rank_ = m == 0 ? 0 : static_cast<std::int64_t>(factor_.size()) / m;
  std::vector<double> deviation;
  Matrix s(m, rank_);
  for (std::int64_t i = 0; i < m; ++i) {
    deviation.push_back(std::sqrt(diagonal_[i]));
    for (std::int64_t k = 0; k < rank_; ++k) {
      if (!std::isfinite(factor_[i * rank_ + k]))
        throw Error(fmt::format("error covariance: factor {} of observation {} is {}", k, i, factor_[i * rank_ + k]));
      s(i, k) = factor_[i * rank_ + k] / deviation.back();
    }
  }
  deviation_ = tensor_of(deviation);
  if (rank_ == 0) return;
  // S = T diag(a) V', T with orthonormal columns: (I + S S')^p = I + T diag((1 + a^2)^p - 1) T'.
  const Eigen::JacobiSVD<Matrix> svd(s, Eigen::ComputeThinU);
  directions_ = tensor_of(Matrix(svd.matrixU()));
  const auto gain = [&](double p) {
    return tensor_of(
        Vector(svd.singularValues().unaryExpr([p](double a) { return std::expm1(p * std::log1p(a * a)); })));
  };
  root_ = gain(0.5);
  inverse_root_ = gain(-0.5);
  inverse_ = gain(-1);
}

namespace {

/// (I + T diag(gain) T') x of the rows of x (.., m).
Var raised(const Tensor& directions, const Tensor& gain, const Var& x) {
  if (!directions) return x;
  const Shape shape = x.shape();
  const Var rows = shape.rank() == 1 ? reshape(x, {1, shape[0]}) : x;
  const Var t(directions.to(x.dtype()));
  return reshape(rows + matmul(matmul(rows, t) * Var(gain.to(x.dtype())), t, false, true), shape);
}

}  // namespace

Var LowRankCovariance::solve(const Var& x) const {
  const Var deviation(deviation_.to(x.dtype()));
  return raised(directions_, inverse_, x / deviation) / deviation;
}
Var LowRankCovariance::whiten(const Var& x) const {
  return raised(directions_, inverse_root_, x / Var(deviation_.to(x.dtype())));
}
Var LowRankCovariance::colour(const Var& x) const {
  return raised(directions_, root_, x) * Var(deviation_.to(x.dtype()));
}

std::vector<double> LowRankCovariance::variance() const {
  std::vector<double> all = diagonal_;
  for (std::int64_t i = 0; i < size(); ++i)
    for (std::int64_t k = 0; k < rank_; ++k) all[i] += factor_[i * rank_ + k] * factor_[i * rank_ + k];
  return all;
}

std::unique_ptr<ErrorCovariance> LowRankCovariance::part(std::span<const std::int64_t> positions,
                                                         std::span<const double> factors) const {
  std::vector<double> variance;
  std::vector<double> factor;
  for (std::size_t i = 0; i < positions.size(); ++i) {
    variance.push_back(diagonal_[positions[i]] * factors[i]);
    for (std::int64_t k = 0; k < rank_; ++k)
      factor.push_back(factor_[positions[i] * rank_ + k] * std::sqrt(factors[i]));
  }
  return std::make_unique<LowRankCovariance>(std::move(variance), std::move(factor));
}

std::unique_ptr<ErrorCovariance> LowRankCovariance::plus(std::span<const double> variance) const {
  check_added(variance, size());
  std::vector<double> sum = diagonal_;
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += variance[i];
  return std::make_unique<LowRankCovariance>(std::move(sum), factor_);
}

}  // namespace levda::da
