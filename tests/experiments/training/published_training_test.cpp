/// Trainings as published: networks, schedule, points drawn once, the decoder's second stage.

#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "autodiff/error.h"
#include "nn/safetensors.h"
#include "tests/autodiff/compare.h"
#include "tests/experiments/training/tiny_training.h"
#include "tests/nn/temporary_folder.h"

using namespace levda;
using namespace levda::experiments;
using levda::testing::same_bits;
using levda::testing::TemporaryFolder;
using levda::testing::TinyTraining;

namespace {

TinyTraining with(const std::vector<const char*>& settings) {
  TinyTraining tiny;
  for (const char* setting : settings) apply_setting(tiny.config, setting);
  tiny.data = generate_dataset(tiny.config, {});
  return tiny;
}

/// By name.
std::map<std::string, autodiff::Tensor> weights(const models::Surrogate& s) {
  std::map<std::string, autodiff::Tensor> all;
  for (std::size_t i = 0; i < s.net.parameters().size(); ++i) all[s.net.parameters().name(i)] = s.net.parameters()[i];
  return all;
}

/// All of which differ from the default.
const std::vector<const char*> published{"surrogate.dynamics_layers=relu",
                                         "surrogate.decoder_layers=residual_relu",
                                         "surrogate.fourier_init=uniform",
                                         "surrogate.fourier_trainable=1",
                                         "surrogate.field_min=[-0.2, -0.2, -0.5]",
                                         "surrogate.field_max=[0.2, 0.2, 1.0]",
                                         "surrogate.dynamics_width=6",
                                         "surrogate.decoder_width=12",
                                         "surrogate.decoder_depth=4",
                                         "training.optimiser=adam",
                                         "training.schedule=step",
                                         "training.decay_epochs=10",
                                         "training.draw=once",
                                         "training.clip=inf",
                                         "training.points=8",
                                         "training.steps=40"};

std::vector<const char*> published_and(const std::vector<const char*>& more) {
  std::vector<const char*> all = published;
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace

TEST_CASE("the step schedule counts in epochs, the cosine in steps") {
  TrainingConfig config;
  config.rate = 1e-3;
  config.trajectories = 6;
  config.steps = 40000;
  CHECK(models::schedule_of(config, 120)(39999) <= 1e-18);
  config.schedule = models::RateSchedule::step;
  config.decay = 0.5;
  const nn::Schedule schedule = models::schedule_of(config, 120);  // 20 steps are an epoch, 4000 to a decay
  CHECK(schedule(3999) == 1e-3);
  CHECK(schedule(4000) == 0.5e-3);
  CHECK(schedule(39999) == 1e-3 * std::pow(0.5, 9));
}

TEST_CASE("new keys are left out of fingerprints at their defaults, and in them otherwise") {
  const TinyTraining plain = with({});
  const std::string text = fingerprint(plain.config, {"surrogate", "training"});
  for (const char* key :
       {"layers", "fourier_init", "fourier_trainable", "field_m", "schedule", "decay", "draw", "finetune"})
    CHECK_MESSAGE(text.find(key) == std::string::npos, key);
  const std::string other = fingerprint(with(published).config, {"surrogate", "training"});
  CHECK(other.find("surrogate.field_min = [-0.2, -0.2, -0.5]\n") != std::string::npos);
  CHECK(other.find("training.schedule = step\n") != std::string::npos);
}

TEST_CASE("a published training: files, units of the errors, and the same bits after an interruption") {
  const TemporaryFolder folder;
  const TinyTraining tiny = with(published);
  const models::Surrogate s = tiny.train(folder / "a");
  CHECK(s.net.architecture().dynamics_layers == nn::Hidden::relu);
  CHECK(s.scale(2) == 0.75);
  CHECK(s.offset(2) == 0.25);
  const Moments moments = field_moments(tiny.data);
  CHECK(s.field_std == moments.deviation);  // the data's, whatever the network has
  REQUIRE(tiny.stopped(folder / "b", 7));
  const models::Surrogate resumed = tiny.train(folder / "b");
  for (const auto& [name, value] : weights(resumed)) CHECK_MESSAGE(same_bits(value, weights(s).at(name)), name);
  models::save_surrogate(folder / "w", s);
  const models::Surrogate loaded = models::load_surrogate(folder / "w");
  CHECK(surrogate_error(loaded, tiny.data, 0, 2) == surrogate_error(s, tiny.data, 0, 2));
}

TEST_CASE("fine-tuning: dynamics and latents stay, the loss falls, and it goes on after an interruption") {
  const TemporaryFolder folder;
  const TinyTraining first = with(published);
  const TinyTraining both = with(published_and({"training.finetune_steps=200", "training.finetune_rate=3e-3"}));
  const models::Surrogate before = first.train(folder / "first");
  const models::Surrogate after = both.train(folder / "both");
  for (const auto& [name, value] : weights(after)) {
    CAPTURE(name);
    CHECK(same_bits(value, weights(before).at(name)) == name.starts_with("dynamics."));
  }
  CHECK(same_bits(after.training_latents, before.training_latents));
  CHECK(surrogate_error(after, both.data, 0, 2) < surrogate_error(before, both.data, 0, 2));
  CHECK(after.net.parameters().count() == before.net.parameters().count());
  for (const std::int64_t steps : {20, 40, 41, 170}) {
    CAPTURE(steps);
    const auto path = folder / std::to_string(steps);
    REQUIRE(both.stopped(path, steps));
    const nn::TensorFile file = nn::read_safetensors(path);
    CHECK(file.metadata.count("stage") == (steps < 40 ? 0 : 1));  // the last step of a stage is not asked
    const models::Surrogate resumed = both.train(path);
    for (const auto& [name, value] : weights(resumed)) CHECK_MESSAGE(same_bits(value, weights(after).at(name)), name);
  }
  REQUIRE(both.stopped(folder / "bad", 100));
  nn::TensorFile file = nn::read_safetensors(folder / "bad");
  file.metadata["stage"] = "2";
  nn::write_safetensors(folder / "bad", file);
  CHECK_THROWS_WITH_AS(both.train(folder / "bad"),
                       ((folder / "bad").string() + ": stage: 2, where the last one is 1").c_str(), InputError);
  file.metadata["stage"] = "-1";
  nn::write_safetensors(folder / "bad", file);
  CHECK_THROWS_AS(both.train(folder / "bad"), InputError);
}

TEST_CASE("configurations that cannot be are refused") {
  TinyTraining tiny;
  const auto refused = [&](const std::vector<const char*>& settings, const char* message) {
    Config config = tiny.config;
    const auto apply = [&] {
      for (const char* setting : settings) apply_setting(config, setting);
      check(config);
    };
    CHECK_THROWS_WITH_AS(apply(), doctest::Contains(message), InputError);
  };
  refused({"surrogate.decoder_layers=gelu"}, "surrogate.decoder_layers: \"gelu\" is none of residual_silu");
  refused({"surrogate.fourier_init=zero"}, "surrogate.fourier_init");
  refused({"training.schedule=linear"}, "training.schedule");
  refused({"training.draw=twice"}, "training.draw");
  refused({"surrogate.field_min=[1]"}, "surrogate.field_max: needs as many numbers");
  refused({"surrogate.field_min=[1]", "surrogate.field_max=[1]"}, "surrogate.field_max: 1 is not above 1");
  refused({"surrogate.field_min=[-inf]", "surrogate.field_max=[1]"}, "surrogate.field_max: 1 is not above -inf");
  apply_setting(tiny.config, "surrogate.field_min=[]");  // back to z-scores
  CHECK_THROWS_AS(apply_setting(tiny.config, "assimilation.annealing=[]"), InputError);
  const TemporaryFolder folder;
  tiny.config.surrogate.field_min = {0};
  tiny.config.surrogate.field_max = {1};
  CHECK_THROWS_WITH_AS(tiny.train(folder / "a"), "configuration: surrogate.field_min: 1 numbers for 3 channels",
                       InputError);
  models::Description torus = tiny.data.about;
  torus.grid.geometry = models::Geometry::torus;
  Config config = tiny.config;
  config.surrogate.fourier_trainable = true;
  CHECK_THROWS_WITH_AS(models::architecture_of(config.surrogate, torus),
                       doctest::Contains("surrogate.fourier_trainable"), InputError);
  config.surrogate.embedding = models::Embedding::plane;
  CHECK_NOTHROW(models::architecture_of(config.surrogate, torus));
}
