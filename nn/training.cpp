#include "nn/training.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <memory>
#include <optional>

#include "autodiff/error.h"
#include "nn/progress.h"

namespace levda::nn {

using autodiff::DType;
using autodiff::Tensor;

namespace {

/// The two parts of a training step, and the numbers that the host reads from it.
class Step {
 public:
  Step(Parameters& parameters, Optimiser& optimiser, const TrainingSettings& settings, const TrainingTask& task)
      : parameters_(parameters),
        optimiser_(optimiser),
        settings_(settings),
        task_(task),
        seen_(Tensor::zeros({2}, DType::float64, parameters[0].backend())) {
    if (settings.read_every > 1 && task.recordable && optimiser.recordable())
      recording_ = seen_.backend().record([this] {
        differentiate();
        update();
      });
  }

  /// Throws Error as train() does.
  void run() {
    const std::int64_t step = optimiser_.steps();
    if (task_.select) task_.select(step);
    if (recording_) {
      optimiser_.begin_step(settings_.schedule(step));
      recording_->run();
      return;
    }
    differentiate();
    if (settings_.read_every <= 1) read(step);
    optimiser_.begin_step(settings_.schedule(step));
    update();
  }

  /// The loss of the last step that was read.
  double loss() const { return loss_; }

  /// Waits for the last step. Throws Error when its loss is not finite.
  void read(std::int64_t step) {
    const std::vector<double> seen = seen_.to_vector();
    if (!std::isfinite(seen[0]) || !std::isfinite(seen[1]))
      throw Error(fmt::format("training step {}: the loss is {} and the gradient's norm {}", step, seen[0], seen[1]));
    loss_ = seen[0];
  }

 private:
  void differentiate() {
    LossAndGradients result = task_.loss();
    if (!result.value || result.value.shape().rank() != 0) throw Error("training: the loss is not a scalar");
    const Tensor norm = clip_global_norm(result.gradients, settings_.clip);
    autodiff::Strided from;
    from.strides[0] = 1;
    autodiff::Strided to = from;
    seen_.backend().copy({1}, result.value.to(DType::float64), from, seen_, to);
    to.offset = 1;
    seen_.backend().copy({1}, norm, from, seen_, to);
    gradients_ = std::move(result.gradients);
  }
  void update() {
    optimiser_.update(parameters_, gradients_);
    gradients_.clear();
  }

  Parameters& parameters_;
  Optimiser& optimiser_;
  const TrainingSettings& settings_;
  const TrainingTask& task_;
  Tensor seen_;  // loss and norm of the gradient
  std::vector<Tensor> gradients_;
  std::unique_ptr<autodiff::Recording> recording_;
  double loss_ = 0;
};

}  // namespace

TrainingResult train(Parameters& parameters, Optimiser& optimiser, const TrainingSettings& settings,
                     const TrainingTask& task) {
  if (parameters.size() == 0) throw Error("training: there are no parameters");
  if (!task.loss) throw Error("training: there is no loss");
  if (!settings.schedule) throw Error("training: there is no schedule of the learning rate");
  if (settings.read_every < 1) throw Error("training: read_every is below 1");
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); };
  Progress progress(settings.name, settings.steps, settings.progress, optimiser.steps());
  double seconds = 0;
  double smooth = 0;
  double weight = 0;
  std::optional<double> validation;
  Clock::time_point saved = Clock::now();
  Step one(parameters, optimiser, settings, task);
  while (optimiser.steps() < settings.steps) {
    const Clock::time_point begin = Clock::now();
    const std::int64_t step = optimiser.steps();
    one.run();
    if (task.average != nullptr) task.average->update(parameters);
    const bool last = optimiser.steps() == settings.steps;
    const bool stop = task.stop && !last && task.stop();
    const bool validate =
        task.validate && settings.validate_every > 0 && (optimiser.steps() % settings.validate_every == 0 || last);
    const bool save = task.checkpoint && !last && since(saved) > settings.checkpoint_seconds;
    const bool look = stop || validate || save || last || optimiser.steps() % settings.read_every == 0;
    if (look && settings.read_every > 1) one.read(step);
    seconds += since(begin);
    if (!look) continue;
    smooth = 0.98 * smooth + 0.02 * one.loss();
    weight = 0.98 * weight + 0.02;
    if (stop) {
      if (task.checkpoint) task.checkpoint(seconds);
      return {.seconds = seconds, .finished = false};
    }
    if (validate) {
      std::optional<AverageInPlace> average;
      if (task.average != nullptr) average.emplace(parameters, *task.average);
      validation = task.validate();
    }
    if (save) {
      task.checkpoint(seconds);
      saved = Clock::now();
    }
    const double loss = smooth / weight;
    progress.update(optimiser.steps(), fmt::format("loss {:.3e}{}", loss,
                                                   validation ? fmt::format("  validation {:.4f}", *validation) : ""));
    if (task.report)
      task.report({.step = optimiser.steps(), .loss = loss, .validation = validation, .seconds = seconds});
  }
  if (task.average != nullptr) task.average->apply(parameters);
  return {.seconds = seconds, .finished = true};
}

}  // namespace levda::nn
