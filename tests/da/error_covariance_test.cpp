/// Covariances of any form are the same matrix where they are, and their square roots are roots of it.

#include "da/error_covariance.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "autodiff/check.h"
#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "tests/autodiff/compare.h"

using namespace levda;
using namespace levda::da;
using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;
using testing::largest_difference;
using testing::normal_tensor;

namespace {

constexpr std::int64_t m = 11;
constexpr std::int64_t bandwidth = 2;

/// Rows R(i, i - k): diagonally dominant, of deviations from 0.1 to 2.
std::vector<double> band() {
  std::vector<double> rows;
  const auto deviation = [](std::int64_t i) { return 0.1 + 1.9 * static_cast<double>(i) / static_cast<double>(m - 1); };
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t k = 0; k <= bandwidth; ++k) {
      const double correlation = k == 0 ? 1 : (k == 1 ? 0.4 : 0.15);
      rows.push_back(i < k ? std::numeric_limits<double>::quiet_NaN() : correlation * deviation(i) * deviation(i - k));
    }
  return rows;
}

std::vector<double> dense(const std::vector<double>& rows, std::int64_t width) {
  const auto n = static_cast<std::int64_t>(rows.size()) / (width + 1);
  std::vector<double> matrix(static_cast<std::size_t>(n * n), 0.0);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t k = 0; k <= std::min(i, width); ++k)
      matrix[i * n + i - k] = matrix[(i - k) * n + i] = rows[i * (width + 1) + k];
  return matrix;
}

/// D + U U' of rank 3, of very different sizes.
struct LowRank {
  std::vector<double> variance;
  std::vector<double> factor;
  std::vector<double> matrix;
};

LowRank low_rank() {
  LowRank r;
  autodiff::Random random(3);
  for (std::int64_t i = 0; i < m; ++i) {
    r.variance.push_back(0.01 + random.uniform());
    for (int k = 0; k < 3; ++k) r.factor.push_back(std::pow(10.0, k - 1) * random.normal());
  }
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < m; ++j) {
      double sum = i == j ? r.variance[i] : 0;
      for (int k = 0; k < 3; ++k) sum += r.factor[i * 3 + k] * r.factor[j * 3 + k];
      r.matrix.push_back(sum);
    }
  return r;
}

Var identity() {
  std::vector<double> one(static_cast<std::size_t>(m * m), 0.0);
  for (std::int64_t i = 0; i < m; ++i) one[i * (m + 1)] = 1;
  return Var(Tensor::from(std::span<const double>(one), {m, m}));
}

