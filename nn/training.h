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
  /// The host looks at the loss every so many steps, >= 1. With more than 1 it does not wait for a device in between,
  /// and steps are recorded (Backend::record) where the task and the optimiser can be; a loss that is no longer finite
  /// is then noticed late.
  std::int64_t read_every = 1;
  double checkpoint_seconds = 30;  ///< time between checkpoints
  std::FILE* progress = stderr;    ///< null: silent
  const char* name = "train";      ///< in the progress line
};

struct LossAndGradients {
  autodiff::Tensor value;                   ///< a scalar
  std::vector<autodiff::Tensor> gradients;  ///< in the order of the trainable parameters
};

/// What a model brings. All are called from the training thread.
struct TrainingTask {
  /// The host's part of a step: puts what its randomness needs where loss finds it; may be empty.
  std::function<void(std::int64_t step)> select;
  /// Loss and gradients at the selected step; its randomness comes from the step only.
  std::function<LossAndGradients()> loss;
  /// Whether loss() may be recorded (Backend::record).
  bool recordable = false;
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
/// parameters are then those before it (with read_every > 1: of no use, while the last checkpoint is).
TrainingResult train(Parameters& parameters, Optimiser& optimiser, const TrainingSettings& settings,
                     const TrainingTask& task);

}  // namespace levda::nn
