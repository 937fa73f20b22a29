/// Training on the CUDA backend: recorded steps are the steps.

#include "nn/training.h"

#include <doctest/doctest.h>

#include "nn/layers.h"
#include "nn/soap.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using namespace levda::nn;
using levda::testing::largest;
using levda::testing::largest_difference;
using levda::testing::same_bits;

namespace {

/// Fits y = cos(3 x) from 64 places, drawn on the device.
struct Regression {
  Backend& backend;
  Parameters parameters;
  Mlp net;
  Tensor places;
  Tensor step;
  Tensor base;

  explicit Regression(Backend& device) : backend(device) {
    Random random(1);
    net = Mlp::make(parameters, "net", 1, 16, 3, 1, random);
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters.set(i, parameters[i].to(backend));
    std::vector<double> x(1000);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>(i) / 500 - 1;
    places = Tensor::from(std::span<const double>(x), {1000, 1}, DType::float32, backend);
    step = Tensor::indices(std::vector<std::int64_t>{0}, backend);
    base = Tensor::indices(std::vector<std::int64_t>{0}, backend);
  }
  TrainingTask task() {
    return {.select = [this](std::int64_t now) { step.set(std::span<const std::int64_t>(&now, 1)); },
            .loss =
                [this] {
                  Tensor rows = Tensor::empty({64}, DType::int64, backend);
                  backend.draw_rows({.seed = 2, .stream = 0, .choices = 1000}, step, base, rows);
                  const Var x = gather(Var(places), 0, rows);
                  Tape tape;
                  const Vars w = parameters.on(tape);
                  const Var error = (1.0 / 64) * sum(square(net(w, x) - cos(3 * x)));
                  LossAndGradients result{.value = error.value(), .gradients = {}};
                  for (const Var& g : vjp(error, Var(Tensor::full({}, 1, DType::float32, backend)), w))
                    result.gradients.push_back(g.value());
                  return result;
                },
            .recordable = true,
            .validate = {},
            .checkpoint = {},
            .stop = {}};
  }
  std::vector<double> weights() const {
    std::vector<double> all;
    for (std::size_t i = 0; i < parameters.size(); ++i)
      for (const double value : parameters[i].to_vector()) all.push_back(value);
    return all;
  }
};

TrainingSettings settings(std::int64_t steps, std::int64_t read_every) {
  return {.steps = steps,
          .schedule = CosineSchedule{.rate = 1e-2, .steps = 40},
          .read_every = read_every,
          .progress = nullptr};
}

}  // namespace

TEST_CASE("gpu: recorded training steps are the steps to the bit, and close to the CPU's") {
  Regression eager(cuda());
  Adam eager_adam(eager.parameters);
  train(eager.parameters, eager_adam, settings(40, 1), eager.task());
  Regression recorded(cuda());
  Adam adam(recorded.parameters);
  CHECK(train(recorded.parameters, adam, settings(40, 10), recorded.task()).finished);
  CHECK(recorded.weights() == eager.weights());

  Regression here(cpu());
  Adam cpu_adam(here.parameters);
  train(here.parameters, cpu_adam, settings(5, 1), here.task());
  Regression there(cuda());
  Adam cuda_adam(there.parameters);
  train(there.parameters, cuda_adam, settings(5, 10), there.task());
  // Adam's steps are of the rate's size whatever the gradient's, so that round-off of small gradients weighs most.
  CHECK(largest_difference(there.weights(), here.weights()) <= 1e-4 * largest(here.weights()));
}

TEST_CASE("gpu: SOAP trains too, step by step") {
  // The weights differ from those of the CPU: round-off chooses the basis in directions without any gradient yet.
  const auto trained = [](Backend& backend) {
    Regression r(backend);
    Soap soap(r.parameters);
    CHECK_FALSE(soap.recordable());
    train(r.parameters, soap,
          {.steps = 150, .schedule = ConstantSchedule{.rate = 1e-2}, .read_every = 10, .progress = nullptr}, r.task());
    CHECK(soap.steps() == 150);
    return r.task().loss().value.item();
  };
  CHECK(trained(cpu()) <= 0.05);  // a straight line leaves 0.47
  CHECK(trained(cuda()) <= 0.05);
}
