#include "nn/training.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <optional>

#include "autodiff/error.h"
#include "nn/progress.h"

namespace levda::nn {

TrainingResult train(Parameters& parameters, Optimiser& optimiser, const TrainingSettings& settings,
                     const TrainingTask& task) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); };
  Progress progress("train", settings.steps, settings.progress, optimiser.steps());
  double seconds = 0;
  double smooth = 0;
  double weight = 0;
  std::string validation;
  Clock::time_point saved = Clock::now();
  while (optimiser.steps() < settings.steps) {
    const Clock::time_point begin = Clock::now();
    const std::int64_t step = optimiser.steps();
    autodiff::ValueAndGrad result = task.loss(step);
    const double norm = clip_global_norm(result.gradients, settings.clip);
    if (!std::isfinite(result.value) || !std::isfinite(norm))
      throw Error(fmt::format("training step {}: the loss is {} and the gradient's norm {}", step, result.value, norm));
    optimiser.step(parameters, result.gradients, settings.schedule(step));
    if (task.average != nullptr) task.average->update(parameters);
    seconds += since(begin);
    smooth = 0.98 * smooth + 0.02 * result.value;
    weight = 0.98 * weight + 0.02;
    const bool last = optimiser.steps() == settings.steps;
    if (task.stop && !last && task.stop()) {
      if (task.checkpoint) task.checkpoint(seconds);
      return {.seconds = seconds, .finished = false};
    }
    if (task.validate && settings.validate_every > 0 && (optimiser.steps() % settings.validate_every == 0 || last)) {
      std::optional<AverageInPlace> average;
      if (task.average != nullptr) average.emplace(parameters, *task.average);
      validation = fmt::format("  validation {:.4f}", task.validate());
    }
    if (task.checkpoint && !last && since(saved) > settings.checkpoint_seconds) {
      task.checkpoint(seconds);
      saved = Clock::now();
    }
    progress.update(optimiser.steps(), fmt::format("loss {:.3e}{}", smooth / weight, validation));
  }
  if (task.average != nullptr) task.average->apply(parameters);
  return {.seconds = seconds, .finished = true};
}

}  // namespace levda::nn
