#include "models/encoder.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <limits>

#include "autodiff/check.h"
#include "autodiff/error.h"
#include "nn/atomic_file.h"
#include "nn/safetensors.h"
#include "tests/autodiff/compare.h"
#include "tests/nn/temporary_folder.h"

using namespace levda::autodiff;
using namespace levda::models;
using levda::Error;
using levda::InputError;
using levda::nn::read_safetensors;
using levda::nn::read_text_file;
using levda::nn::TensorFile;
using levda::nn::write_safetensors;
using levda::testing::largest;
using levda::testing::largest_difference;
using levda::testing::normal_tensor;
using levda::testing::same_bits;
using levda::testing::TemporaryFolder;

namespace {

constexpr std::int64_t times = 4;
constexpr std::int64_t rows = 3;
constexpr EncoderArchitecture tiny{.observed = 12, .hidden = 5, .latent = 3, .parameters = 2};

ObservationEncoder network() {
  ObservationEncoder net(tiny, 7);
  net.set_targets({1, -2, 3, 0.5, 0}, {2, 0.1, 30, 0.6, 1});
  return net;
}

TrainedEncoder example() {
  return {.net = network(),
          .sequences = {.experiment = "warm", .first_start = 1, .last_start = 2, .frames = 2, .every = 2},
          .cells = {0, 3, 7, 10, 34, 24},
          .channel_names = {"u", "v"},
          .field_mean = {1.0 / 3, -2},
          .field_std = {0.1, 4},
          .surrogate = "0123456789abcdef",
          .provenance = {{"command", "levda encode, \"quoted\""}, {"seed", "17"}}};
}

Surrogate surrogate() {
  const Description about{.case_name = "tiny",
                          .parameter_names = {"a", "b"},
                          .parameter_units = {"m", "m"},
                          .parameter_min = {0, 0},
                          .parameter_max = {1, 1},
                          .channel_names = {"u", "v"},
                          .channel_units = {"m/s", "m/s"},
                          .grid = {.nx = 7, .ny = 5, .offset_x = {0, 0}, .offset_y = {0, 0}, .x = {}, .y = {}},
                          .frames = 4,
                          .frame_interval = 1};
  const LdnetArchitecture architecture{.latent = 3,
                                       .parameters = 2,
                                       .channels = 2,
                                       .fourier_features = 1,
                                       .dynamics_depth = 1,
                                       .dynamics_width = 2,
                                       .decoder_depth = 1,
                                       .decoder_width = 2};
  return {.about = about,
          .net = Ldnet(architecture, 1),
          .field_mean = {},
          .field_std = {},
          .training_parameters = {},
          .training_latents = {},
          .error_variance = {},
          .between_variance = {},
          .provenance = {}};
}

}  // namespace

TEST_CASE("encoder: a sequence is its steps, to the bit, also when it is left and taken up again") {
  const ObservationEncoder net = network();
  CHECK(net.parameters().count() == 12 * 20 + 5 * 20 + 20 + 5 * 5 + 5);
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Vars w = net.parameters().constants(dtype);
    const Tensor observed = normal_tensor({times, rows, 12}, 1, dtype);
    const Tensor whole = net.encode(w, Var(observed)).value();
    REQUIRE(whole.shape() == Shape{times, rows, 5});
    ObservationEncoder::State state;
    for (std::int64_t t = 0; t < times; ++t) {
      const Var step = net.step(w, Var(observed.rows(t, t + 1).reshaped({rows, 12})), state);
      CHECK(same_bits(step.value(), whole.rows(t, t + 1).reshaped({rows, 5})));
      CHECK(state.h.shape() == Shape{rows, 5});
    }
    // What comes later does not matter, what came before does.
    CHECK(same_bits(net.encode(w, Var(observed.rows(0, 2))).value(), whole.rows(0, 2)));
    CHECK(largest_difference(net.encode(w, Var(observed.rows(1, 2))).value(), whole.rows(1, 2)) > 1e-3);
  }
  CHECK_THROWS_WITH_AS(net.encode(net.parameters().constants(), Var(Tensor::zeros({4, 3, 11}))),
                       "observations (4, 3, 11), where (times, rows, 12) is needed", Error);
  CHECK_THROWS_AS(net.encode(net.parameters().constants(), Var(Tensor::zeros({4, 12}))), Error);
}

