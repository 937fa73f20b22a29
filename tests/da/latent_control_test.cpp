/// Assimilation with a trained surrogate: prior, R, results in physical units, one assimilation after the other.

#include "da/latent_control.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "autodiff/error.h"
#include "da/etkf.h"
#include "da/levda.h"
#include "tests/autodiff/compare.h"

using namespace levda;
using namespace levda::da;
using autodiff::DType;
using autodiff::Random;
using autodiff::Tensor;

namespace {

constexpr std::int64_t trajectories = 12;

/// An untrained network and its own trajectories, with an error of 0.1 training deviations at frames, 0.2 between.
models::Surrogate make_surrogate() {
  models::Surrogate s{
      .about =
          {.case_name = "test",
           .parameter_names = {"a", "b"},
           .parameter_units = {"1", "1"},
           .parameter_min = {1, -1},
           .parameter_max = {3, 1},
           .channel_names = {"u", "eta"},
           .channel_units = {"m s-1", "m"},
           .grid = {.nx = 8, .ny = 6, .x0 = -5, .y0 = 10, .dx = 0.5, .dy = 2, .offset_x = {0, 0}, .offset_y = {0, 0}},
           .frames = 10,
           .first_time = 60,
           .frame_interval = 60},
      .net = models::Ldnet({.latent = 3,
                            .parameters = 2,
                            .channels = 2,
                            .fourier_features = 4,
                            .fourier_scale = 0.5,
                            .latent_dt = 0.3,
                            .dynamics_depth = 2,
                            .dynamics_width = 8,
                            .decoder_depth = 2,
                            .decoder_width = 8},
                           3),
      .field_mean = {0.1, 3},
      .field_std = {2, 0.5},
      .training_parameters = {},
      .training_latents = {},
      .error_variance = Tensor::full({10, 2}, 0.01, DType::float64),
      .between_variance = Tensor::full({9, 2}, 0.04, DType::float64),
      .provenance = {}};
  Random random(1);
  std::vector<double> parameters;
  for (std::int64_t k = 0; k < trajectories; ++k) {
    parameters.push_back(1 + 2 * random.uniform());
    parameters.push_back(-1 + 2 * random.uniform());
  }
  s.training_parameters = Tensor::from(std::span<const double>(parameters), {trajectories, 2});
  s.training_latents = models::latent_trajectories(s.net, s.normal_parameters(parameters), trajectories, 10);
  return s;
}

/// Every second node, both channels, at the first `frames` frames; values are those of one control vector.
Observations observe(const models::Surrogate& s, const LatentControl& control, const Tensor& truth,
                     std::int64_t frames) {
  Observations o;
  for (std::int64_t t = 0; t < frames; ++t)
    for (std::int64_t i = 0; i < 48; i += 2)
      for (std::int64_t c = 0; c < 2; ++c)
        o.add(60.0 * static_cast<double>(t), s.about.grid.node_x(i % 8), s.about.grid.node_y(i % 8, i / 8), c, 0,
              0.05 * s.field_std[c]);
  o.value = control.model().observe(o)->predict(truth).to_vector();
  return o;
}

}  // namespace

