#include "da/ensf.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/error.h"
#include "da/step_model.h"
#include "tests/autodiff/compare.h"

using namespace levda;
using namespace levda::da;
using autodiff::Tensor;
using autodiff::Var;
using levda::testing::largest_difference;

namespace {

/// Three controls that stay as they are; a channel observes one of them.
StepModel still() {
  return {3, 1, [](const Var& v) { return v; }};
}

/// A model at rest whose square is observed.
class Squares final : public ForwardModel {
 public:
  std::int64_t controls() const override { return 3; }
  Var advance(const Var& v, double) const override { return v; }
  std::unique_ptr<ObservationOperator> observe(const Observations& o) const override {
    class Operator final : public ObservationOperator {
     public:
      explicit Operator(Tensor channels) : channels_(std::move(channels)) {}
      std::int64_t size() const override { return channels_.size(); }
      Var operator()(const Var& v) const override { return square(gather(v, 1, channels_)); }

     private:
      Tensor channels_;
    };
    return std::make_unique<Operator>(Tensor::indices(o.channel));
  }
};

Ensemble normal_ensemble(std::int64_t count, double mean, double deviation, std::uint64_t seed) {
  autodiff::Random random(seed);
  std::vector<double> values;
  for (std::int64_t i = 0; i < 3 * count; ++i) values.push_back(mean + deviation * random.normal());
  return Ensemble(Tensor::from(std::span<const double>(values), {count, 3}));
}

Ensemble analysis_of(const Ensemble& prior, const ForwardModel& model, const Observations& o, EnsfSettings settings,
                     std::uint64_t seed = 1) {
  std::vector<double> variance;
  for (const double error : o.error_std) variance.push_back(error * error);
  const DiagonalCovariance covariance(variance);
  return Ensf(settings)
      .assimilate(
          {.prior = prior, .model = model, .observations = o, .covariance = covariance, .times = {0}, .seed = seed})
      .ensembles[0];
}

}  // namespace

TEST_CASE("ensf: as published it mixes each member with the observation, in fixed proportions") {
  const StepModel model = still();
  const Ensemble prior = normal_ensemble(60, 0.5, 0.8, 3);
  Observations o;
  o.add(0, 0, 0, 1, -0.4, 0.1);
  const EnsfSettings settings;
  const Ensemble posterior = analysis_of(prior, model, o, settings);
  const std::vector<double> before = prior.members().to_vector();
  const std::vector<double> after = posterior.members().to_vector();
  const Gain observed = gain(settings.diffusion, 0.1);
  const Gain other = gain(settings.diffusion, 1e6);
  double noise = 0;
  for (std::size_t i = 0; i < after.size(); ++i) {
    const Gain& g = i % 3 == 1 ? observed : other;
    const double rest = (after[i] - g.forecast * before[i] - g.observation * (i % 3 == 1 ? -0.4 : 0)) / g.noise;
    CHECK(std::abs(rest) <= 5);  // deviations
    noise += rest * rest;
  }
  CHECK(std::abs(noise / 180 - 1) <= 5 * std::sqrt(2.0 / 180));
  // One seed, one analysis.
  CHECK(largest_difference(posterior.members(), analysis_of(prior, model, o, settings).members()) == 0);
  CHECK(largest_difference(posterior.members(), analysis_of(prior, model, o, settings, 2).members()) > 0);
}

TEST_CASE("ensf: with the score of all members, observations that say nothing leave the ensemble's distribution") {
  const StepModel model = still();
  const Ensemble prior = normal_ensemble(100, 0.5, 0.8, 3);
  Observations o;
  o.add(0, 0, 0, 0, 0, 1e4);
  for (const std::int64_t batch : {0, 40}) {
    CAPTURE(batch);
    const Ensemble posterior = analysis_of(prior, model, o, {.batch = batch});
    const std::vector<double> before = prior.mean().to_vector();
    const std::vector<double> after = posterior.mean().to_vector();
    for (std::size_t k = 0; k < 3; ++k) {
      // A sample of 100 of it: five standard errors.
      CHECK(std::abs(after[k] - before[k]) <= 5 * prior.spread()[k] / 10);
      CHECK(std::abs(posterior.spread()[k] / prior.spread()[k] - 1) <= 5 / std::sqrt(200.0));
    }
  }
  // A batch of all, or of more than there are, is all.
  CHECK(largest_difference(analysis_of(prior, model, o, {.batch = 0}).members(),
                           analysis_of(prior, model, o, {.batch = 100}).members()) == 0);
}

TEST_CASE("ensf: an operator that is not linear counts by its slope") {
  const Squares model;
  const Ensemble prior = normal_ensemble(40, 1, 0.2, 5);
  Observations o;
  o.add(0, 0, 0, 1, 2.25, 0.3);
  const Ensemble posterior = analysis_of(prior, model, o, {});
  // About 0.633 + 0.367 x 1.5, the gain at an error of 0.3 / 3; 1 where nothing is observed.
  CHECK(std::abs(posterior.mean().to_vector()[1] - 1.18) <= 0.1);
  CHECK(std::abs(posterior.mean().to_vector()[0] - prior.mean().to_vector()[0]) <= 0.1);
}

TEST_CASE("ensf: settings that make no sense, and errors that the steps cannot bear") {
  CHECK_THROWS_AS(Ensf({.diffusion = {.epsilon = 0}}), Error);
  CHECK_THROWS_AS(Ensf({.batch = -1}), Error);
  CHECK_THROWS_AS(Ensf({.scaling = 0}), Error);
  CHECK_THROWS_AS(Ensf({.inflation = {.factor = 0}}), Error);
  const StepModel model = still();
  Observations o;
  o.add(0, 0, 0, 0, 0, 1e-4);
  CHECK_THROWS_AS(analysis_of(normal_ensemble(4, 0, 1, 1), model, o, {}), Error);
}
