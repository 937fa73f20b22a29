/// LD-EnSF's observation encoder: its training, and levda encode.

#include "experiments/training/encoder_training.h"

#include <doctest/doctest.h>
#include <oneapi/tbb/global_control.h>

#include <algorithm>
#include <cmath>

#include "experiments/twin/twin.h"
#include "nn/safetensors.h"
#include "tests/autodiff/compare.h"
#include "tests/autodiff/device.h"
#include "tests/experiments/program.h"
#include "tests/experiments/training/tiny_training.h"
#include "tests/nn/temporary_folder.h"

namespace fs = std::filesystem;
using namespace levda;
using namespace levda::experiments;
using levda::testing::devices;
using levda::testing::Outcome;
using levda::testing::run_levda;
using levda::testing::TemporaryFolder;
using levda::testing::tiny;
using levda::testing::TinyTraining;

namespace {

/// A data set with its surrogate, and an encoder that trains in no time.
struct Tiny {
  TinyTraining base;
  models::Surrogate surrogate;

  explicit Tiny(std::initializer_list<const char*> settings = {}) : surrogate(trained(base)) {
    for (const char* setting : {"observations.sensors=grid:2x2", "encoder.hidden=6", "encoder.steps=20",
                                "assimilation.frames=2", "assimilation.start_min=1", "assimilation.start_max=3"})
      apply_setting(base.config, setting);
    for (const char* setting : settings) apply_setting(base.config, setting);
  }
  models::TrainedEncoder train(const TrainingOptions& options, const std::string& experiment = "cold") const {
    return train_encoder(base.config, base.data, surrogate, experiment, options);
  }

 private:
  static models::Surrogate trained(TinyTraining& base) {
    for (const char* setting : {"data.frames=5", "data.train=9", "data.steps_per_frame=4", "surrogate.latent=2"})
      apply_setting(base.config, setting);
    base.data = generate_dataset(base.config, {});
    const TemporaryFolder folder;
    return base.train(folder / "none");
  }
};

std::vector<double> weights(const models::TrainedEncoder& encoder) {
  std::vector<double> all;
  for (std::size_t i = 0; i < encoder.net.parameters().size(); ++i)
    for (const double value : encoder.net.parameters()[i].to_vector()) all.push_back(value);
  return all;
}

models::TrainedEncoder with_threads(int threads, const Tiny& problem, const std::string& experiment) {
  const TemporaryFolder folder;
  const oneapi::tbb::global_control limit(oneapi::tbb::global_control::max_allowed_parallelism,
                                          static_cast<std::size_t>(threads));
  return problem.train({.checkpoint = folder / "none"}, experiment);
}

const std::string small = tiny + "--set encoder.hidden=8 --set encoder.noise=0.1 ";

}  // namespace

TEST_CASE("encoder: it learns, noise or not, and says how well") {
  const TemporaryFolder folder;
  for (const char* noise : {"encoder.noise=0", "encoder.noise=0.1"}) {
    const Tiny first({noise, "encoder.steps=1"});
    const Tiny last({noise, "encoder.hidden=24", "encoder.steps=300", "encoder.rate=0.02"});
    const auto error = [](const Tiny& problem, const models::TrainedEncoder& encoder) {
      return encoder_errors(encoder, problem.surrogate, problem.base.data, 0, problem.base.data.train, 0, 1);
    };
    const EncoderErrors before = error(first, first.train({.checkpoint = folder / "none"}));
    const models::TrainedEncoder encoder = last.train({.checkpoint = folder / "none"});
    const EncoderErrors after = error(last, encoder);
    // Where nothing is known the error is 1 / sqrt(12) of the range, and as large as the deviation of the latents.
    CHECK(after.parameter <= 0.7 * before.parameter);
    CHECK(after.latent <= 0.7 * before.latent);
    for (const char* name : {"validation", "test"})
      for (const char* what :
           {"latent_error", "parameter_error", "latent_error_with_noise", "parameter_error_with_noise"})
        CHECK(std::stod(encoder.provenance.at(std::string(name) + "_" + what)) > 0);
    const EncoderErrors test = encoder_errors(encoder, last.surrogate, last.base.data, last.base.data.first_test(),
                                              last.base.data.members(), 0.1, 1);
    // As printed, six digits.
    CHECK(std::abs(test.latent - std::stod(encoder.provenance.at("test_latent_error_with_noise"))) <= 1e-6);
    CHECK(std::abs(test.parameter - std::stod(encoder.provenance.at("test_parameter_error_with_noise"))) <= 1e-6);
  }
}

