#include "nn/training.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "autodiff/error.h"
#include "nn/layers.h"
#include "nn/safetensors.h"
#include "tests/autodiff/compare.h"
#include "tests/nn/temporary_folder.h"

using namespace levda::autodiff;
using namespace levda::nn;
using levda::testing::same_bits;
using levda::testing::TemporaryFolder;

namespace {

/// Fits y = cos(3 x) on [-1, 1] from 64 random points per step.
struct Regression {
  Parameters parameters;
  ResidualMlp net;
  Regression() {
    Random random(1);
    net = ResidualMlp::make(parameters, "net", 1, 16, 2, 1, random);
  }
  ValueAndGrad loss(std::int64_t step) const {
    Random random(2, 0, static_cast<std::uint32_t>(step));
    std::vector<double> x(64);
    std::vector<double> y(64);
    for (std::size_t i = 0; i < 64; ++i) {
      x[i] = 2 * random.uniform() - 1;
      y[i] = std::cos(3 * x[i]);
    }
    const auto column = [](const std::vector<double>& values) {
      return Var(Tensor::from(std::span<const double>(values), {64, 1}, DType::float32));
    };
    std::vector<Tensor> weights;
    for (std::size_t i = 0; i < parameters.size(); ++i) weights.push_back(parameters[i]);
    return value_and_grad([&](const Vars& w) { return (1.0 / 64) * sum(square(net(w, column(x)) - column(y))); },
                          weights);
  }
  TrainingTask task() {
    return {.loss = [this](std::int64_t step) { return loss(step); }, .validate = {}, .checkpoint = {}};
  }
};

/// The first `steps` of a run of `planned`.
TrainingSettings silent(std::int64_t steps, std::int64_t planned = 60) {
  return {.steps = steps, .schedule = {.rate = 1e-2, .steps = planned, .final = 0.01}, .progress = nullptr};
}

}  // namespace

TEST_CASE("training: a small regression converges") {
  Regression r;
  Adam adam(r.parameters);
  const double before = r.loss(5000).value;
  const double seconds = train(r.parameters, adam, silent(2000, 2000), r.task());
  CHECK(adam.steps() == 2000);
  CHECK(seconds > 0);
  CHECK(before > 0.1);
  CHECK(r.loss(5000).value <= 1e-3);  // points that it has not seen; a straight line leaves 0.47
}

TEST_CASE("training: a run that is stopped and restored from files continues to the same bits") {
  Regression through;
  Adam whole(through.parameters);
  train(through.parameters, whole, silent(60), through.task());

  const TemporaryFolder folder;
  {
    Regression first;
    Adam adam(first.parameters);
    train(first.parameters, adam, silent(23), first.task());  // the schedule is that of the whole run
    TensorFile file{.metadata = {{"steps", std::to_string(adam.steps())}}, .tensors = {}};
    for (std::size_t i = 0; i < first.parameters.size(); ++i) {
      file.tensors[first.parameters.name(i)] = first.parameters[i];
    }
    for (const auto& [name, tensor] : adam.state()) file.tensors["adam." + name] = tensor;
    write_safetensors(folder / "checkpoint.safetensors", file);
  }
  const TensorFile file = read_safetensors(folder / "checkpoint.safetensors");
  Regression second;
  Adam adam(second.parameters);
  for (std::size_t i = 0; i < second.parameters.size(); ++i) {
    const std::string& name = second.parameters.name(i);
    second.parameters.set(i, file.tensors.at(name));
  }
  Optimiser::State state;
  for (const auto& [name, tensor] : file.tensors)
    if (name.starts_with("adam.")) state[name.substr(5)] = tensor;
  adam.restore(std::stoll(file.metadata.at("steps")), state);
  train(second.parameters, adam, silent(60), second.task());
  CHECK(adam.steps() == 60);
  for (std::size_t i = 0; i < second.parameters.size(); ++i)
    CHECK(same_bits(second.parameters[i], through.parameters[i]));
}

TEST_CASE("training: the schedule, the clipping and the steps reach Adam") {
  // One parameter and a constant gradient of norm 30: Adam's steps are the rates, but for epsilon over the
  // gradient.
  Parameters p;
  p.add("p", Tensor::full({1}, 0, DType::float64));
  Adam adam(p, {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1});
  std::vector<std::int64_t> seen;
  const TrainingTask task{.loss =
                              [&](std::int64_t step) {
                                seen.push_back(step);
                                return ValueAndGrad{1.0, {Tensor::full({1}, 30, DType::float64)}};
                              },
                          .validate = {},
                          .checkpoint = {}};
  const CosineSchedule schedule{.rate = 0.1, .steps = 5, .final = 0.5};
  train(p, adam, {.steps = 5, .schedule = schedule, .clip = 3, .progress = nullptr}, task);
  double expected = 0;
  for (std::int64_t step = 0; step < 5; ++step) expected -= schedule(step) * 3 / (3 + 1.0);
  CHECK(std::abs(p[0].item() - expected) <= 1e-14);
  CHECK(seen == std::vector<std::int64_t>{0, 1, 2, 3, 4});
}

TEST_CASE("training: validation and checkpoints come when they are due") {
  Regression r;
  Adam adam(r.parameters);
  std::vector<std::int64_t> validated;
  std::vector<std::int64_t> saved;
  double last = 0;
  TrainingTask task = r.task();
  task.validate = [&] {
    validated.push_back(adam.steps());
    return 0.5;
  };
  task.checkpoint = [&](double seconds) {
    CHECK(seconds > last);
    last = seconds;
    saved.push_back(adam.steps());
  };
  TrainingSettings settings = silent(7);
  settings.validate_every = 3;
  settings.checkpoint_seconds = 0;
  const double seconds = train(r.parameters, adam, settings, task);
  CHECK(validated == std::vector<std::int64_t>{3, 6, 7});
  CHECK(saved == std::vector<std::int64_t>{1, 2, 3, 4, 5, 6});  // the caller saves the last state itself
  CHECK(seconds > last);
  // Nothing is left to do.
  CHECK(train(r.parameters, adam, settings, task) == 0);
  CHECK(adam.steps() == 7);
}

TEST_CASE("training: a loss or gradient that is not finite stops before the parameters change") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const bool in_loss : {true, false}) {
    Regression r;
    Adam adam(r.parameters);
    Tensor before;
    TrainingTask task = r.task();
    task.loss = [&](std::int64_t step) {
      ValueAndGrad result = r.loss(step);
      if (step != 4) return result;
      before = r.parameters[0].clone();
      if (in_loss)
        result.value = nan;
      else
        result.gradients[3] = Tensor::full(result.gradients[3].shape(), nan);
      return result;
    };
    std::string message;
    try {
      train(r.parameters, adam, silent(10), task);
    } catch (const levda::Error& error) {
      message = error.what();
    }
    CAPTURE(message);
    CHECK(message.starts_with("training step 4: the loss is "));
    CHECK(message.find("nan") != std::string::npos);
    CHECK(adam.steps() == 4);
    CHECK(same_bits(r.parameters[0], before));
  }
}
