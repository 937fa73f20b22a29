#include "da/etkf.h"

#include <doctest/doctest.h>

#include "autodiff/error.h"
#include "da/levda.h"
#include "tests/autodiff/compare.h"
#include "tests/da/linear_filter.h"
#include "tests/da/lorenz_twin.h"

using namespace levda;
using namespace levda::da;
using namespace levda::testing;

TEST_CASE("etkf: Kalman's filter in the ensemble's span for linear dynamics and observations") {
  // Fewer and more controls than members, fewer and more observations than members.
  for (const auto& [n, members, m] : {std::tuple{5, 12, 3}, {12, 5, 3}, {12, 5, 9}, {6, 4, 4}}) {
    CAPTURE(n);
    CAPTURE(m);
    const LinearTwin twin = linear_twin(n, members, 6, m, 1);
    const std::vector<Gaussian> expected = kalman_filter(twin);
    const Analysis analysis = Etkf().assimilate(twin.problem());
    REQUIRE(analysis.ensembles.size() == 6);
    for (std::size_t k = 0; k < 6; ++k) CHECK(difference(gaussian_of(analysis.ensembles[k]), expected[k]) <= 1e-10);
  }
}

TEST_CASE("etkf: the members are those of LEVDA by the ensemble's own gradient, one step at a time") {
  const LinearTwin twin = linear_twin(8, 6, 5, 3, 2);
  const Analysis smoother = Levda({.minimiser = Minimiser::ensemble}, {.length = 1}).assimilate(twin.problem());
  const Analysis filter = Etkf().assimilate(twin.problem());
  for (std::size_t k = 0; k < 5; ++k)
    CHECK(largest_difference(filter.ensembles[k].members(), smoother.ensembles[k].members()) <= 1e-10);
}

TEST_CASE("etkf: inflation widens the last analysis, rotation changes members and no more") {
  const LinearTwin twin = linear_twin(5, 12, 1, 3, 3);
  const Gaussian plain = gaussian_of(Etkf().assimilate(twin.problem()).ensembles[0]);
  const Gaussian wide = gaussian_of(Etkf({.factor = 2}).assimilate(twin.problem()).ensembles[0]);
  CHECK(difference(wide, {plain.mean, 4 * plain.covariance}) <= 1e-10);
  const Gaussian turned = gaussian_of(Etkf({.rotate = true}).assimilate(twin.problem()).ensembles[0]);
  CHECK(difference(turned, plain) <= 1e-10);
  CHECK_THROWS_AS(Etkf({.factor = -1}), Error);
}

TEST_CASE("etkf: Lorenz-96 with 20 members is tracked to a fifth of the observations' error") {
  // 0.20 over thousands of cycles; means over 200 of them vary by 0.01 (one deviation) from seed to seed.
  CHECK(seeds_within(0.24, [](std::uint64_t seed) {
          const LorenzTwin twin = lorenz_96_twin({.members = 20, .cycles = 300, .initial_variance = 0.001}, seed);
          return twin.rmse(Etkf({.factor = 1.04, .rotate = true}).assimilate(twin.problem()), 100);
        }) >= 2);
}