TEST_CASE("encoder: its targets are the surrogate's latent states and parameters in [-1, 1], its inputs z-scores") {
  const Tiny problem({"encoder.steps=1"});
  const TemporaryFolder folder;
  models::TrainedEncoder encoder = problem.train({.checkpoint = folder / "none"});
  const Dataset& data = problem.base.data;
  CHECK(encoder.net.architecture() ==
        models::EncoderArchitecture{.observed = 12, .hidden = 6, .latent = 2, .parameters = 2});
  // An encoder that always says [0; 0]: errors are those of the targets themselves.
  for (std::size_t i = 0; i < encoder.net.parameters().size(); ++i)
    encoder.net.parameters()[i] = autodiff::Tensor::zeros(encoder.net.parameters()[i].shape());
  const EncoderErrors errors = encoder_errors(encoder, problem.surrogate, data, 0, data.train, 0, 1);
  double squares = 0;
  const std::vector<double> u =
      problem.surrogate.normal_parameters(std::span(data.parameters).first(static_cast<std::size_t>(2 * data.train)));
  for (const double value : u) squares += value * value;
  // float32 parameters.
  CHECK(std::abs(errors.parameter - std::sqrt(squares / static_cast<double>(u.size())) / 2) <= 1e-6);
  CHECK(errors.latent == 1);
  const std::vector<std::int64_t>& cells = encoder.cells;
  CHECK(cells == std::vector<std::int64_t>{0, 2, 8, 10});
  const Moments moments = field_moments(data);
  CHECK(encoder.field_mean == moments.mean);
  CHECK(encoder.field_std == moments.deviation);
  // Observations of a twin experiment are in the order of its inputs.
  Config config = problem.base.config;
  for (const char* setting : {"observations.sigma=1e-12", "assimilation.frames=3", "assimilation.start_max=0"})
    apply_setting(config, setting);
  const std::int64_t member = data.first_test();
  const std::vector<double> seen =
      observe_truth(config, data, moments, {.index = 0, .member = member, .start = -1}, "cold").observations.value;
  REQUIRE(seen.size() == 3 * 12);
  for (std::int64_t frame = 0; frame < 3; ++frame)
    for (std::int64_t k = 0; k < 12; ++k)
      // Ten standard deviations.
      CHECK(std::abs(seen[frame * 12 + k] - data.frame(member, frame)[k % 3 * 16 + cells[k / 3]]) <=
            1e-11 * moments.deviation[k % 3]);
}

TEST_CASE("encoder: of warm, sequences are what a twin experiment observes, from all starts in turn") {
  const Tiny problem({"encoder.steps=1", "observations.every=2", "assimilation.frames=3", "assimilation.start_max=2",
                      "observations.sigma=1e-12"});
  const TemporaryFolder folder;
  const Dataset& data = problem.base.data;
  const Config& config = problem.base.config;
  models::TrainedEncoder encoder = problem.train({.checkpoint = folder / "none"}, "warm");
  const models::SequenceFrames warm{.experiment = "warm", .first_start = 1, .last_start = 2, .frames = 3, .every = 2};
  CHECK(encoder.sequences == warm);
  CHECK(sequence_frames(config, data.about, "warm") == warm);
  CHECK(sequence_frames(config, data.about, "cold") ==
        models::SequenceFrames{.experiment = "cold", .frames = 5, .every = 2});
  // The program's own observations, put in one time after the other: what the encoder is said to make of them.
  const models::Surrogate& s = problem.surrogate;
  const std::int64_t first = data.first_test();
  const autodiff::Vars w = encoder.net.parameters().constants();
  double error = 0;
  double square = 0;
  double parameter = 0;
  for (std::int64_t member = first; member < data.members(); ++member) {
    const std::int64_t start = 1 + member % 2;
    const da::Observations o =
        observe_truth(config, data, field_moments(data), {.index = 0, .member = member, .start = start}, "warm")
            .observations;
    REQUIRE(o.size() == 2 * 12);
    const std::vector<double> u = s.normal_parameters(data.parameters_of(member));
    const std::vector<float> latents = models::latent_trajectories(s.net, u, 1, data.about.frames).to_floats();
    models::ObservationEncoder::State state;
    for (std::int64_t time = 0; time < 2; ++time) {
      const std::vector<double> seen = encoder.normal_observations(std::span(o.value).subspan(time * 12, 12));
      const autodiff::Tensor input =
          autodiff::Tensor::from(std::span<const double>(seen), {1, 12}, autodiff::DType::float32);
      const std::vector<float> found = encoder.net.step(w, autodiff::Var(input), state).value().to_floats();
      for (std::int64_t k = 0; k < 2; ++k) {
        const double truth = latents[(start + 2 * time) * 2 + k];
        error += std::pow(found[k] - truth, 2);
        square += truth * truth;
        parameter += std::pow(found[2 + k] - u[k], 2);
      }
    }
  }
  const EncoderErrors errors = encoder_errors(encoder, s, data, first, data.members(), 0, 1);
  // float32 through and through.
  CHECK(std::abs(errors.latent - std::sqrt(error / square)) <= 1e-5 * errors.latent);
  CHECK(std::abs(errors.parameter - std::sqrt(parameter / static_cast<double>(4 * data.test)) / 2) <= 1e-5);

  CHECK_THROWS_WITH_AS(Tiny({"assimilation.start_max=4"}).train({.checkpoint = folder / "none"}, "warm"),
                       "data set: frames: 5, but assimilation.start_max = 4 and assimilation.frames = 2 need 6",
                       InputError);
}

