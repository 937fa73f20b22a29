#include "experiments/twin/full_state.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "autodiff/error.h"
#include "experiments/data/generate.h"
#include "tests/autodiff/compare.h"

using namespace levda;
using namespace levda::experiments;
using autodiff::Var;

namespace {

Config small(const std::string& name, std::int64_t nodes, std::int64_t steps_per_frame) {
  Config config = load_preset(name, "small");
  config.data.nodes = nodes;
  config.data.steps_per_frame = steps_per_frame;
  config.data.frames = 8;
  config.data.train = 4;
  config.data.valid = config.data.test = 1;
  config.data.between = 0;
  config.observations.sensors = "grid:4x4";
  config.observations.sigma = 1e-6;
  config.observations.truths = 1;
  config.assimilation.members = 3;
  config.assimilation.frames = 3;
  config.assimilation.start_min = 1;
  config.assimilation.start_max = 4;
  return config;
}

}  // namespace

TEST_CASE("full state: members are frames of training trajectories, their forecast is the next frame") {
  // A tsunami, a flow with the steps of its scheme, and an atmosphere of T10 with steps of an hour.
  for (const Config& config : {small("tsunami", 16, 5), small("kolmogorov", 16, 10), small("atmosphere", 16, 8)}) {
    CAPTURE(config.case_name);
    const Dataset data = generate_dataset(config, {});
    const da::SolverModel model = solver_model(config, data, field_moments(data));
    for (const std::string& experiment : experiment_names()) {
      CAPTURE(experiment);
      const std::vector<da::MemberOrigin> drawn = draw_members(config, data.train, experiment, 0);
      const da::Ensemble prior = draw_full_prior(config, data, model, experiment, 0);
      CHECK(prior.size() == 3);
      const std::vector<float> later =
          model.states(model.advance(Var(prior.members()), data.about.frame_interval).value());
      const std::vector<double> u = model.parameters(prior.members());
      const auto p = static_cast<std::size_t>(data.about.parameters());
      for (std::size_t k = 0; k < 3; ++k) {
        CHECK(drawn[k].frame >= (experiment == "cold" ? -1 : 1));
        const std::span<const double> own = data.parameters_of(drawn[k].member);
        for (std::size_t i = 0; i < p; ++i) CHECK(std::abs(u[k * p + i] - own[i]) <= 1e-13 * std::abs(own[i]));
        const std::span<const float> next = data.frame(drawn[k].member, drawn[k].frame + 1);
        double largest = 0;
        double difference = 0;
        for (std::size_t i = 0; i < next.size(); ++i) {
          largest = std::max(largest, std::abs(static_cast<double>(next[i])));
          difference = std::max(difference, std::abs(static_cast<double>(next[i]) - later[k * next.size() + i]));
        }
        CHECK(difference <= 10 * 0x1p-24 * largest);
      }
    }
  }
}

TEST_CASE("full state: from the true control vector the solver predicts the observations") {
  for (const char* sensors : {"grid:4x4", "scattered:40"}) {
    Config config = small("tsunami", 16, 5);
    config.observations.sensors = sensors;
    const Dataset data = generate_dataset(config, {});
    const Moments moments = field_moments(data);
    const da::SolverModel model = solver_model(config, data, moments);
    const Truth truth = draw_truths(config, data, "warm").front();
    const ObservationFile file = observe_truth(config, data, moments, truth, "warm");
    const std::vector<double> v =
        model.control(data.frame(truth.member, truth.start), data.parameters_of(truth.member),
                      data.about.first_time + static_cast<double>(truth.start) * data.about.frame_interval);
    const auto row = autodiff::Tensor::from(std::span<const double>(v), {1, model.controls()});
    const std::vector<double> y = model.observe(file.observations)->predict(row).to_vector();
    for (std::size_t i = 0; i < y.size(); ++i)  // five deviations of the noise, and float32
      CHECK(std::abs(y[i] - file.observations.value[i]) <=
            5 * file.observations.error_std[i] + 0x1p-20 * (1e-2 + std::abs(y[i])));
  }
}

TEST_CASE("full state: where there is nothing before frame 0, or the data are others', that is said") {
  Config config = small("tsunami", 8, 17);
  config.data.first_frame = 0;
  const Dataset data = generate_dataset(config, {});
  const Moments moments = field_moments(data);
  const da::SolverModel model = solver_model(config, data, moments);
  CHECK_THROWS_AS(draw_full_prior(config, data, model, "cold", 0), InputError);
  CHECK(draw_full_prior(config, data, model, "warm", 0).size() == 3);
  config.data.seed = 2;
  CHECK_THROWS_AS(solver_model(config, data, moments), InputError);
  config = small("tsunami", 8, 17);
  config.assimilation.members = 5;
  CHECK_THROWS_AS(draw_members(config, 4, "warm", 0), InputError);
}
