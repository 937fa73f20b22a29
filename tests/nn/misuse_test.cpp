/// Every way to use a function of nn wrongly ends in levda::Error: no signal, no wrong number.

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "autodiff/error.h"
#include "nn/adam.h"
#include "nn/ema.h"
#include "nn/folder_lock.h"
#include "nn/layers.h"
#include "nn/lbfgs.h"
#include "nn/lstm.h"
#include "nn/safetensors.h"
#include "nn/schedule.h"
#include "nn/soap.h"
#include "nn/training.h"
#include "tests/nn/temporary_folder.h"

using namespace levda::autodiff;
using namespace levda::nn;
using levda::testing::TemporaryFolder;

namespace {

using Attempt = std::pair<std::string, std::function<void()>>;

void refuses(const std::vector<Attempt>& attempts) {
  for (const auto& [what, attempt] : attempts) {
    CAPTURE(what);
    CHECK_THROWS_AS(attempt(), levda::Error);
  }
}

const double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// A matrix and a vector, both trainable.
Parameters two() {
  Parameters p;
  p.add("w", Tensor::full({2, 3}, 0.5));
  p.add("b", Tensor::zeros({3}));
  return p;
}

std::vector<Tensor> gradients_of_two() { return {Tensor::full({2, 3}, 0.1), Tensor::full({3}, 0.1)}; }

/// A variable whose tape is gone.
Var dead(const Tensor& value) {
  Tape tape;
  return tape.variable(value);
}

}  // namespace

TEST_CASE("misuse of nn: parameters") {
  Parameters p = two();
  const Parameters& fixed = p;
  refuses({
      {"a name twice", [&] { p.add("w", Tensor::zeros({1})); }},
      {"an empty tensor", [&] { p.add("x", Tensor()); }},
      {"a tensor of integers", [&] { p.add("x", Tensor::zeros({1}, DType::int64)); }},
      {"name", [&] { fixed.name(2); }},
      {"trainable", [&] { fixed.trainable(2); }},
      {"value", [&] { fixed[2].size(); }},
      {"value to change", [&] { p[2] = Tensor::zeros({1}); }},
      {"set: position", [&] { p.set(2, Tensor::zeros({1})); }},
      {"set: shape",
       [&] {
         p.set(0, Tensor::zeros({3, 2}));
       }},
      {"set: empty", [&] { p.set(0, Tensor()); }},
      {"set_trainable", [&] { p.set_trainable(2, true); }},
  });
  CHECK(p.size() == 2);
}

TEST_CASE("misuse of nn: layers") {
  Random random(1);
  Parameters p;
  const Linear layer = Linear::make(p, "layer", 3, 2, random);
  const Mlp net = Mlp::make(p, "net", 3, 4, 2, 2, random);
  const FourierFeatures fourier = FourierFeatures::make(p, "fourier", 5, 2, 1, random);
  const Lstm lstm = Lstm::make(p, "lstm", 3, 4, random);
  const Vars w = p.constants();
  const Vars double_w = p.constants(DType::float64);
  const Var x(Tensor::zeros({6, 3}));
  const Var narrow(Tensor::zeros({6, 2}));
  const Var wide(Tensor::zeros({6, 5}));
  const Lstm::State half{.h = Var(Tensor::zeros({6, 4})), .c = {}};
  const Lstm::State other{.h = Var(Tensor::zeros({5, 4})), .c = Var(Tensor::zeros({5, 4}))};
  refuses({
      {"weight_at", [&] { weight_at(w, w.size()); }},
      {"glorot_normal", [&] { glorot_normal(-1, 2, random); }},
      {"Linear::make: a name twice", [&] { Linear::make(p, "layer", 3, 2, random); }},
      {"Linear::make: extents", [&] { Linear::make(p, "negative", 3, -2, random); }},
      {"Linear: width of the input", [&] { layer(w, wide); }},
      {"Linear: no input", [&] { layer(w, Var()); }},
      {"Linear: too few weights", [&] { layer(Vars{w[0]}, x); }},
      {"Linear: another type", [&] { layer(double_w, x); }},
      {"Linear: a variable of a dead tape", [&] { layer(w, dead(x.value())); }},
      {"Mlp::make: no layer", [&] { Mlp::make(p, "none", 3, 4, 0, 2, random); }},
      {"Mlp: none made", [&] { Mlp{.hidden = {}, .output = layer}(w, x); }},
      {"Mlp: width of the input", [&] { net(w, wide); }},
      {"Mlp: no weights", [&] { net(Vars{}, x); }},
      {"Mlp: another type", [&] { net(double_w, x); }},
      {"FourierFeatures::make: extents", [&] { FourierFeatures::make(p, "f", -1, 2, 1, random); }},
      {"FourierFeatures: coordinates", [&] { fourier(w, x); }},
      {"FourierFeatures: another type", [&] { fourier(double_w, narrow); }},
      {"FourierFeatures: no weights", [&] { fourier(Vars{}, narrow); }},
      {"Lstm::make: hidden", [&] { Lstm::make(p, "l", 3, 0, random); }},
      {"Lstm: width of the input", [&] { lstm(w, {wide}); }},
      {"Lstm: rows of the state", [&] { lstm.step(w, x, other); }},
      {"Lstm: half a state", [&] { lstm.step(w, x, half); }},
      {"Lstm: another type", [&] { lstm.step(double_w, x, {}); }},
  });
}

