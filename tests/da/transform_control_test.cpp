#include "da/internal/transform_control.h"

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

namespace {

struct Twin {
  StepModel model = forced_lorenz();
  Ensemble prior;
  Observations observations;
  std::vector<double> variance;
  std::vector<double> times;
};

Twin make_twin(std::int64_t steps) {
  Twin twin;
  Random random(3);
  const auto state = [&](double forcing) {
    std::vector<double> v;
    for (std::int64_t i = 0; i < places; ++i) v.push_back(2 + 0.5 * random.normal());
    v.push_back(forcing);
    return v;
  };
  std::vector<double> members;
  for (int k = 0; k < 8; ++k) {
    const std::vector<double> one = state(8 + random.normal());
    members.insert(members.end(), one.begin(), one.end());
  }
  twin.prior = Ensemble(Tensor::from(std::span<const double>(members), {8, places + 1}));
  const std::vector<double> start = state(8.5);
  Var truth(Tensor::from(std::span<const double>(start), {1, places + 1}));
  for (std::int64_t t = 0; t < steps; ++t) {
    const double time = 0.05 * static_cast<double>(t);
    twin.times.push_back(time);
    const std::vector<double> x = truth.value().to_vector();
    for (std::int64_t c = t % 2; c < places; c += 2) {
      twin.observations.add(time, 0, 0, c, x[static_cast<std::size_t>(c)] + 0.1 * random.normal(), 0.1);
      twin.variance.push_back(0.01);
    }
    truth = twin.model.advance(truth, 0.05);
  }
  return twin;
}

}  // namespace

TEST_CASE("transform control: the gradient against differences, the start is the prior") {
  const Twin twin = make_twin(4);
  const DiagonalCovariance covariance(twin.variance);
  const auto observe = twin.model.observe(twin.observations);
  Random random(5);
  Diagnostics diagnostics;
  const WindowProblem problem{
      .prior = twin.prior,
      .values = Tensor::from(std::span<const double>(twin.observations.value), {twin.observations.size()}),
      .covariance = std::make_unique<DiagonalCovariance>(twin.variance),
      .observations = twin.observations,
      .random = random,
      .diagnostics = diagnostics};
  const TransformControl control(*observe, problem, 1);
  std::vector<double> x = control.start();
  REQUIRE(x.size() == 8 * 9);
  const std::vector<double> members = control.ensemble(x).members().to_vector();
  const std::vector<double> prior = twin.prior.members().to_vector();
  for (std::size_t i = 0; i < prior.size(); ++i) CHECK(std::abs(members[i] - prior[i]) <= 1e-13);
  std::vector<double> gradient(x.size());
  // At the start the cost is the mean squared misfit of each time, summed.
  double expected = 0;
  const std::vector<double> predictions = observe->predict(twin.prior.members()).to_vector();
  for (std::size_t i = 0; i < predictions.size(); ++i)
    expected += std::pow((twin.observations.value[i % twin.variance.size()] - predictions[i]) / 0.1, 2) / (3.0 * 8.0);
  CHECK(std::abs(control.cost(x, gradient) - expected) <= 1e-12 * expected);
  CHECK(control.background(x) == 0);
  for (double& value : x) value += 0.1 * random.normal();
  const double here = control.cost(x, gradient);
  std::vector<double> ignored(x.size());
  constexpr double h = 1e-5;
  for (const std::size_t i : {std::size_t{0}, std::size_t{13}, std::size_t{63}, std::size_t{64}, std::size_t{71}}) {
    std::vector<double> moved = x;
    moved[i] += h;
    const double up = control.cost(moved, ignored);
    moved[i] -= 2 * h;
    const double down = control.cost(moved, ignored);
    // Round-off of the cost over h, and a third derivative of the order of the cost times h^2.
    CHECK(std::abs((up - down) / (2 * h) - gradient[i]) <= here * (1e-15 / h + 10 * h * h));
  }
  CHECK_THROWS_AS(TransformControl(*observe, problem, places + 1), Error);
}

TEST_CASE(
    "transform control: the misfit falls in the published windows, and the mean comes nearer to what is observed") {
  const Twin twin = make_twin(9);
  const DiagonalCovariance covariance(twin.variance);
  const Problem problem{.prior = twin.prior,
                        .model = twin.model,
                        .observations = twin.observations,
                        .covariance = covariance,
                        .times = twin.times};
  const Levda method({.control = Control::transform, .iterations = 50, .parameters = 1}, {.length = 5, .shift = 1});
  const Analysis analysis = method.assimilate(problem);
  const Analysis free = FreeRun().assimilate(problem);
  CHECK(analysis.diagnostics.at("iterations").size() == 5);
  for (const double count : analysis.diagnostics.at("iterations")) CHECK(count <= 50);
  for (std::size_t i = 1; i < analysis.iterations.size(); ++i) {
    const Iteration& a = analysis.iterations[i - 1];
    const Iteration& b = analysis.iterations[i];
    if (a.window == b.window) CHECK(b.cost_background + b.cost_observations <= a.cost_background + a.cost_observations);
  }
  CHECK(analysis.diagnostics.at("cost")[0] <= 0.1 * analysis.iterations[0].cost_observations);
  const auto misfit = [&](const Analysis& of) {
    double sum = 0;
    for (std::int64_t i = 0; i < twin.observations.size(); ++i) {
      const auto k = static_cast<std::size_t>(i);
      const auto t = static_cast<std::size_t>(std::llround(twin.observations.time[k] / 0.05));
      const std::vector<double> mean = of.ensembles[t].mean().to_vector();
      sum += std::pow(mean[static_cast<std::size_t>(twin.observations.channel[k])] - twin.observations.value[k], 2);
    }
    return sum;
  };
  CHECK(misfit(analysis) <= 0.1 * misfit(free));
  CHECK(analysis.impact.empty());
}