TEST_CASE("encoder: outputs have the targets' mean and deviation; errors are in their units") {
  const ObservationEncoder net = network();
  const ObservationEncoder plain(tiny, 7);  // the same weights, mean 0 and deviation 1
  const Var observed(normal_tensor({times, rows, 12}, 2));
  const Vars w = net.parameters().constants(DType::float64);
  const std::vector<double> found = net.encode(w, observed).value().to_vector();
  const Tensor normal = plain.encode(plain.parameters().constants(DType::float64), observed).value();
  std::vector<double> expected = normal.to_vector();
  const double mean[] = {1, -2, 3, 0.5, 0};
  const float deviation[] = {2, 0.1F, 30, 0.6F, 1};
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = mean[i % 5] + deviation[i % 5] * expected[i];
  // One product and one sum of numbers below 100.
  CHECK(largest_difference(found, expected) <= 2 * 100 * 0x1p-53);
  CHECK(largest(normal.to_vector()) > 0.1);

  const Var target(normal_tensor({times, rows, 5}, 3));
  double sum = 0;
  for (std::size_t i = 0; i < found.size(); ++i)
    sum += std::pow((found[i] - target.value().to_vector()[i]) / deviation[i % 5], 2);
  // 60 terms.
  CHECK(std::abs(net.squared_error(w, observed, target).value().item() - sum) <= 64 * 4 * 0x1p-53 * sum);
}

TEST_CASE("encoder: derivatives by weights and observations") {
  const ObservationEncoder net = network();
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < net.parameters().size(); ++i) inputs.push_back(net.parameters()[i].to(DType::float64));
  inputs.push_back(normal_tensor({times, rows, 12}, 4));
  const Var target(normal_tensor({times, rows, 5}, 5));
  const auto check = [&](const Function& f) {
    const DerivativeCheck result = check_derivatives(f, inputs);
    INFO(result.text());
    // Sums of some hundred terms; differences lose half of the digits, and more by the extrapolation.
    CHECK(result.adjoint_error() <= 1e-13);
    CHECK(result.finite_difference_error() <= 1e-8);
    CHECK(result.scale > 0);
  };
  check([&](const Vars& x) { return net.encode(Inputs(x).first(x.size() - 1), x.back()); });
  check([&](const Vars& x) { return net.squared_error(Inputs(x).first(x.size() - 1), x.back(), target); });
}

TEST_CASE("encoder: observations in the order of its sensors, times of a sequence") {
  CHECK(SequenceFrames{.experiment = {}, .first_start = 3, .last_start = 5, .frames = 7, .every = 2}.times() == 4);
  CHECK(SequenceFrames{.experiment = {}, .first_start = 3, .last_start = 5, .frames = 7, .every = 2}.starts() == 3);
  CHECK(SequenceFrames{.experiment = {}, .frames = 6, .every = 3}.times() == 2);
  const TrainedEncoder encoder = example();
  CHECK(encoder.normal_observations(std::vector<double>{1.0 / 3 + 0.1, 2, 1.0 / 3, -2}).at(1) == 1);
  // Roundings of numbers below one, over 0.1.
  CHECK(largest_difference(encoder.normal_observations(std::vector<double>{1.0 / 3 + 0.1, 2, 1.0 / 3, -2}),
                           std::vector<double>{1, 1, 0, 0}) <= 4e-15);
}

TEST_CASE("encoder: what was saved is loaded, bit for bit") {
  const TemporaryFolder folder;
  const TrainedEncoder a = example();
  save_encoder(folder / "a", a);
  const TrainedEncoder b = load_encoder(folder / "a");
  CHECK(b.net.architecture() == a.net.architecture());
  CHECK(b.sequences == a.sequences);
  CHECK(b.cells == a.cells);
  CHECK(b.channel_names == a.channel_names);
  CHECK(b.field_mean == a.field_mean);
  CHECK(b.field_std == a.field_std);
  CHECK(b.surrogate == a.surrogate);
  for (const auto& [key, value] : a.provenance) CHECK(b.provenance.at(key) == value);
  const Var observed(normal_tensor({times, rows, 12}, 6, DType::float32));
  CHECK(same_bits(b.net.encode(b.net.parameters().constants(), observed).value(),
                  a.net.encode(a.net.parameters().constants(), observed).value()));
  for (std::size_t i = 0; i < a.net.parameters().size(); ++i)
    CHECK(b.net.parameters().trainable(i) == a.net.parameters().trainable(i));
  save_encoder(folder / "again", b);
  CHECK(read_text_file(folder / "again") == read_text_file(folder / "a"));

  TrainedEncoder comma = example();
  comma.channel_names[0] = "u,v";
  CHECK_THROWS_WITH_AS(save_encoder(folder / "c", comma),
                       ((folder / "c").string() + ": channel_names: \"u,v\" holds a comma").c_str(), InputError);
}