TEST_CASE("misuse of nn: optimisers, averages and norms") {
  Parameters p = two();
  Parameters others;
  others.add("w", Tensor::zeros({4}));
  const auto set_up = [&](auto make) { return [&p, make] { make(p); }; };
  refuses({
      {"Adam: beta1", set_up([](Parameters& q) { Adam(q, {.beta1 = 1}); })},
      {"Adam: beta2", set_up([](Parameters& q) { Adam(q, {.beta2 = -0.1}); })},
      {"Adam: beta that is no number", set_up([](Parameters& q) { Adam(q, {.beta1 = not_a_number}); })},
      {"Adam: epsilon", set_up([](Parameters& q) { Adam(q, {.epsilon = 0}); })},
      {"SOAP: beta1", set_up([](Parameters& q) { Soap(q, {.beta1 = 1.5}); })},
      {"SOAP: beta2", set_up([](Parameters& q) { Soap(q, {.beta2 = 1}); })},
      {"SOAP: epsilon", set_up([](Parameters& q) { Soap(q, {.epsilon = not_a_number}); })},
      {"SOAP: period", set_up([](Parameters& q) { Soap(q, {.period = 0}); })},
      {"Ema: decay", set_up([](Parameters& q) { Ema(q, 1); })},
      {"Ema: other parameters", [&] { Ema(p, 0.9).update(others); }},
      {"Ema: restore", [&] { Ema(p, 0.9).restore({}); }},
      {"global_norm: none", [] { global_norm({}); }},
      {"global_norm: empty", [] { global_norm(std::vector<Tensor>{Tensor()}); }},
      {"global_norm: integers", [] { global_norm(std::vector<Tensor>{Tensor::zeros({1}, DType::int64)}); }},
  });
  for (const double limit : {0.0, -1.0, not_a_number}) {
    std::vector<Tensor> gradients = gradients_of_two();
    CHECK_THROWS_AS(clip_global_norm(gradients, limit), levda::Error);
  }

  Adam adam(p);
  Soap soap(p);
  Ema average(p, 0.9);
  average.update(p);
  CHECK_THROWS_AS(average.apply(others), levda::Error);
  for (Optimiser* const optimiser : std::vector<Optimiser*>{&adam, &soap}) {
    CAPTURE(optimiser->name());
    const auto step = [&](Parameters& q, std::vector<Tensor> gradients) {
      return [=, &q] { optimiser->step(q, gradients, 0.1); };
    };
    refuses({
        {"no gradients", step(p, {})},
        {"a gradient too few", step(p, {Tensor::zeros({2, 3})})},
        {"a gradient too many", step(p, {Tensor::zeros({2, 3}), Tensor::zeros({3}), Tensor::zeros({3})})},
        {"an empty gradient", step(p, {Tensor::zeros({2, 3}), Tensor()})},
        {"another shape", step(p, {Tensor::zeros({3, 2}), Tensor::zeros({3})})},
        {"another type", step(p, {Tensor::zeros({2, 3}, DType::float64), Tensor::zeros({3})})},
        {"other parameters", step(others, {Tensor::zeros({4})})},
        {"a state without entries", [&] { optimiser->restore(1, {}); }},
        {"a state of other parameters",
         [&] {
           Optimiser::State state = optimiser->state();
           for (auto& [name, value] : state) value = Tensor::zeros({7});
           optimiser->restore(1, state);
         }},
        {"a state with an empty entry",
         [&] {
           Optimiser::State state = optimiser->state();
           state.begin()->second = Tensor();
           optimiser->restore(1, state);
         }},
    });
    optimiser->step(p, gradients_of_two(), 0.1);  // the refused calls did no harm
    for (const double value : p[0].to_vector()) CHECK(std::isfinite(value));
  }
}