/// Compares all maps of a covariance with its matrix, whose condition number is below 1e4 (see band, low_rank):
/// 1e-15 times that, and sums of m terms.
void check_against(const ErrorCovariance& r, const std::vector<double>& matrix) {
  constexpr double tolerance = 1e-10;
  REQUIRE(r.size() == m);
  const Var dense_r(Tensor::from(std::span<const double>(matrix), {m, m}));
  const double size = testing::largest(matrix);
  const std::vector<double> diagonal = r.variance();
  for (std::int64_t i = 0; i < m; ++i) CHECK(std::abs(diagonal[i] - matrix[i * (m + 1)]) <= 1e-14 * size);
  // Rows of colour(I) are columns of C.
  const Var c = r.colour(identity());
  CHECK(largest_difference(matmul(c, c, true).value(), dense_r.value()) <= 1e-13 * size);
  const Var w = r.whiten(identity());  // C^-T
  const Var inverse = r.solve(identity());
  CHECK(largest_difference(matmul(w, w, false, true).value(), inverse.value()) <=
        tolerance * testing::largest(inverse.value().to_vector()));
  CHECK(largest_difference(matmul(inverse, dense_r).value(), identity().value()) <= tolerance);
  const Tensor x = normal_tensor({2, 9, m}, 1);  // more rows than go at once
  CHECK(largest_difference(r.whiten(r.colour(Var(x))).value(), x) <= tolerance);
  CHECK(largest_difference(r.colour(r.whiten(Var(x))).value(), x) <= tolerance);
  // A row does not depend on its neighbours, except for the order of a product's sums; a single row may be a vector.
  const Tensor one = x.reshaped({18, m}).rows(10, 11);
  const Tensor beside = r.whiten(Var(x)).value().reshaped({18, m}).rows(10, 11).reshaped({m});
  CHECK(largest_difference(r.whiten(Var(one.reshaped({m}))).value(), beside) <=
        static_cast<double>(m) * 0x1p-52 * testing::largest(w.value().to_vector()) * testing::largest(one.to_vector()));
  // In single precision.
  const Var single = r.whiten(Var(x.to(DType::float32)));
  CHECK(single.dtype() == DType::float32);
  CHECK(largest_difference(single.value().to(DType::float64), r.whiten(Var(x)).value()) <=
        1e-5 * testing::largest(r.whiten(Var(x)).value().to_vector()));
  // Linear maps on the tape, twice.
  const std::vector<std::function<Var(const autodiff::Vars&)>> maps{
      [&](const autodiff::Vars& v) { return r.solve(v[0]); }, [&](const autodiff::Vars& v) { return r.whiten(v[0]); },
      [&](const autodiff::Vars& v) { return r.colour(v[0]); },
      [&](const autodiff::Vars& v) { return sum(square(r.whiten(v[0]))) + sum(v[0] * r.solve(v[0])); }};
  for (const auto& map : maps) {
    const auto check = autodiff::check_derivatives(map, std::span(&x, 1));
    INFO(check.text());
    CHECK(check.adjoint_error() <= 1e-12);
    CHECK(check.finite_difference_error() <= 1e-8);
  }
  // Parts: rows and columns of the matrix, scaled.
  const std::vector<std::int64_t> positions{7, 2, 3, 10, 0};
  const std::vector<double> factors{1, 4, 2, 1, 9};
  const auto part = r.part(positions, factors);
  REQUIRE(part->size() == 5);
  std::vector<double> wanted;
  std::vector<double> some;
  for (std::size_t k = 0; k < 5; ++k)
    for (std::size_t l = 0; l < 5; ++l) {
      wanted.push_back(matrix[positions[k] * m + positions[l]] * std::sqrt(factors[k] * factors[l]));
      some.push_back(k == l ? 1 : 0);
    }
  const Var root = part->colour(Var(Tensor::from(std::span<const double>(some), {5, 5})));
  CHECK(largest_difference(matmul(root, root, true).value().to_vector(), wanted) <= 1e-13 * size * 9);
  // More on the diagonal.
  std::vector<double> more;
  std::vector<double> sum = matrix;
  for (std::int64_t i = 0; i < m; ++i) {
    more.push_back(static_cast<double>(i) / 3);
    sum[i * (m + 1)] += more.back();
  }
  for (const auto& larger : {std::shared_ptr(r.plus(more)), std::shared_ptr(r.ErrorCovariance::plus(more))}) {
    const Var root_of_sum = larger->colour(identity());
    CHECK(largest_difference(matmul(root_of_sum, root_of_sum, true).value().to_vector(), sum) <= 1e-13 * size * 9);
  }
}

}  // namespace

TEST_CASE("covariances: diagonal, banded, full and low rank are their matrices, and their roots are roots") {
  std::vector<double> variance;
  for (std::int64_t i = 0; i < m; ++i) variance.push_back(0.5 + static_cast<double>(i * i));
  check_against(DiagonalCovariance(variance), dense(variance, 0));
  check_against(BandedCovariance(band(), bandwidth), dense(band(), bandwidth));
  check_against(FullCovariance(dense(band(), bandwidth)), dense(band(), bandwidth));
  const LowRank low = low_rank();
  check_against(LowRankCovariance(low.variance, low.factor), low.matrix);
  check_against(FullCovariance(low.matrix), low.matrix);
}

TEST_CASE("covariances: where they are one matrix they are one map") {
  const Var x(normal_tensor({7, m}, 4));
  const auto same = [&](const ErrorCovariance& a, const ErrorCovariance& b) {
    constexpr double tolerance = 1e-13;  // condition numbers below 1e3, for the whitened x of a few
    const auto close = [&](const Var& left, const Var& right) {
      CHECK(largest_difference(left.value(), right.value()) <= tolerance * testing::largest(left.value().to_vector()));
    };
    close(a.solve(x), b.solve(x));
    close(a.whiten(x), b.whiten(x));
    close(a.colour(x), b.colour(x));
  };
  std::vector<double> variance;
  for (std::int64_t i = 0; i < m; ++i) variance.push_back(0.5 + static_cast<double>(i));
  const DiagonalCovariance diagonal(variance);
  same(diagonal, BandedCovariance(variance, 0));
  same(diagonal, FullCovariance(dense(variance, 0)));
  same(diagonal, LowRankCovariance(variance, {}));
  same(diagonal, LowRankCovariance(variance, std::vector<double>(2 * m, 0.0)));
  same(BandedCovariance(band(), bandwidth), FullCovariance(dense(band(), bandwidth)));
  // A part of a band is one: with increasing positions of no greater width.
  const BandedCovariance banded(band(), bandwidth);
  const std::vector<double> ones(4, 1.0);
  const auto increasing = banded.part(std::vector<std::int64_t>{1, 2, 4, 9}, ones);
  CHECK(dynamic_cast<const BandedCovariance&>(*increasing).bandwidth() == 1);
  const auto turned = banded.part(std::vector<std::int64_t>{2, 9, 6, 1}, ones);
  CHECK(dynamic_cast<const BandedCovariance&>(*turned).bandwidth() == 3);
}

