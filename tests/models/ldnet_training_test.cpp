/// Training of a surrogate on arrays, by the library alone.

#include "models/ldnet_training.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <functional>

#include "autodiff/error.h"
#include "tests/nn/temporary_folder.h"

using namespace levda;
using namespace levda::models;
using levda::testing::TemporaryFolder;

namespace {

constexpr std::int64_t members = 12;
constexpr std::int64_t frames = 5;

/// Two channels of a wave whose speed is the parameter; with `varying` the parameter grows in time.
Dataset waves(const Grid& grid, bool varying) {
  Dataset set{.about = {.grid = grid, .frames = frames, .frame_interval = 0.5}, .varying = varying};
  std::vector<std::uint8_t> missing;
  for (std::int64_t member = 0; member < members; ++member) {
    const double speed = 1 + 0.1 * static_cast<double>(member * 7 % members);
    if (!varying) set.parameters.push_back(speed);
    for (std::int64_t frame = 0; frame < frames; ++frame) {
      if (varying) set.parameters.push_back(speed + 0.1 * static_cast<double>(frame));
      for (int channel = 0; channel < 2; ++channel)
        for (std::int64_t j = 0; j < grid.ny; ++j)
          for (std::int64_t i = 0; i < grid.nx; ++i) {
            const double phase = grid.node_x(i) - speed * 0.5 * static_cast<double>(frame) + channel;
            set.fields.push_back(static_cast<float>(std::sin(phase) * (1 + 0.1 * grid.node_y(i, j))));
            missing.push_back(set.fields.size() % 11 == 0 ? 1 : 0);
          }
    }
  }
  return make_dataset(std::move(set), members, missing);
}

Grid regular() { return {.nx = 6, .ny = 4, .dx = 0.5, .dy = 0.5}; }

Grid scattered() {
  std::vector<double> x;
  std::vector<double> y;
  for (int i = 0; i < 20; ++i) {
    x.push_back(3 * std::fmod(0.618 * i, 1.0));
    y.push_back(2 * std::fmod(0.755 * i, 1.0));
  }
  return Grid::of_points(x, y, 2);
}

NetworkSettings network() {
  NetworkSettings n;
  n.latent = 3;
  n.fourier_features = 4;
  n.dynamics_depth = 2;
  n.dynamics_width = 8;
  n.decoder_depth = 2;
  n.decoder_width = 16;
  return n;
}

TrainingSettings settings() {
  TrainingSettings t;
  t.steps = 60;
  t.trajectories = 4;
  t.points = 12;
  t.rate = 1e-2;
  t.validate_every = 20;
  return t;
}

}  // namespace

TEST_CASE("a surrogate learns from arrays, on a grid and at points, with missing values and varying parameters") {
  for (const Grid& grid : {regular(), scattered()})
    for (const bool varying : {false, true}) {
      CAPTURE(grid.listed());
      CAPTURE(varying);
      const Dataset data = waves(grid, varying);
      REQUIRE(has_missing(data));
      std::vector<nn::TrainingReport> reports;
      const TrainingOptions options{.report = [&](const nn::TrainingReport& r) { reports.push_back(r); }};
      const Surrogate s = train_surrogate(data, network(), settings(), options);
      REQUIRE(reports.size() == 60);
      CHECK(reports.front().step == 1);
      CHECK(reports.back().step == 60);
      CHECK_FALSE(reports.front().validation.has_value());
      CHECK(reports.back().seconds >= reports.front().seconds);
      CHECK(reports.back().loss < reports.front().loss);
      REQUIRE(reports[19].validation.has_value());
      CHECK(*reports.back().validation < *reports[19].validation);
      // The mean of the fields errs by 1.
      CHECK(surrogate_error(s, data, data.first_test(), members) < 0.8);
      CHECK(std::stod(s.provenance.at("test_rel_rmse")) ==
            doctest::Approx(surrogate_error(s, data, data.first_test(), members)).epsilon(1e-5));
      std::array<double, 2> missed{};
      std::array<double, 2> square{};
      for (std::int64_t member = data.first_test(); member < members; ++member) {
        const std::vector<float> found = predict(s, data.parameters_of(member));
        const std::span<const float> truth = std::span(data.fields).subspan(found.size() * member, found.size());
        for (std::size_t i = 0; i < found.size(); ++i) {
          if (std::isnan(truth[i])) continue;
          const std::size_t channel = i / static_cast<std::size_t>(grid.cells()) % 2;
          missed[channel] += (found[i] - truth[i]) * (found[i] - truth[i]);
          square[channel] += truth[i] * truth[i];
        }
      }
      CHECK(std::sqrt((missed[0] / square[0] + missed[1] / square[1]) / 2) ==
            doctest::Approx(surrogate_error(s, data, data.first_test(), members)).epsilon(1e-5));
      CHECK(s.training_parameters.shape() ==
            (varying ? autodiff::Shape{data.train, frames, 1} : autodiff::Shape{data.train, 1}));
      CHECK(s.training_latents.shape() == autodiff::Shape{data.train, frames, 3});
      CHECK(s.error_variance.shape() == autodiff::Shape{frames, 2});

      const TemporaryFolder folder;
      save_surrogate(folder / "weights", s);
      const Surrogate loaded = load_surrogate(folder / "weights");
      CHECK(content(loaded) == content(s));
      CHECK(loaded.provenance.at("levda_configuration") == text_of(network(), settings()) + data.fingerprint);
    }
}

