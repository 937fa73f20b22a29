/// Trainings on the devices of this build, and the messages of the program where a device is missing.

#include "tests/autodiff/device.h"

#include <doctest/doctest.h>

#include <cmath>
#include <utility>

#include "nn/safetensors.h"
#include "tests/autodiff/compare.h"
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

TinyTraining with(std::initializer_list<const char*> settings) {
  TinyTraining tiny_training;
  for (const char* setting : settings) apply_setting(tiny_training.config, setting);
  tiny_training.data = generate_dataset(tiny_training.config, {});
  return tiny_training;
}

std::vector<double> weights(const models::Surrogate& s) {
  std::vector<double> all;
  for (std::size_t i = 0; i < s.net.parameters().size(); ++i)
    for (const double value : s.net.parameters()[i].to_vector()) all.push_back(value);
  return all;
}

}  // namespace

TEST_CASE("a training with streamed fields has the bits of one with fields on the device") {
  const TemporaryFolder folder;
  const TinyTraining training = with({"data.steps_per_frame=4", "data.between=5", "training.steps=60"});
  for (autodiff::Backend* device : devices()) {
    const auto train = [&](const char* name, Placement placement) {
      return training.train({.checkpoint = folder / name, .backend = device, .placement = placement});
    };
    const models::Surrogate streamed = train("streamed", Placement::streamed);
    CHECK(weights(streamed) == weights(train("resident", Placement::resident)));
    CHECK(streamed.net.parameters()[0].device() == autodiff::Device::cpu);
    CHECK(streamed.provenance.count("device") == (device == &autodiff::cpu() ? 0 : 1));
    fs::remove(folder / "streamed");
    fs::remove(folder / "resident");
  }
}

TEST_CASE("every device trains the same surrogate, with either optimiser, and with missing values") {
  const TemporaryFolder folder;
  for (const bool missing : {false, true}) {
    CAPTURE(missing);
    const auto train = [&](const char* optimiser, const char* steps, autodiff::Backend& device) {
      TinyTraining training =
          with({"data.steps_per_frame=4", "data.between=5", "data.train=4", "training.trajectories=2",
                "training.points=6", "surrogate.decoder_width=6", optimiser, steps});
      if (missing)
        for (std::size_t i = 0; i < training.data.fields.size(); i += 3) training.data.fields[i] = std::nanf("");
      models::Surrogate s = training.train({.checkpoint = folder / "none", .backend = &device});
      const double error = surrogate_error(s, training.data, 0, training.data.train);
      return std::pair(std::move(s), error);
    };
    const auto adam = [&](autodiff::Backend& device) {
      return weights(train("training.optimiser=adam", "training.steps=8", device).first);
    };
    const auto soap = [&](const char* steps, autodiff::Backend& device) {
      return train("training.optimiser=soap", steps, device).second;
    };
    const std::vector<double> reference = adam(autodiff::cpu());
    // SOAP's first step changes no weight.
    const double untrained = soap("training.steps=1", autodiff::cpu());
    const double trained = soap("training.steps=60", autodiff::cpu());
    REQUIRE(trained < untrained);
    for (autodiff::Backend* device : devices()) {
      // Sums in another order: gradients differ in their last digits, some 1e-6 of them, and a step is relative to
      // them.
      const double moved = 8 * TinyTraining().config.training.rate;
      CHECK_FALSE(!(levda::testing::largest_difference(adam(*device), reference) <= 1e-3 * moved));
      // In directions without gradient SOAP's bases depend on the last digits, and so do weights that do not matter:
      // the error that training reaches is the same, the weights are not.
      CHECK_FALSE(!(std::abs(soap("training.steps=60", *device) - trained) <= 0.05 * (untrained - trained)));
    }
  }
}

TEST_CASE("a training goes on on another device") {
  const TemporaryFolder folder;
  const TinyTraining training = with({"training.steps=9"});
  const auto path = folder / "checkpoint";
  for (autodiff::Backend* first : devices())
    for (autodiff::Backend* second : devices()) {
      std::int64_t left = 4;
      CHECK_THROWS_WITH_AS(training.train({.checkpoint = path, .stop = [&] { return --left == 0; }, .backend = first}),
                           "stopped after 4 of 9 steps of the training; the same command goes on from there",
                           Interrupted);
      CHECK(nn::read_safetensors(path).metadata.at("steps") == "4");
      CHECK_NOTHROW(training.train({.checkpoint = path, .backend = second}));
      fs::remove(path);
    }
}

