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
  Mlp net;
  Regression() {
    Random random(1);
    net = Mlp::make(parameters, "net", 1, 16, 2, 1, random);
  }
  Tensor x = Tensor::zeros({64, 1});
  Tensor y = Tensor::zeros({64, 1});
  void select(std::int64_t step) {
    Random random(2, 0, static_cast<std::uint32_t>(step));
    std::vector<float> at(64);
    std::vector<float> value(64);
    for (std::size_t i = 0; i < 64; ++i) {
      const double place = 2 * random.uniform() - 1;
      at[i] = static_cast<float>(place);
      value[i] = static_cast<float>(std::cos(3 * place));
    }
    x.set(std::span<const float>(at));
    y.set(std::span<const float>(value));
  }
  LossAndGradients loss() const {
    Tape tape;
    const Vars w = parameters.on(tape);
    const Var error = (1.0 / 64) * sum(square(net(w, Var(x)) - Var(y)));
    LossAndGradients result{.value = error.value(), .gradients = {}};
    for (const Var& g : vjp(error, Var(Tensor::full({}, 1)), w)) result.gradients.push_back(g.value());
    return result;
  }
  double loss(std::int64_t step) {
    select(step);
    return loss().value.item();
  }
  TrainingTask task() {
    return {.select = [this](std::int64_t step) { select(step); },
            .loss = [this] { return loss(); },
            .recordable = true,
            .validate = {},
            .checkpoint = {},
            .stop = {}};
  }
};

/// The first `steps` of a run of `planned`.
TrainingSettings silent(std::int64_t steps, std::int64_t planned = 60) {
  return {
      .steps = steps, .schedule = CosineSchedule{.rate = 1e-2, .steps = planned, .final = 0.01}, .progress = nullptr};
}

}  // namespace

TEST_CASE("training: a small regression converges") {
  Regression r;
  Adam adam(r.parameters);
  const double before = r.loss(5000);
  const TrainingResult result = train(r.parameters, adam, silent(2000, 2000), r.task());
  CHECK(adam.steps() == 2000);
  CHECK(result.seconds > 0);
  CHECK(result.finished);
  CHECK(before > 0.1);
  CHECK(r.loss(5000) <= 1e-3);  // points that it has not seen; a straight line leaves 0.47
}

TEST_CASE("training: a run that is told to stop and restored from files continues to the same bits") {
  for (const double decay : {0.0, 0.9}) {
    CAPTURE(decay);
    Regression through;
    Adam whole(through.parameters);
    Ema whole_average(through.parameters, decay);
    TrainingTask uninterrupted = through.task();
    uninterrupted.average = &whole_average;
    CHECK(train(through.parameters, whole, silent(60), uninterrupted).finished);

    const TemporaryFolder folder;
    const auto path = folder / "checkpoint.safetensors";
    double saved_seconds = 0;
    {
      Regression first;
      Adam adam(first.parameters);
      Ema average(first.parameters, decay);
      TrainingTask task = first.task();
      task.average = &average;
      task.stop = [&] { return adam.steps() == 23; };
      task.checkpoint = [&](double seconds) {
        CHECK(saved_seconds == 0);  // one call
        saved_seconds = seconds;
        TensorFile file{.metadata = {{"steps", std::to_string(adam.steps())}}, .tensors = {}};
        for (std::size_t i = 0; i < first.parameters.size(); ++i)
          file.tensors[first.parameters.name(i)] = first.parameters[i];
        for (const auto& [name, tensor] : adam.state()) file.tensors["adam." + name] = tensor;
        for (const auto& [name, tensor] : average.state()) file.tensors["ema." + name] = tensor;
        write_safetensors(path, file);
      };
      const TrainingResult result = train(first.parameters, adam, silent(60), task);
      CHECK_FALSE(result.finished);
      CHECK(adam.steps() == 23);
      CHECK(saved_seconds > 0);
      CHECK(result.seconds == saved_seconds);
    }
    const TensorFile file = read_safetensors(path);
    Regression second;
    Adam adam(second.parameters);
    Ema average(second.parameters, decay);
    for (std::size_t i = 0; i < second.parameters.size(); ++i)
      second.parameters.set(i, file.tensors.at(second.parameters.name(i)));
    const auto state = [&](const std::string& prefix) {
      Optimiser::State part;
      for (const auto& [name, tensor] : file.tensors)
        if (name.starts_with(prefix)) part[name.substr(prefix.size())] = tensor;
      return part;
    };
    adam.restore(std::stoll(file.metadata.at("steps")), state("adam."));
    average.restore(state("ema."));
    TrainingTask task = second.task();
    task.average = &average;
    CHECK(train(second.parameters, adam, silent(60), task).finished);
    CHECK(adam.steps() == 60);
    for (std::size_t i = 0; i < second.parameters.size(); ++i)
      CHECK(same_bits(second.parameters[i], through.parameters[i]));
  }
}

TEST_CASE("training: stop is asked after every step but the last, which finishes the run") {
  Regression r;
  Adam adam(r.parameters);
  std::vector<std::int64_t> asked;
  TrainingTask task = r.task();
  task.stop = [&] {
    asked.push_back(adam.steps());
    return false;
  };
  CHECK(train(r.parameters, adam, silent(4), task).finished);
  CHECK(asked == std::vector<std::int64_t>{1, 2, 3});
  // Without a checkpoint it just leaves, before a validation that is due.
  task.stop = [] { return true; };
  bool validated = false;
  task.validate = [&] {
    validated = true;
    return 0.0;
  };
  TrainingSettings settings = silent(9);
  settings.validate_every = 1;
  CHECK_FALSE(train(r.parameters, adam, settings, task).finished);
  CHECK(adam.steps() == 5);
  CHECK_FALSE(validated);
}

