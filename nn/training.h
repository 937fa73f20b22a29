#pragma once

/// The training loop: gradients, clipping, optimiser, schedule, averaging, validation, checkpoints, progress.

#include <cstdio>
#include <functional>

#include "autodiff/derivatives.h"
#include "nn/adam.h"
#include "nn/ema.h"
#include "nn/optimiser.h"
#include "nn/schedule.h"

namespace levda::nn {

struct TrainingSettings {
  std::int64_t steps = 0;
  Schedule schedule = ConstantSchedule{.rate = 1e-3};
  double clip = 1;                  ///< largest global norm of the gradient
  std::int64_t validate_every = 0;  ///< steps; 0: never
  double checkpoint_seconds = 30;   ///< time between checkpoints
  std::FILE* progress = stderr;     ///< null: silent
};

/// What a model brings. All are called from the training thread.
struct TrainingTask {
  /// Loss and gradients (in the order of the trainable parameters) at a step; its randomness comes from the step only.
  std::function<autodiff::ValueAndGrad(std::int64_t step)> loss;
  /// Validation error, for the progress line; may be empty.
  std::function<double()> validate;
  /// Saves parameters, optimiser and average, with the seconds of training so far; may be empty.
  std::function<void(double seconds)> checkpoint;
  /// Asked after each step: whether to leave early, as when the user interrupts; may be empty.
  std::function<bool()> stop;
  /// Average of the weights, updated after each step; null: none. Validation sees it, and a finished run leaves it in
  /// the parameters; checkpoints see the weights themselves, and save its state too.
  Ema* average = nullptr;
};

struct TrainingResult {
  double seconds = 0;     ///< validation excluded
  bool finished = false;  ///< false: told to stop; a checkpoint was saved
};

/// Runs from optimiser.steps() to settings.steps. Throws Error when the loss is no longer finite, naming the step; the
/// parameters are then those before it.
TrainingResult train(Parameters& parameters, Optimiser& optimiser, const TrainingSettings& settings,
                     const TrainingTask& task);

}  // namespace levda::nn