TEST_CASE("prior members are training states in the range of starts, of distinct trajectories") {
  const models::Surrogate s = make_surrogate();
  const LatentControl control(s, {.first_start = 2, .last_start = 5, .frames = 4});
  const Ensemble prior = control.prior(trajectories, Random(7));
  CHECK(testing::same_bits(prior.members(), control.prior(trajectories, Random(7)).members()));
  const std::vector<double> latents = s.training_latents.to_vector();
  const std::vector<double> u = s.normal_parameters(s.training_parameters.to_vector());
  const std::vector<double> v = prior.members().to_vector();
  std::set<std::int64_t> found;
  for (std::int64_t k = 0; k < trajectories; ++k)
    for (std::int64_t m = 0; m < trajectories; ++m)
      for (std::int64_t frame = 2; frame <= 5; ++frame)
        if (std::equal(v.begin() + k * 5, v.begin() + k * 5 + 3, latents.begin() + (m * 10 + frame) * 3) &&
            std::equal(v.begin() + k * 5 + 3, v.begin() + k * 5 + 5, u.begin() + m * 2))
          found.insert(m);
  CHECK(found.size() == trajectories);
  CHECK(control.candidates(30, Random(8)).size() == 30);
  CHECK(LatentControl(s).candidates(30, Random(8)).size() == trajectories);
  // Before frame 0 the latent state is 0.
  const std::vector<double> cold =
      LatentControl(s, {.first_start = -1, .last_start = -1}).prior(4, Random(1)).members().to_vector();
  for (std::size_t i = 0; i < cold.size(); ++i)
    if (i % 5 < 3) CHECK(cold[i] == 0);
  CHECK_THROWS_WITH_AS(control.prior(13, Random(1)),
                       "assimilation: members: 13 members, but there are 12 training trajectories", InputError);
  CHECK_THROWS_AS(LatentControl(s, {.first_start = 3, .last_start = 2}), InputError);
  CHECK_THROWS_AS(LatentControl(s, {.last_start = 10}), InputError);
  CHECK_THROWS_AS(LatentControl(s, {.error_factor = 0}), InputError);
  CHECK_THROWS_WITH_AS(LatentControl(s, {.parameters = ParameterRange::positive}),
                       "assimilation: parameters: positive, but the prior range of b begins at -1", InputError);
}

TEST_CASE("R is the observations' error and the surrogate's, times the factor") {
  const models::Surrogate s = make_surrogate();
  Observations o;
  o.add(0, -5, 10, 0, 1, 0.3);
  o.add(90, -4, 12, 1, 1, 0.2);
  o.add(60, -4, 12, 1, 1, 0.2, outlier);
  const LatentControl control(s, {.error_factor = 2});
  const std::vector<double> variance = control.covariance(o)->variance();
  CHECK(std::abs(variance[0] - 2 * (0.09 + 0.01 * 4)) <= 1e-14);
  CHECK(std::abs(variance[1] - 2 * (0.04 + 0.04 * 0.25)) <= 1e-14);
  CHECK(variance[2] == 2);
  const std::vector<double> correlated =
      LatentControl(s).covariance(o, FullCovariance({1, 0.5, 0, 0.5, 1, 0, 0, 0, 1}))->variance();
  CHECK(std::abs(correlated[0] - 1.04) <= 1e-14);
  CHECK_THROWS_WITH_AS(control.covariance(o, DiagonalCovariance({1, 1, 1, 1})),
                       "error covariance: 3 variances on top of 4", Error);
  CHECK_THROWS_AS(control.grid_points(0), Error);
  o.qc.pop_back();
  CHECK_THROWS_WITH_AS(control.covariance(o), "observations: qc: 2 rows, where value has 3", InputError);
}

TEST_CASE("fields, moments and parameters have physical units, with free and with bounded parameters") {
  const models::Surrogate s = make_surrogate();
  const LatentControl free(s, {.last_start = 6});
  const LatentControl bounded(s, {.last_start = 6, .parameters = ParameterRange::bounded});
  const Ensemble prior = free.prior(5, Random(3));
  CHECK(testing::largest_difference(bounded.natural(bounded.prior(5, Random(3))).members(), prior.members()) <= 1e-12);
  const std::vector<double> parameters = bounded.parameters(bounded.prior(5, Random(3)));
  for (std::size_t i = 0; i < parameters.size(); ++i)
    CHECK((parameters[i] >= s.about.parameter_min[i % 2] && parameters[i] <= s.about.parameter_max[i % 2]));

  // A field equals the prediction of an observation of it.
  const std::vector<double> x{-4.75, -3};
  const std::vector<double> y{11, 15.5};
  Observations o;
  for (std::size_t k = 0; k < 2; ++k)
    for (std::int64_t c = 0; c < 2; ++c) o.add(0, x[k], y[k], c, 0, 1);
  const std::vector<double> expected = free.model().observe(o)->predict(prior.members()).to_vector();
  const std::vector<float> fields = free.fields(prior, free.points(x, y));
  REQUIRE(fields.size() == expected.size());
  for (std::size_t i = 0; i < fields.size(); ++i) CHECK(std::abs(fields[i] - expected[i]) <= 2e-6);
  const FieldMoments moments = free.moments(prior, free.points(x, y));
  for (std::size_t k = 0; k < 4; ++k) {  // (point, channel) of a member, (channel, point) of the moments
    double mean = 0;
    double squares = 0;
    for (std::size_t m = 0; m < 5; ++m) mean += expected[m * 4 + k] / 5;
    for (std::size_t m = 0; m < 5; ++m) squares += std::pow(expected[m * 4 + k] - mean, 2) / 4;
    CHECK(std::abs(moments.mean[k % 2 * 2 + k / 2] - mean) <= 2e-6);
    CHECK(std::abs(moments.spread[k % 2 * 2 + k / 2] - std::sqrt(squares)) <= 2e-6);
  }
  CHECK(free.grid_points(2).shape()[0] == 12);
  CHECK(bounded.walk(0).empty());
  CHECK(std::abs(free.walk(0.1)[4] - 0.2) <= 1e-15);
}