TEST_CASE("encoder: one that was trained for unknown starts knows more of them than one for frame 0") {
  const TemporaryFolder folder;
  const Tiny problem({"encoder.hidden=24", "encoder.steps=300", "encoder.rate=0.02"});
  models::TrainedEncoder cold = problem.train({.checkpoint = folder / "none"}, "cold");
  const models::TrainedEncoder warm = problem.train({.checkpoint = folder / "none"}, "warm");
  cold.sequences = warm.sequences;
  const auto error = [&](const models::TrainedEncoder& encoder) {
    return encoder_errors(encoder, problem.surrogate, problem.base.data, 0, problem.base.data.train, 0, 1);
  };
  CHECK(error(warm).latent <= error(cold).latent);
  CHECK(error(warm).parameter <= error(cold).parameter);
}

TEST_CASE("encoder: the same bits on any number of threads") {
  std::vector<std::vector<double>> all;
  for (const char* noise : {"encoder.noise=0", "encoder.noise=0.3"})
    for (const char* experiment : {"cold", "warm"}) {
      const Tiny problem({noise});
      const std::vector<double> one = weights(with_threads(1, problem, experiment));
      CHECK(weights(with_threads(2, problem, experiment)) == one);
      CHECK(levda::testing::largest(one) > 0);
      CHECK(std::find(all.begin(), all.end(), one) == all.end());
      all.push_back(one);
    }
}

TEST_CASE("encoder: every device trains the same one") {
  const TemporaryFolder folder;
  const Tiny problem({"encoder.noise=0.1"});
  const std::vector<double> reference = weights(problem.train({.checkpoint = folder / "none"}, "warm"));
  for (autodiff::Backend* device : devices()) {
    const models::TrainedEncoder encoder = problem.train({.checkpoint = folder / "none", .backend = device}, "warm");
    CHECK(encoder.net.parameters()[0].device() == autodiff::Device::cpu);
    CHECK(encoder.provenance.count("device") == (device == &autodiff::cpu() ? 0 : 1));
    // Sums in another order: gradients differ in their last digits, some 1e-6 of them, and a step is relative to them.
    CHECK(levda::testing::largest_difference(weights(encoder), reference) <= 1e-3 * 20 * 3e-3);
  }
}

TEST_CASE(
    "encoder: a training that was stopped goes on to the same weights, with fresh noise and starts at each step") {
  const TemporaryFolder folder;
  const Tiny problem({"encoder.noise=0.2"});
  const std::vector<double> whole = weights(problem.train({.checkpoint = folder / "none"}, "warm"));
  for (const std::int64_t each : {1, 7}) {
    std::int64_t parts = 0;
    std::optional<models::TrainedEncoder> encoder;
    while (!encoder) {
      std::int64_t left = each;
      try {
        encoder = problem.train({.checkpoint = folder / "checkpoint", .stop = [&] { return --left == 0; }}, "warm");
      } catch (const Interrupted&) {
        ++parts;
      }
    }
    CHECK(parts == 19 / each);  // the last step ends the training
    CHECK(weights(*encoder) == whole);
    fs::remove(folder / "checkpoint");
  }
  std::int64_t left = 3;
  CHECK_THROWS_WITH_AS(
      problem.train({.checkpoint = folder / "checkpoint", .stop = [&] { return --left == 0; }}),
      "stopped after 3 of 20 steps of the cold encoder's training; the same command goes on from there", Interrupted);
  CHECK_THROWS_AS(Tiny({"encoder.noise=0.1"}).train({.checkpoint = folder / "checkpoint"}), InputError);
  CHECK_THROWS_AS(problem.train({.checkpoint = folder / "checkpoint"}, "warm"), InputError);
}

