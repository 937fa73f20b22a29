/// The IEnKS against closed forms, against LEVDA, and on Lorenz' system where only iterations help.

#include "da/ienks.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/error.h"
#include "da/etkf.h"
#include "da/levda.h"
#include "da/step_model.h"
#include "tests/autodiff/compare.h"
#include "tests/da/linear_smoother.h"
#include "tests/da/lorenz_smoother.h"

using namespace levda;
using namespace levda::da;
using namespace levda::testing;
using autodiff::Tensor;

namespace {

const IenksSettings transform{.sensitivities = Sensitivities::transform, .tolerance = 1e-8};
const IenksSettings bundle{.sensitivities = Sensitivities::bundle, .tolerance = 1e-8};

IenksSettings once(IenksSettings settings) {
  settings.iterations = 1;
  return settings;
}

}  // namespace

TEST_CASE("ienks: transform, bundle, LEVDA and the Kalman smoother agree with a linear model") {
  for (const auto& [n, members] : {std::pair{5, 12}, std::pair{12, 5}}) {
    CAPTURE(n);
    const LinearTwin twin = linear_twin(n, members, 6, 3, 1);
    const Gaussian at_start = kalman_smoother(gaussian_of(twin.prior), twin.model, twin.observations);
    const Analysis levda = Levda({.starts = 0, .annealing = {1}}).assimilate(twin.problem());
    for (const IenksSettings& settings : {transform, bundle, once(transform), once(bundle)}) {
      const Analysis analysis = Ienks(settings).assimilate(twin.problem());
      for (std::int64_t t = 0; t < 6; ++t) {
        CHECK(difference(gaussian_of(analysis.ensembles[t]), advanced(at_start, twin.model.power(t))) <= 1e-10);
        CHECK(largest_difference(analysis.ensembles[t], levda.ensembles[t]) <= 1e-10);
      }
      REQUIRE(analysis.impact.size() == levda.impact.size());
      for (std::size_t i = 0; i < levda.impact.size(); ++i) {
        CHECK(std::abs(analysis.impact[i].share - levda.impact[i].share) <= 1e-10);
        CHECK(std::abs(analysis.impact[i].sensitivity - levda.impact[i].sensitivity) <= 1e-10);
      }
      // One iteration reaches the minimum, the second sees it.
      CHECK(analysis.diagnostics.at("iterations")[0] <= 2);
    }
  }
}

TEST_CASE("ienks: one iteration over one step is the ETKF") {
  const LinearTwin twin = linear_twin(6, 9, 2, 3, 2);
  LinearTwin later = twin;
  later.observations = twin.observations.part(positions_at(twin.observations, 1));
  later.covariance = DiagonalCovariance(std::vector<double>(3, 2.0));
  later.times = {1};
  const Inflation inflation{.factor = 1.1};
  IenksSettings settings = once(transform);
  settings.inflation = inflation;
  const Ensemble smoothed = Ienks(settings).assimilate(later.problem()).ensembles[0];
  CHECK(largest_difference(smoothed, Etkf(inflation).assimilate(later.problem()).ensembles[0]) <= 1e-10);

  // A nonlinear observation too, if it lies where the control vector does.
  const StepModel cubic(2, 1.0, [](const autodiff::Var& v) { return v * v * v; });
  Observations o;
  o.add(0, 0, 0, 1, 0.3, 1);
  const DiagonalCovariance covariance({1.0});
  autodiff::Random random(3);
  const Ensemble prior(tensor_of(random_matrix(5, 2, random)));
  const Problem now{prior, cubic, o, covariance, {0}};
  CHECK(largest_difference(Ienks(once(transform)).assimilate(now).ensembles[0], Etkf().assimilate(now).ensembles[0]) <=
        1e-10);
}

TEST_CASE("ienks: overlapping windows count an observation once") {
  const LinearTwin twin = linear_twin(6, 15, 8, 2, 3);
  const auto last = [&](std::int64_t length, std::int64_t shift) {
    return gaussian_of(
        Ienks(transform, {.length = length, .shift = shift}).assimilate(twin.problem()).ensembles.back());
  };
  CHECK(difference(last(5, 3), last(8, 8)) <= 1e-10);
}

