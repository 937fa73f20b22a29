#include "da/inflation.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/error.h"
#include "linear_model.h"

using namespace levda;
using namespace levda::da;

namespace {

Ensemble some(std::uint64_t seed, double size) {
  autodiff::Random random(seed);
  return Ensemble(tensor_of(Matrix(size * random_matrix(7, 4, random))));
}

double distance(const autodiff::Tensor& a, const autodiff::Tensor& b) {
  return (matrix_of(a.reshaped({1, a.size()})) - matrix_of(b.reshaped({1, b.size()}))).norm();
}

}  // namespace

TEST_CASE("inflation: the mean stays, the spread is as asked") {
  const Ensemble prior = some(1, 2);
  const Ensemble posterior = some(2, 0.5);
  autodiff::Random random(3);
  const Ensemble wider = inflated(prior, posterior, {.factor = 1.5}, random);
  CHECK(distance(wider.mean(), posterior.mean()) <= 1e-14);
  for (std::size_t k = 0; k < 4; ++k)
    CHECK(std::abs(wider.spread()[k] - 1.5 * posterior.spread()[k]) <= 1e-14 * wider.spread()[k] * 10);
  const Ensemble relaxed = inflated(prior, posterior, {.relaxation = 0.3}, random);
  CHECK(distance(relaxed.mean(), posterior.mean()) <= 1e-14);
  for (std::size_t k = 0; k < 4; ++k) {
    const double expected = 0.7 * posterior.spread()[k] + 0.3 * prior.spread()[k];
    CHECK(std::abs(relaxed.spread()[k] - expected) <= 1e-13 * expected);
  }
}

TEST_CASE("inflation: a rotation keeps mean and covariance and nothing else") {
  const Ensemble posterior = some(2, 0.5);
  autodiff::Random random(3);
  const Ensemble turned = inflated(posterior, posterior, {.rotate = true}, random);
  CHECK(distance(turned.mean(), posterior.mean()) <= 1e-14);
  const Matrix a = matrix_of(posterior.anomalies());
  const Matrix b = matrix_of(turned.anomalies());
  CHECK((a.transpose() * a - b.transpose() * b).norm() <= 1e-13);
  CHECK((a - b).norm() >= 0.1 * a.norm());
}

TEST_CASE("inflation: settings that make no sense") {
  CHECK_THROWS_AS(check(Inflation{.factor = 0}), Error);
  CHECK_THROWS_AS(check(Inflation{.relaxation = 1.1}), Error);
  CHECK_THROWS_AS(check(Inflation{.factor = std::nan("")}), Error);
}