TEST_CASE("encoder: what it cannot be trained on is refused") {
  const TemporaryFolder folder;
  const auto refused = [&](const Tiny& problem, const std::string& message) {
    CHECK_THROWS_WITH_AS(problem.train({.checkpoint = folder / "none"}), message.c_str(), InputError);
  };
  refused(Tiny({"observations.sensors=scattered:9"}),
          "configuration: observations.sensors: the encoder needs sensors that stay in place, grid:NXxNY or random:N");
  refused(Tiny({"observations.sensors=grid:9x1"}), "configuration: observations.sensors: 9 x 1 sensors on 4 x 4 cells");
  Tiny gap;
  gap.base.data.fields[8] = std::nanf("");  // sensor (0, 2) of member 0, frame 0, channel 0
  refused(
      gap,
      "data set: field: member 0, frame 0, channel u: missing at a sensor, and the encoder needs all values; choose "
      "other observations.sensors");
  gap.base.data.fields[8] = 0;
  gap.base.data.fields[9] = std::nanf("");  // where no sensor is
  CHECK_NOTHROW(gap.train({.checkpoint = folder / "none"}));
  Tiny other;
  other.base.data.parameters[0] *= 1.001;
  refused(
      other,
      "weights: prior.parameters: are not those of the data set's training trajectories: the surrogate was trained on "
      "other data");
}

TEST_CASE("levda encode: trained, explained, refused where it does not fit") {
  const TemporaryFolder folder;
  const std::string out = (folder.path() / "run").string();
  const std::string options = small + "--out " + out;
  const auto refused = [&](const std::string& arguments, const std::string& part) {
    const Outcome outcome = run_levda(arguments);
    INFO(outcome.output);
    CHECK(outcome.code == 2);
    CHECK(outcome.output.find(part) != std::string::npos);
    CHECK(std::count(outcome.output.begin(), outcome.output.end(), '\n') == 1);
  };
  REQUIRE(run_levda("generate" + tiny + "--out " + out).code == 0);
  refused("encode" + options, "weights.safetensors: no such file");
  REQUIRE(run_levda("train" + tiny + "--out " + out).code == 0);
  // In two pieces by the clock, then in one.
  const std::string train = "encode" + options + " --set encoder.steps=30 ";
  Outcome outcome = run_levda(train + "--time-limit 1e-9");
  CHECK(outcome.code == 0);
  CHECK(outcome.output.find("stopped after 1 of 30 steps of the cold encoder's training") != std::string::npos);
  CHECK(fs::exists(out + "/encoder-cold.checkpoint.safetensors"));
  CHECK_FALSE(fs::exists(out + "/encoder-cold.safetensors"));
  refused(train + "--set encoder.seed=2", "an unfinished training of another configuration");
  outcome = run_levda(train + "--threads 2");
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  for (const std::string experiment : {"cold", "warm"}) {
    CHECK(outcome.output.find("encode: " + experiment + ", test: latents ") != std::string::npos);
    CHECK_FALSE(fs::exists(out + "/encoder-" + experiment + ".checkpoint.safetensors"));
  }
  const std::string cold = out + "/encoder-cold.safetensors";
  const nn::TensorFile pieces = nn::read_safetensors(cold);
  fs::remove(cold);
  outcome = run_levda(train + "--threads 1");
  REQUIRE(outcome.code == 0);
  CHECK(outcome.output.find("encode: warm") == std::string::npos);  // is there
  for (const auto& [name, tensor] : nn::read_safetensors(cold).tensors)
    CHECK_MESSAGE(levda::testing::same_bits(tensor, pieces.tensors.at(name)), name);

  CHECK(run_levda("info " + out + "/encoder-warm.safetensors").output.find("warm: 6 frames from one on in 1 .. 4") !=
        std::string::npos);
  const Outcome info = run_levda("info " + cold);
  CHECK(info.code == 0);
  for (const char* part :
       {"observation encoder of LD-EnSF", "cold: 12 frames from one on in 0 .. 0",
        "16, each with u, v, eta at every frame", "8 hidden units", "3 latent variables and 2 parameters",
        "test_latent_error", "levda encode tsunami", "encoder.noise = 0.1", "observations.sensors = grid:4x4"})
    CHECK_MESSAGE(info.output.find(part) != std::string::npos, part);

  // It belongs to these weights.
  const models::Surrogate own = models::load_surrogate(out + "/weights.safetensors");
  CHECK_NOTHROW(read_encoder(cold, own));
  CHECK_NOTHROW(read_encoder(out + "/encoder-warm.safetensors", own));
  models::Surrogate other = own;
  other.field_mean[0] += 1;
  CHECK_THROWS_AS(read_encoder(cold, other), InputError);
  refused("encode" + options + " --set observations.sensors=scattered:9", "sensors that stay in place");
  refused("encode" + options + " --set encoder.hidden=0", "--set: encoder.hidden: 0 is not in 1");
  refused("encode" + options + " --weights " + cold, "format: not a surrogate of levda");
}