TEST_CASE("misuse of nn: schedules, training and L-BFGS") {
  const auto bowl = [](std::span<const double> x, std::span<double> g) {
    g[0] = 2 * x[0];
    return x[0] * x[0];
  };
  const auto minimise = [bowl](const LbfgsSettings& settings) { return [=] { minimise_lbfgs(bowl, {1}, settings); }; };
  Parameters p = two();
  Adam adam(p);
  const auto loss = [] { return LossAndGradients{Tensor::full({}, 1), gradients_of_two()}; };
  const TrainingTask good{.select = {}, .loss = loss, .validate = {}, .checkpoint = {}, .stop = {}, .report = {}};
  const TrainingSettings settings{.steps = 3, .progress = nullptr};
  const auto training = [&](auto change) {
    return [&, change] {
      TrainingTask task = good;
      TrainingSettings changed = settings;
      change(task, changed);
      train(p, adam, changed, task);
    };
  };
  Parameters none;
  refuses({
      {"step schedule", [] { StepSchedule{.rate = 1, .every = 0}(1); }},
      {"training: no loss", training([](TrainingTask& t, TrainingSettings&) { t.loss = {}; })},
      {"training: no schedule", training([](TrainingTask&, TrainingSettings& s) { s.schedule = {}; })},
      {"training: read_every", training([](TrainingTask&, TrainingSettings& s) { s.read_every = 0; })},
      {"training: clip", training([](TrainingTask&, TrainingSettings& s) { s.clip = 0; })},
      {"training: a loss without value",
       training([](TrainingTask& t, TrainingSettings&) { t.loss = [] { return LossAndGradients{}; }; })},
      {"training: a loss that is no scalar", training([](TrainingTask& t, TrainingSettings&) {
         t.loss = [] { return LossAndGradients{Tensor::zeros({2}), gradients_of_two()}; };
       })},
      {"training: a loss that is no number", training([](TrainingTask& t, TrainingSettings&) {
         t.loss = [] { return LossAndGradients{Tensor::full({}, not_a_number), gradients_of_two()}; };
       })},
      {"training: no gradients", training([](TrainingTask& t, TrainingSettings&) {
         t.loss = [] { return LossAndGradients{Tensor::full({}, 1), {}}; };
       })},
      {"training: no parameters", [&] { train(none, adam, settings, good); }},
      {"L-BFGS: no function", [] { minimise_lbfgs({}, {1}, {}); }},
      {"L-BFGS: memory", minimise({.memory = 0})},
      {"L-BFGS: iterations", minimise({.iterations = -1})},
      {"L-BFGS: Wolfe conditions", minimise({.decrease = 0.9, .curvature = 0.1})},
      {"L-BFGS: not finite", [&] { minimise_lbfgs(bowl, {not_a_number}, {}); }},
  });
}

TEST_CASE("misuse of nn: files") {
  const TemporaryFolder folder;
  const FolderLock lock(folder.path());
  refuses({
      {"read: missing", [&] { read_safetensors(folder / "missing"); }},
      {"write: empty tensor",
       [&] {
         write_safetensors(folder / "x", {.metadata = {}, .tensors = {{"t", Tensor()}}});
       }},
      {"write: onto a folder", [&] { write_safetensors(folder.path(), {}); }},
      {"a folder that is locked", [&] { const FolderLock again(folder.path()); }},
  });
  CHECK_FALSE(std::filesystem::exists(folder / "x"));
}