TEST_CASE("training: the average of the weights is validated and is the result, and changes no step") {
  constexpr std::int64_t steps = 12;
  Regression plain;
  Adam plain_adam(plain.parameters);
  Ema reference(plain.parameters, 0.8);
  std::vector<Tensor> averages{Tensor()};  // of the first weight, after each step
  TrainingTask task = plain.task();
  task.stop = [&] {
    reference.update(plain.parameters);
    const AverageInPlace average(plain.parameters, reference);
    averages.push_back(plain.parameters[0]);
    return false;
  };
  train(plain.parameters, plain_adam, silent(steps), task);
  reference.update(plain.parameters);
  Parameters expected = plain.parameters;
  reference.apply(expected);

  Regression averaged;
  Adam adam(averaged.parameters);
  Ema ema(averaged.parameters, 0.8);
  task = averaged.task();
  task.average = &ema;
  int validations = 0;
  task.validate = [&] {
    if (adam.steps() < steps)
      CHECK(same_bits(averaged.parameters[0], averages[static_cast<std::size_t>(adam.steps())]));
    ++validations;
    return 0.0;
  };
  TrainingSettings settings = silent(steps);
  settings.validate_every = 5;
  CHECK(train(averaged.parameters, adam, settings, task).finished);
  CHECK(validations == 3);
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(same_bits(averaged.parameters[i], expected[i]));
  CHECK_FALSE(same_bits(averaged.parameters[0], plain.parameters[0]));
  for (const auto& [name, tensor] : plain_adam.state()) CHECK(same_bits(adam.state().at(name), tensor));
}

TEST_CASE("training: the schedule, the clipping and the steps reach Adam") {
  // One parameter and a constant gradient of norm 30: Adam's steps are the rates, but for epsilon over the
  // gradient.
  Parameters p;
  p.add("p", Tensor::full({1}, 0, DType::float64));
  Adam adam(p, {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1});
  std::vector<std::int64_t> seen;
  const TrainingTask task{.select = [&](std::int64_t step) { seen.push_back(step); },
                          .loss =
                              [] {
                                return LossAndGradients{.value = Tensor::full({}, 1),
                                                        .gradients = {Tensor::full({1}, 30, DType::float64)}};
                              },
                          .validate = {},
                          .checkpoint = {},
                          .stop = {}};
  const Schedule schedule = StepSchedule{.rate = 0.1, .every = 2, .gamma = 0.5};
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
  const double seconds = train(r.parameters, adam, settings, task).seconds;
  CHECK(validated == std::vector<std::int64_t>{3, 6, 7});
  CHECK(saved == std::vector<std::int64_t>{1, 2, 3, 4, 5, 6});  // the caller saves the last state itself
  CHECK(seconds > last);
  // Nothing is left to do.
  const TrainingResult nothing = train(r.parameters, adam, settings, task);
  CHECK(nothing.finished);
  CHECK(nothing.seconds == 0);
  CHECK(adam.steps() == 7);
}

TEST_CASE("training: a loss or gradient that is not finite stops before the parameters change") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const bool in_loss : {true, false}) {
    Regression r;
    Adam adam(r.parameters);
    Tensor before;
    TrainingTask task = r.task();
    task.loss = [&] {
      LossAndGradients result = r.loss();
      if (adam.steps() != 4) return result;
      before = r.parameters[0].clone();
      if (in_loss)
        result.value = Tensor::full({}, nan);
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

TEST_CASE("training: recorded steps, whose loss is read now and then, are the same steps") {
  Regression plain;
  Adam plain_adam(plain.parameters);
  train(plain.parameters, plain_adam, silent(50), plain.task());
  Regression recorded;
  Adam adam(recorded.parameters);
  TrainingSettings settings = silent(50);
  settings.read_every = 7;
  settings.validate_every = 10;
  TrainingTask task = recorded.task();
  std::vector<std::int64_t> validated;
  task.validate = [&] {
    validated.push_back(adam.steps());
    return 0.0;
  };
  CHECK(train(recorded.parameters, adam, settings, task).finished);
  CHECK(validated == std::vector<std::int64_t>{10, 20, 30, 40, 50});
  for (std::size_t i = 0; i < plain.parameters.size(); ++i)
    CHECK(same_bits(recorded.parameters[i], plain.parameters[i]));
}

TEST_CASE("training: a loss that is no longer finite is noticed when it is read, before a checkpoint") {
  Regression r;
  Adam adam(r.parameters);
  TrainingSettings settings = silent(50);
  settings.read_every = 7;
  settings.checkpoint_seconds = 0;
  TrainingTask task = r.task();
  std::int64_t saved = 0;
  task.select = [&](std::int64_t step) {
    r.select(step);
    if (step == 4) r.y.set(std::span<const float>(std::vector<float>(64, std::numeric_limits<float>::infinity())));
  };
  task.checkpoint = [&](double) { saved = adam.steps(); };
  CHECK_THROWS_WITH_AS(train(r.parameters, adam, settings, task), doctest::Contains("training step 4: the loss is inf"),
                       levda::Error);
  CHECK(saved == 4);
}
