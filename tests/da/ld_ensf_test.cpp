#include "da/ld_ensf.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "autodiff/error.h"
#include "da/step_model.h"
#include "tests/autodiff/compare.h"

using namespace levda;
using namespace levda::da;
using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;
using levda::testing::largest_difference;

namespace {

/// 2 x 2 sensors of two channels on 4 x 4 nodes; two latent numbers and a parameter. A step of ten seconds turns the
/// first two and leaves the third.
struct World {
  models::Description about{
      .case_name = "own",
      .parameter_names = {"p"},
      .parameter_units = {"1"},
      .parameter_min = {0},
      .parameter_max = {1},
      .channel_names = {"a", "b"},
      .channel_units = {"1", "1"},
      .grid = {.nx = 4, .ny = 4, .x0 = 1, .y0 = 2, .dx = 0.5, .dy = 3, .offset_x = {0.5, 0}, .offset_y = {0, 0.5}},
      .frames = 10,
      .first_time = 0,
      .frame_interval = 10};
  models::TrainedEncoder encoder{
      .net = models::ObservationEncoder({.observed = 8, .hidden = 6, .latent = 2, .parameters = 1}, 3),
      .sequences = {.experiment = "cold", .first_start = 0, .last_start = 0, .frames = 3, .every = 1},
      .cells = {0, 2, 8, 10},
      .channel_names = {"a", "b"},
      .field_mean = {1, -1},
      .field_std = {2, 0.5},
      .surrogate = "",
      .provenance = {}};
  StepModel model{3, 10, [](const Var& v) {
                    const Var x = slice(v, 1, 0, 1);
                    const Var y = slice(v, 1, 1, 1);
                    return autodiff::concat({0.8 * x - 0.6 * y, 0.6 * x + 0.8 * y, slice(v, 1, 2, 1)}, 1);
                  }};
  Ensemble prior;
  Observations o;

  World() {
    autodiff::Random random(5);
    std::vector<double> members(15);
    for (double& value : members) value = random.normal();
    prior = Ensemble(Tensor::from(std::span<const double>(members), {5, 3}));
    for (int frame = 1; frame <= 3; ++frame)
      for (int j = 0; j < 2; ++j)
        for (int i = 0; i < 2; ++i)
          for (int c = 0; c < 2; ++c)
            o.add(10.0 * frame, 1 + 0.5 * (2 * i + (c == 0 ? 0.5 : 0)), 2 + 3 * (2 * j + (c == 1 ? 0.5 : 0)), c,
                  random.normal(), 0.1);
  }

  Analysis run(const Observations& observations, LdEnsfSettings settings = {}) const {
    const DiagonalCovariance covariance(std::vector<double>(static_cast<std::size_t>(observations.size()), 1.0));
    return LdEnsf(encoder, about, settings)
        .assimilate({.prior = prior,
                     .model = model,
                     .observations = observations,
                     .covariance = covariance,
                     .times = {10, 20, 30, 40},
                     .seed = 4});
  }
};

std::string refusal(const World& w, const std::function<void(Observations&)>& change) {
  Observations o = w.o;
  change(o);
  try {
    w.run(o);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("ld-ensf: an analysis is forecast and encoding in fixed proportions, and the encoder remembers") {
  const World w;
  const LdEnsfSettings settings;
  const Gain g = gain(settings);
  CHECK(std::abs(g.noise - 0.00157) <= 5e-6);
  const Analysis analysis = w.run(w.o);
  REQUIRE(analysis.ensembles.size() == 4);
  CHECK(analysis.diagnostics.at("gain_forecast") == std::vector<double>{g.forecast});
  CHECK(analysis.diagnostics.at("gain_observation") == std::vector<double>{g.observation});
  CHECK(analysis.diagnostics.at("gain_noise") == std::vector<double>{g.noise});
  const autodiff::Vars weights = w.encoder.net.parameters().constants();
  const std::vector<double> normal = w.encoder.normal_observations(w.o.value);
  const Var sequence(Tensor::from(std::span<const double>(normal), {3, 1, 8}, DType::float32));
  const std::vector<double> encoded = w.encoder.net.encode(weights, sequence).value().to_vector();
  Tensor before = w.prior.members();
  for (std::size_t t = 0; t < 4; ++t) {
    const std::vector<double> forecast = w.model.advance(Var(before), 10).value().to_vector();
    const std::vector<double> after = analysis.ensembles[t].members().to_vector();
    for (std::size_t i = 0; i < after.size(); ++i) {
      if (t == 3)  // nothing was observed
        CHECK(after[i] == forecast[i]);
      else
        CHECK(std::abs(after[i] - g.forecast * forecast[i] - g.observation * encoded[3 * t + i % 3]) <= 5 * g.noise);
    }
    before = analysis.ensembles[t].members();
  }
  // The order of the observations does not matter.
  std::vector<std::int64_t> order(24);
  std::iota(order.rbegin(), order.rend(), 0);
  CHECK(largest_difference(w.run(w.o.part(order)).ensembles[2].members(), analysis.ensembles[2].members()) == 0);
}

TEST_CASE("ld-ensf: observations that the encoder was not made for are named") {
  const World w;
  const auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  CHECK(has(refusal(w, [](Observations& o) { o.qc[3] = outlier; }), "sensor 1, channel b, was not observed"));
  CHECK(has(refusal(w, [](Observations& o) { o.time[3] = 13; }), "observation 3 at a time of 1.3 frames"));
  CHECK(has(refusal(w, [](Observations& o) { o.x[3] += 0.5; }), "observation 3 at"));
  CHECK(has(refusal(w, [](Observations& o) { o.x[3] = -1; }), "none of the encoder's 4 sensors"));
  CHECK(has(refusal(w, [](Observations& o) { o.add(o.time[2], o.x[2], o.y[2], o.channel[2], 7, 1); }),
            "observation 24 is the second one"));
  CHECK(
      has(refusal(w,
                  [](Observations& o) {
                    for (double& t : o.time)
                      if (t == 20) t = 40;
                  }),
          "observations 3 frames after the start, where the encoder, made for cold analyses and every 1 frames, needs "
          "those 2 after it"));
  CHECK(has(refusal(w, [](Observations& o) { std::fill(o.qc.begin(), o.qc.end(), 5); }), "there are no observations"));
  models::Description other = w.about;
  other.channel_names = {"a", "c"};
  CHECK_THROWS_AS(LdEnsf(w.encoder, other, {}), Error);
  CHECK_THROWS_AS(LdEnsf(w.encoder, w.about, {.scaling = 0}), Error);
  CHECK_THROWS_AS(LdEnsf(w.encoder, w.about, {.error = 0}), Error);
}