TEST_CASE("a checkpoint of the published network with Adam stays below 16 MiB") {
  const TemporaryFolder folder;
  const TinyTraining training =
      with({"surrogate.decoder_depth=10", "surrogate.decoder_width=300", "surrogate.latent=10",
            "surrogate.fourier_features=16", "surrogate.dynamics_depth=4", "surrogate.dynamics_width=64",
            "training.optimiser=adam"});
  REQUIRE(training.stopped(folder / "checkpoint"));
  CHECK(fs::file_size(folder / "checkpoint") < 16U << 20);
  CHECK(fs::file_size(folder / "checkpoint") > 8U << 20);  // two moments of every weight are in it
}

TEST_CASE("the program: devices and products that are not there, one line and exit code 2") {
  const auto refused = [](const std::string& options, const std::string& message) {
    const Outcome outcome = run_levda("train tsunami --out /nonexistent/run " + options);
    CAPTURE(options);
    CHECK(outcome.code == 2);
    CHECK(outcome.output == "levda: " + message + "\n");
  };
  refused("--device gpu", "--device: gpu not in {cpu,cuda}");
  refused("--matmul float16", "--matmul: float16 not in {float32,tf32,bf16}");
  refused("--matmul tf32", "--matmul: tf32: needs a GPU, --device cuda");
  refused("--time-limit 0", "--time-limit: 0 is not a number of seconds above 0");
  refused("--time-limit nan", "--time-limit: nan is not a number of seconds above 0");
  if (const std::string why = levda::testing::why_no_gpu(); !why.empty())
    refused("--device cuda", "--device: cuda: " + why);
  CHECK(run_levda("generate tsunami --device cpu").code == 2);  // it computes nothing with a surrogate
}

TEST_CASE("the program on a GPU: trained, assimilated and reported; the weights are for every machine") {
  if (!levda::testing::why_no_gpu().empty()) return;
  const TemporaryFolder folder;
  // As little work as passes every stage: a stand-in for a GPU is slow.
  const std::string options =
      tiny +
      "--set assimilation.iterations=1 --set assimilation.starts=1 --set assimilation.annealing=[1] "
      "--set assimilation.members=3 --set observations.truths=1 --out " +
      folder.path().string();
  const Outcome run = run_levda("run --device cuda" + options);
  INFO(run.output);
  REQUIRE(run.code == 0);
  CHECK(fs::exists(folder / "report.html"));
  const nn::TensorFile file = nn::read_safetensors(folder / "weights.safetensors");
  CHECK(file.metadata.at("device") == autodiff::cuda().description());
  // The device is not part of the configuration: nothing is done again on the CPU.
  const auto written = fs::last_write_time(folder / "analysis/cold-00.nc");
  REQUIRE(run_levda("run" + options).code == 0);
  CHECK(fs::last_write_time(folder / "analysis/cold-00.nc") == written);
}

TEST_CASE("the program: a training in pieces by the clock ends with the weights of one that was left alone" *
          doctest::test_suite("long under sanitizers")) {
  const TemporaryFolder folder;
  const std::string whole = (folder / "whole").string();
  const std::string pieces = (folder / "pieces").string();
  const std::string options = tiny + "--set training.steps=3000 --data " + whole + "/data.nc ";
  REQUIRE(run_levda("generate" + tiny + "--out " + whole).code == 0);
  REQUIRE(run_levda("train" + options + "--out " + whole).code == 0);
  std::int64_t steps = 0;
  for (const char* stage : {"train", "run"}) {
    const Outcome piece = run_levda(stage + options + "--time-limit 0.05 --out " + pieces);
    INFO(piece.output);
    CHECK(piece.code == 0);
    CHECK(piece.output.find("of 3000 steps of the training; the same command goes on from there\n") !=
          std::string::npos);
    CHECK_FALSE(fs::exists(pieces + "/weights.safetensors"));
    const std::int64_t so_far =
        std::stoll(nn::read_safetensors(pieces + "/training.checkpoint.safetensors").metadata.at("steps"));
    CHECK(so_far > steps);
    steps = so_far;
  }
  REQUIRE(run_levda("train" + options + "--time-limit 1e6 --out " + pieces).code == 0);
  const nn::TensorFile a = nn::read_safetensors(whole + "/weights.safetensors");
  const nn::TensorFile b = nn::read_safetensors(pieces + "/weights.safetensors");
  REQUIRE(a.tensors.size() == b.tensors.size());
  for (const auto& [name, tensor] : a.tensors)
    CHECK_MESSAGE(levda::testing::same_bits(tensor, b.tensors.at(name)), name);
}
