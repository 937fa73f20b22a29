/// 4DEnVar against the Kalman smoother in the ensemble's span.

#include "da/four_d_en_var.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/error.h"
#include "da/levda.h"
#include "tests/autodiff/compare.h"
#include "tests/da/linear_smoother.h"
#include "tests/da/lorenz_twin.h"

using namespace levda;
using namespace levda::da;
using namespace levda::testing;

TEST_CASE("4DEnVar: with a linear model it is the Kalman smoother in the ensemble's span") {
  for (const auto& [n, members] : {std::pair{5, 12}, std::pair{12, 5}}) {
    CAPTURE(n);
    const LinearTwin twin = linear_twin(n, members, 6, 3, 1);
    const Gaussian at_start = kalman_smoother(gaussian_of(twin.prior), twin.model, twin.observations);
    const Analysis analysis = FourDEnVar().assimilate(twin.problem());
    for (std::int64_t t = 0; t < 6; ++t)
      CHECK(difference(gaussian_of(analysis.ensembles[t]), advanced(at_start, twin.model.power(t))) <= 1e-10);
  }
}

TEST_CASE("4DEnVar: windows one after the other and overlapping ones end where one window over all ends") {
  const LinearTwin twin = linear_twin(6, 15, 8, 2, 3);
  const auto last = [&](std::int64_t length, std::int64_t shift) {
    return gaussian_of(FourDEnVar({}, {.length = length, .shift = shift}).assimilate(twin.problem()).ensembles.back());
  };
  CHECK(difference(last(4, 4), last(8, 8)) <= 1e-10);
  CHECK(difference(last(5, 3), last(0, 0)) <= 1e-10);
}

TEST_CASE("4DEnVar: twice the cost at the minimum is chi-square distributed with m degrees of freedom") {
  LinearTwin twin = linear_twin(4, 9, 3, 2, 8);
  const Vector mean = gaussian_of(twin.prior).mean;
  const Matrix root = matrix_of(twin.prior.anomalies()).transpose();
  autodiff::Random random(9);
  std::vector<double> values;
  for (int k = 0; k < 400; ++k) {
    draw_observations(twin, mean, root, random);
    values.push_back(2 * FourDEnVar().assimilate(twin.problem()).diagnostics.at("cost")[0]);
  }
  CHECK(chi_square_statistic(values, 6) <= 1.95);
}

TEST_CASE("4DEnVar: with a nonlinear model it is LEVDA's ensemble form; inflation widens it; problems do not mix") {
  const LorenzTwin twin = lorenz_63_twin({.members = 6, .cycles = 8, .steps = 5, .error_variance = 2}, 4);
  const LorenzTwin other = lorenz_63_twin({.members = 6, .cycles = 8, .steps = 5, .error_variance = 2}, 5);
  const Analysis analysis = FourDEnVar().assimilate(twin.problem());
  const Analysis same = Levda({.minimiser = Minimiser::ensemble}).assimilate(twin.problem());
  for (std::size_t t = 0; t < 8; ++t) CHECK(largest_difference(analysis.ensembles[t], same.ensembles[t]) <= 1e-10);
  CHECK(std::abs(analysis.diagnostics.at("cost")[0] - same.diagnostics.at("cost")[0]) <= 1e-10);
  REQUIRE(analysis.impact.size() == same.impact.size());
  REQUIRE(!same.impact.empty());
  double shares = 0;
  for (std::size_t i = 0; i < same.impact.size(); ++i) {
    CHECK(std::abs(analysis.impact[i].share - same.impact[i].share) <= 1e-10);
    CHECK(std::abs(analysis.impact[i].sensitivity - same.impact[i].sensitivity) <= 1e-9);
    shares += same.impact[i].share;
  }
  CHECK(std::abs(shares - same.diagnostics.at("degrees_of_freedom")[0]) <= 1e-10);

  const FourDEnVar wider({.factor = 1.5});
  Problem now = twin.problem();
  now.times = {0};
  const double spread = FourDEnVar().assimilate(now).ensembles[0].spread()[0];
  CHECK(std::abs(wider.assimilate(now).ensembles[0].spread()[0] - 1.5 * spread) <= 1e-12 * spread);

  Problem second = other.problem();
  Problem first{twin.prior, other.model, twin.observations, twin.covariance, twin.times, twin.seed};
  const std::vector<Problem> problems{first, second};
  const std::vector<Analysis> together = wider.assimilate_all(problems);
  for (std::size_t k = 0; k < 2; ++k)
    CHECK(same_bits(together[k].ensembles[7].members(), wider.assimilate(problems[k]).ensembles[7].members()));
  CHECK_THROWS_AS(FourDEnVar({.factor = 0}), Error);
}
