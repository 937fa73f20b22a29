/// Controls that drift from window to window.

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/error.h"
#include "da/levda.h"
#include "tests/da/forced_lorenz.h"

using namespace levda;
using namespace levda::da;
using autodiff::Random;
using autodiff::Tensor;
using autodiff::Var;
using testing::forced_lorenz;
using testing::places;

TEST_CASE("a forcing that drifts is followed with a random walk, and not without") {
  // Forcing 8 to 12 over 40 windows of two steps; all states are observed.
  const StepModel model = forced_lorenz();
  constexpr std::int64_t steps = 80;
  Random random(7);
  std::vector<double> truth(places + 1, 3.0);
  truth[1] += 0.5;
  std::vector<double> members;
  for (int k = 0; k < 12; ++k) {
    for (std::int64_t i = 0; i < places; ++i)
      members.push_back(truth[static_cast<std::size_t>(i)] + 0.3 * random.normal());
    members.push_back(8 + 0.3 * random.normal());
  }
  const Ensemble prior(Tensor::from(std::span<const double>(members), {12, places + 1}));
  Observations o;
  std::vector<double> times;
  std::vector<double> variance;
  double last_forcing = 0;
  for (std::int64_t t = 0; t < steps; ++t) {
    truth[places] = last_forcing = 8 + 4 * static_cast<double>(t) / static_cast<double>(steps - 1);
    const double time = 0.05 * static_cast<double>(t);
    times.push_back(time);
    for (std::int64_t c = 0; c < places; ++c) {
      o.add(time, 0, 0, c, truth[static_cast<std::size_t>(c)] + 0.1 * random.normal(), 0.1);
      variance.push_back(0.01);
    }
    truth = model.forecast(Tensor::from(std::span<const double>(truth), {1, places + 1}), 0.05).to_vector();
  }
  const DiagonalCovariance covariance(variance);
  const Problem problem{prior, model, o, covariance, times};
  const auto forcing = [&](double walk) {
    std::vector<double> deviation(places + 1, 0.0);
    deviation[places] = walk;
    const Levda method({.starts = 0, .annealing = {1}}, {.length = 2, .walk = deviation});
    const Analysis analysis = method.assimilate(problem);
    return analysis.ensembles.back().mean().to_vector()[places];
  };
  CHECK(std::abs(forcing(0.2) - last_forcing) <= 0.5);
  CHECK(std::abs(forcing(0) - last_forcing) >= 1);
  CHECK_THROWS_AS(Levda({}, {.walk = {1}}).assimilate(problem), Error);
  CHECK_THROWS_AS(Levda({}, {.walk = {-1}}), Error);
}

TEST_CASE("a random walk keeps the ensemble's mean and adds its variance") {
  const StepModel still(2, 1, [](const Var& v) { return 1 * v; });
  Random random(9);
  std::vector<double> members;
  for (int k = 0; k < 400; ++k) members.push_back(random.normal());
  const Ensemble prior(Tensor::from(std::span<const double>(members), {200, 2}));
  Observations o;
  o.add(0, 0, 0, 0, 0, 1e6);
  const DiagonalCovariance covariance({1e12});
  const Levda method({.starts = 0, .annealing = {1}}, {.length = 1, .walk = {0, 2}});
  const Analysis analysis = method.assimilate({prior, still, o, covariance, {0, 1, 2, 3}});
  const Ensemble& last = analysis.ensembles.back();
  CHECK(std::abs(last.mean().to_vector()[1] - prior.mean().to_vector()[1]) <= 1e-10);
  CHECK(std::abs(last.spread()[0] - prior.spread()[0]) <= 1e-10);
  // 1 + 3 x 4, with a relative sampling error of the variance of sqrt(2 / 199).
  CHECK(std::abs(std::pow(last.spread()[1], 2) / 13 - 1) <= 4 * std::sqrt(2.0 / 199));
}