TEST_CASE("encoder: bad files are refused with the file and the field") {
  const TemporaryFolder folder;
  const std::string path = (folder / "bad").string();
  save_encoder(folder / "good", example());
  const TensorFile intact = read_safetensors(folder / "good");
  const auto refused = [&](const std::string& message, auto change) {
    TensorFile file = intact;
    change(file);
    write_safetensors(path, file);
    CHECK_THROWS_WITH_AS(load_encoder(path), (path + ": " + message).c_str(), InputError);
  };
  const auto text = [](const std::string& key, const std::string& value) {
    return [=](TensorFile& f) { f.metadata[key] = value; };
  };
  CHECK_THROWS_WITH_AS(load_encoder(path), (path + ": no such file").c_str(), InputError);
  const std::string foreign = "format: not an encoder of levda (\"levda-encoder-2\" expected)";
  refused(foreign, text("format", "levda-surrogate-2"));
  refused(foreign, [](TensorFile& f) { f.metadata.clear(); });
  for (const char* key : {"experiment", "first_start", "last_start", "frames", "every", "channel_names", "hidden",
                          "latent", "parameters", "surrogate"})
    refused(std::string(key) + ": missing from the metadata", [&](TensorFile& f) { f.metadata.erase(key); });
  for (const auto& [name, tensor] : intact.tensors) {
    const std::string& key = name;
    const Tensor& value = tensor;
    CAPTURE(key);
    refused(key + ": no such tensor", [&](TensorFile& f) { f.tensors.erase(key); });
    if (value.dtype() == DType::int64) continue;
    refused(fmt::format("{}: {} {}, where {} {} is needed", key, levda::autodiff::name(value.dtype()),
                        value.shape().prepend({1}).text(), levda::autodiff::name(value.dtype()), value.shape().text()),
            [&](TensorFile& f) { f.tensors[key] = value.reshaped(value.shape().prepend({1})); });
    refused(key + ": holds a value that is not finite", [&](TensorFile& f) {
      std::vector<double> values = value.to_vector();
      values.back() = std::numeric_limits<double>::infinity();
      f.tensors[key] = Tensor::from(std::span<const double>(values), value.shape(), value.dtype());
    });
  }
  refused("last_start: 0 is not in 1 .. 1000000", text("last_start", "0"));  // after first_start
  refused("every: 0 is not in 1 .. 1000000", text("every", "0"));
  const auto whole = [](const std::vector<std::int64_t>& values) { return Tensor::indices(values); };
  const auto cells = [](const Tensor& other) { return [=](TensorFile& f) { f.tensors["sensors.cells"] = other; }; };
  refused("sensors.cells: not a list of whole numbers", cells(Tensor::zeros({6})));
  refused("sensors.cells: not a list of whole numbers", cells(whole({1, 2}).reshaped({2, 1})));
  refused("sensors.cells: not a list of whole numbers", cells(whole({})));
  refused("sensors.cells: holds a negative one", cells(whole({1, -2})));
  refused("hidden: \"5.5\" is not a number", text("hidden", "5.5"));
  refused("parameters: -2 is not in 1 .. 4096", text("parameters", "-2"));
  refused("lstm.input_weight: float32 (12, 20), where float32 (12, 32768) is needed",
          text("hidden", "8192"));  // nothing of that size is made
  refused("lstm.input_weight: float32 (12, 20), where float32 (4, 20) is needed", cells(whole({1, 2})));
  refused("target.deviation: not positive", [](TensorFile& f) { f.tensors["target.deviation"] = Tensor::zeros({5}); });
  refused("normalisation.field_std: not positive",
          [](TensorFile& f) { f.tensors["normalisation.field_std"] = Tensor::full({2}, -1, DType::float64); });
}

TEST_CASE("encoder: one of another surrogate is refused") {
  const Surrogate s = surrogate();
  const TrainedEncoder encoder = example();
  CHECK_NOTHROW(check_fits(encoder, "file", s, encoder.surrogate));
  const auto refused = [&](const char* message, auto change) {
    TrainedEncoder other = example();
    change(other);
    CHECK_THROWS_WITH_AS(check_fits(other, "file", s, encoder.surrogate), message, InputError);
  };
  refused("file: surrogate: made for another surrogate; run levda encode again",
          [](TrainedEncoder& e) { e.surrogate = "x"; });
  refused("file: channel_names: differs from the surrogate's", [](TrainedEncoder& e) { e.channel_names[1] = "w"; });
  refused("file: sensors.cells: not on the surrogate's grid", [](TrainedEncoder& e) { e.cells[1] = 35; });
  refused("file: frames: differs from the surrogate's", [](TrainedEncoder& e) { e.sequences.last_start = 3; });
  const auto with = [](std::int64_t latent, std::int64_t parameters) {
    return [=](TrainedEncoder& e) {
      e.net = ObservationEncoder({.observed = 12, .hidden = 5, .latent = latent, .parameters = parameters}, 1);
    };
  };
  refused("file: latent: differs from the surrogate's", with(4, 2));
  refused("file: parameters: differs from the surrogate's", with(3, 1));
}