TEST_CASE("a training that is stopped goes on from its checkpoint to the same bits") {
  const Dataset data = waves(regular(), false);
  TrainingSettings both = settings();
  both.finetune_steps = 20;
  const std::string whole = content(train_surrogate(data, network(), both));
  const TemporaryFolder folder;
  const auto train = [&](std::int64_t steps, const TrainingSettings& t) {
    const TrainingOptions options{.checkpoint = folder / "checkpoint", .stop = [&] { return --steps == 0; }};
    return content(train_surrogate(data, network(), t, options));
  };
  CHECK_THROWS_WITH_AS(train(25, both),
                       "stopped after 25 of 80 steps of the training; the same command goes on from there",
                       Interrupted);
  TrainingSettings other = both;
  other.rate *= 2;
  CHECK_THROWS_WITH_AS(train(1, other), doctest::Contains("an unfinished training of another configuration"),
                       InputError);
  CHECK_THROWS_AS(train(40, both), Interrupted);  // in the second stage: a stage's last step does not ask
  CHECK(train(1000, both) == whole);
  const TrainingOptions without{.stop = [] { return true; }};
  CHECK_THROWS_WITH_AS(train_surrogate(data, network(), both, without), "stopped after 1 of 80 steps of the training",
                       Interrupted);
}

TEST_CASE("settings that cannot be are refused by their name") {
  const Dataset data = waves(regular(), false);
  TrainingSettings many = settings();
  many.trajectories = 99;
  CHECK_THROWS_WITH_AS(train_surrogate(data, network(), many),
                       "configuration: training.trajectories: 99, but the data set has 8 training trajectories",
                       InputError);
  TrainingSettings none = settings();
  none.points = 0;
  CHECK_THROWS_WITH_AS(train_surrogate(data, network(), none), "configuration: training.points: 0 is not positive",
                       InputError);
  const auto refused = [&](const std::string& message, const std::function<void(TrainingSettings&)>& change) {
    TrainingSettings wrong = settings();
    change(wrong);
    CHECK_THROWS_WITH_AS(train_surrogate(data, network(), wrong), ("configuration: training." + message).c_str(),
                         InputError);
  };
  refused("rate: is nan", [](TrainingSettings& s) { s.rate = std::nan(""); });
  refused("clip: is 0", [](TrainingSettings& s) { s.clip = 0; });
  refused("finetune_steps: is -1", [](TrainingSettings& s) { s.finetune_steps = -1; });
  NetworkSettings backwards = network();
  backwards.latent_dt = -0.1;
  CHECK_THROWS_WITH_AS(train_surrogate(data, backwards, settings()), "configuration: surrogate.latent_dt: is -0.1",
                       InputError);
  NetworkSettings range = network();
  range.field_min = {0};
  CHECK_THROWS_WITH_AS(train_surrogate(data, range, settings()),
                       "configuration: surrogate.field_min: 1 numbers for 2 channels", InputError);
  range.field_min = {0, 1};
  range.field_max = {1, 1};
  CHECK_THROWS_WITH_AS(train_surrogate(data, range, settings()), "configuration: surrogate.field_max: 1 is not above 1",
                       InputError);
}
