#pragma once

/// The training loop: gradients, clipping, optimiser, schedule, validation, checkpoints, progress.

#include <cstdio>
#include <functional>

#include "autodiff/derivatives.h"
#include "nn/adam.h"
#include "nn/optimiser.h"

namespace levda::nn {

struct TrainingSettings {
  std::int64_t steps = 0;
  CosineSchedule schedule;
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
  /// Saves parameters and optimiser, with the seconds of training so far; may be empty.
  std::function<void(double seconds)> checkpoint;
};

/// Runs from optimiser.steps() to settings.steps. Returns the seconds it took, validation excluded. Throws Error when
/// the loss is no longer finite, naming the step; the parameters are then those before it.
double train(Parameters& parameters, Optimiser& optimiser, const TrainingSettings& settings, const TrainingTask& task);

}  // namespace levda::nn