TEST_CASE("the posterior, carried on, is the next prior: two windows by hand are the two windows of one run, exactly") {
  const models::Surrogate s = make_surrogate();
  for (const ParameterRange range : {ParameterRange::free, ParameterRange::bounded}) {
    const LatentControl control(s, {.last_start = 4, .frames = 6, .parameters = range});
    const Ensemble prior = control.prior(8, Random(5));
    const Tensor truth = control.prior(1 + 8, Random(6)).members().rows(8, 9);
    const Observations all = observe(s, control, truth, 6);
    const auto r = control.covariance(all);
    const std::vector<double> times{0, 60, 120, 180, 240, 300};
    const auto check = [&](const Method& whole, const Method& one) {
      const Analysis expected = whole.assimilate({prior, control.model(), all, *r, times});
      Ensemble now = prior;
      for (const double start : {0.0, 180.0}) {
        const std::vector<std::int64_t> positions = all.in_window(start, start + 180);
        Observations here = all.part(positions);
        for (double& t : here.time) t -= start;
        const auto own = control.covariance(here);
        const Analysis part = one.assimilate({now, control.model(), here, *own, {0, 60, 120}});
        const std::size_t first = start == 0 ? 0 : 3;
        for (std::size_t t = 0; t < 3; ++t)
          CHECK(testing::same_bits(part.ensembles[t].members(), expected.ensembles[first + t].members()));
        now = Ensemble(control.model().forecast(part.ensembles.back().members(), 60));
      }
    };
    const LevdaSettings settings{.starts = 0, .annealing = {1}};
    check(Levda(settings, {.length = 3}), Levda(settings));
    check(Etkf(), Etkf());
  }
}

TEST_CASE("LEVDA with a surrogate finds state and parameters of a truth that the surrogate made") {
  const models::Surrogate s = make_surrogate();
  const LatentControl control(s, {.last_start = 4, .frames = 6, .parameters = ParameterRange::bounded});
  const Ensemble prior = control.prior(10, Random(5));
  const Tensor truth = control.prior(11, Random(5)).members().rows(10, 11);  // a trajectory of none of the members
  const Observations o = observe(s, control, truth, 6);
  const auto r = control.covariance(o);
  const Levda method({.candidates = {control.candidates(40, Random(9))}}, {.gross_error = 5});
  const Analysis analysis = method.assimilate({prior, control.model(), o, *r, {0, 300}});
  const auto error = [&](const Ensemble& ensemble) {
    const FieldMoments found = control.moments(ensemble, control.grid_points());
    const std::vector<float> expected = control.fields(
        Ensemble(autodiff::concat({autodiff::Var(truth), autodiff::Var(truth)}, 0).value()), control.grid_points());
    double sum = 0;
    for (std::size_t i = 0; i < found.mean.size(); ++i)
      sum += std::pow(found.mean[i % 2 * 48 + i / 2] - expected[i], 2);
    return std::sqrt(sum);
  };
  CHECK(error(analysis.ensembles[0]) <= 0.1 * error(prior));
  CHECK(analysis.qc == std::vector<std::int32_t>(static_cast<std::size_t>(o.size()), used));
  CHECK(!analysis.impact.empty());
  const std::vector<double> spread = analysis.ensembles[0].spread();
  const std::vector<double> before = prior.spread();
  for (std::size_t k = 0; k < spread.size(); ++k) CHECK(spread[k] <= before[k]);
}