TEST_CASE("covariances: a low-rank root of extreme directions") {
  // Errors that are shared a million times over the independent ones, and two directions that are one.
  std::vector<double> factor;
  for (std::int64_t i = 0; i < m; ++i) factor.insert(factor.end(), {1e3, -1e3});
  const LowRankCovariance r(std::vector<double>(m, 1e-6), factor);
  const Var x(normal_tensor({1, m}, 6));
  CHECK(largest_difference(r.whiten(r.colour(x)).value(), x.value()) <=
        1e-7);  // deviations from 1e-3 to 5e3: 1e-16 5e6
  // The shared error is unknown, the differences are precise: x' R^-1 x is |x - mean|^2 / 1e-6 and almost nothing more.
  const std::vector<double> values = x.value().to_vector();
  double average = 0;
  for (const double v : values) average += v / m;
  double expected = 0;
  for (const double v : values) expected += (v - average) * (v - average) / 1e-6;
  CHECK(std::abs(sum(x * r.solve(x)).value().item() - expected) <= 1e-4 * expected);
}

TEST_CASE("covariances that are none are refused") {
  const auto nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH_AS(FullCovariance({1, 2, 3}), "error covariance: 3 elements are no square matrix", Error);
  CHECK_THROWS_WITH_AS(FullCovariance({1, 0.5, 0.4, 1}),
                       "error covariance: not symmetric, element (1, 0) is 0.4, (0, 1) is 0.5", Error);
  CHECK_THROWS_AS(FullCovariance({1, nan, nan, 1}), Error);
  CHECK_THROWS_WITH_AS(FullCovariance({1, 2, 2, 1}), "error covariance: not positive definite", Error);
  CHECK_THROWS_WITH_AS(FullCovariance({1, 0, 0, -1}), "error covariance: variance 1 is -1", Error);
  CHECK_THROWS_WITH_AS(BandedCovariance({1, 0, 1, 2}, 1), "error covariance: not positive definite, at row 1", Error);
  CHECK_THROWS_WITH_AS(BandedCovariance({1, 0, 1}, 1), "error covariance: 3 elements are no band of width 1", Error);
  CHECK_THROWS_WITH_AS(BandedCovariance({1, 0, 1, nan}, 1), "error covariance: not positive definite, at row 1", Error);
  CHECK_THROWS_WITH_AS(LowRankCovariance({1, 0}, {1, 1}), "error covariance: variance 1 is 0", Error);
  CHECK_THROWS_WITH_AS(LowRankCovariance({1, 1}, {1, 1, 1}),
                       "error covariance: a factor of 3 elements for 2 observations", Error);
  CHECK_THROWS_WITH_AS(LowRankCovariance({1, 1}, {1, nan}), "error covariance: factor 0 of observation 1 is nan",
                       Error);
  const FullCovariance two({1, 0.5, 0.5, 1});
  const DiagonalCovariance diagonal({1, 1});
  const BandedCovariance band({1, 0, 1, 0.5}, 1);
  const LowRankCovariance low({1, 1}, {1, 1});
  for (const ErrorCovariance* r :
       {static_cast<const ErrorCovariance*>(&two), static_cast<const ErrorCovariance*>(&diagonal),
        static_cast<const ErrorCovariance*>(&band), static_cast<const ErrorCovariance*>(&low)}) {
    CHECK_THROWS_WITH_AS(r->plus(std::vector<double>{1}), "error covariance: 1 variances on top of 2", Error);
    CHECK_THROWS_WITH_AS(r->plus(std::vector<double>{0, -1}), "error covariance: added variance 1 is -1", Error);
    CHECK_THROWS_AS(r->plus(std::vector<double>{0, nan}), Error);
    CHECK(r->plus(std::vector<double>{0, 2})->variance()[1] == r->variance()[1] + 2);
  }
  CHECK_THROWS_WITH_AS(two.whiten(Var(normal_tensor({1, 3}, 1))), "[error_covariance] (1, 3) errors, where 2 are meant",
                       Error);
}