TEST_CASE("ienks: the bundle ends at LEVDA's minimum of a nonlinear model, the transform near it") {
  const LorenzTwin twin = lorenz_63_twin({.members = 5, .cycles = 8, .steps = 5, .error_variance = 2}, 4);
  const Problem problem = twin.problem();
  const Analysis levda = Levda({.starts = 0, .annealing = {1}, .tolerance = 1e-14}).assimilate(problem);
  const auto distance_of = [&](IenksSettings settings) {
    const Analysis analysis = Ienks(settings).assimilate(problem);
    CHECK(analysis.diagnostics.at("step")[0] <= 1e-8);
    CHECK(analysis.diagnostics.at("iterations")[0] >= 3);
    return largest_difference(analysis.ensembles[0], levda.ensembles[0]);
  };
  const auto narrow = [](double epsilon) {
    IenksSettings settings = bundle;
    settings.epsilon = epsilon;
    return settings;
  };
  // One-sided differences: of first order in their width.
  const double coarse = distance_of(narrow(1e-4));
  const double fine = distance_of(narrow(1e-5));
  CHECK(coarse <= 1e-4);
  CHECK(std::abs(std::log10(coarse / fine) - 1) <= 0.1);
  const double distance = distance_of(transform);
  CHECK(distance > coarse);
  CHECK(distance <= levda.ensembles[0].spread()[0]);
}

TEST_CASE("ienks: a problem has the same bits in a batch and alone") {
  std::vector<LorenzTwin> twins;
  for (std::uint64_t seed = 1; seed <= 4; ++seed)
    twins.push_back(lorenz_63_twin({.members = 5, .cycles = 8, .steps = 5, .error_variance = 2}, seed));
  std::vector<Problem> problems;
  for (const LorenzTwin& t : twins)
    problems.push_back({t.prior, twins[0].model, t.observations, t.covariance, t.times, t.seed});
  IenksSettings settings = transform;
  settings.inflation = {.factor = 1.1, .rotate = true};
  const Ienks method(settings, {.length = 4, .shift = 3});
  const std::vector<Analysis> together = method.assimilate_all(problems);
  for (std::size_t k = 0; k < problems.size(); ++k) {
    const Analysis alone = method.assimilate(problems[k]);
    CHECK(together[k].diagnostics == alone.diagnostics);
    for (std::size_t t = 0; t < 8; ++t)
      CHECK(same_bits(together[k].ensembles[t].members(), alone.ensembles[t].members()));
  }
  // The test needs problems that end after different numbers of iterations.
  CHECK(together[0].diagnostics.at("iterations") != together[1].diagnostics.at("iterations"));
}

TEST_CASE("ienks: a step out of the model's range is halved") {
  // log v is observed as -3; from v = 1 the linear model leads to v < 0.
  const StepModel model(1, 1.0, [](const autodiff::Var& v) { return log(v); });
  Observations o;
  o.add(1, 0, 0, 0, -3, 0.1);
  const DiagonalCovariance covariance({0.01});
  const Ensemble prior(Tensor::from(std::vector<double>{0.6, 0.9, 1.0, 1.5}, {4, 1}));
  const double variance = std::pow(prior.spread()[0], 2);
  for (IenksSettings settings : {transform, bundle}) {
    settings.iterations = 100;
    Problem problem{prior, model, o, covariance, {0}};
    const Ensemble posterior = Ienks(settings).assimilate(problem).ensembles[0];
    const double v = posterior.mean().item();
    if (settings.sensitivities == Sensitivities::bundle) {
      const double slope = (v - 1) / variance - (-3 - std::log(v)) / 0.01 / v;
      CHECK(std::abs(slope) <= 1e-4 / (0.01 * v * v));  // a distance of 1e-4 from the minimum
    }
    CHECK(std::abs(v - std::exp(-3)) <= 0.02);
  }
  const Ensemble outside(Tensor::from(std::vector<double>{-0.6, 0.9}, {2, 1}));
  CHECK_THROWS_WITH_AS(Ienks(transform).assimilate({outside, model, o, covariance, {0}}),
                       "ienks: the model is not finite after 0 iterations", Error);
}

TEST_CASE("ienks: Lorenz-96 with 12 steps between observations is followed with iterations, and lost without") {
  const auto error = [](std::int64_t iterations) {
    const LorenzTwin twin = lorenz_96_twin({.members = 25, .cycles = 24, .steps = 12, .initial_variance = 0.001}, 1);
    const Ienks method({.iterations = iterations, .inflation = {.factor = 1.2, .rotate = true}});
    return lag_errors(twin, method, 1, 8).filter;
  };
  CHECK(error(10) <= 0.6);
  CHECK(error(1) >= 2);
}

TEST_CASE("ienks: settings that make no sense") {
  CHECK_THROWS_WITH_AS(Ienks({.iterations = 0}), "ienks: 0 iterations", Error);
  CHECK_THROWS_AS(Ienks({.tolerance = -1}), Error);
  CHECK_THROWS_AS(Ienks({.epsilon = 0}), Error);
  CHECK_THROWS_AS(Ienks({.inflation = {.factor = 0}}), Error);
}
