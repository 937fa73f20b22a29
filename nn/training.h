#pragma once

/// The training loop: gradients, clipping, optimiser, schedule, averaging, validation, checkpoints, progress.

#include <cstdio>
#include <functional>
#include <optional>

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
  std::int64_t validate_every = 0;  ///< steps between validations; 0: never
  /// Steps between the steps whose loss the host reads, >= 1. With more than 1 the host does not wait for the device in
  /// between, and steps are recorded (Backend::record) if task and optimiser allow it; a loss that is not finite is
  /// then noticed late.
  std::int64_t read_every = 1;
  double checkpoint_seconds = 30;  ///< time between checkpoints
  std::FILE* progress = stderr;    ///< null: silent
  const char* name = "train";      ///< shown in the progress line
};

struct LossAndGradients {
  autodiff::Tensor value;                   ///< a scalar
  std::vector<autodiff::Tensor> gradients;  ///< in the order of the trainable parameters
};

/// What the host sees when it reads the loss.
struct TrainingReport {
  std::int64_t step = 0;                            ///< steps taken
  double loss = 0;                                  ///< a running mean over about 50 readings
  std::optional<double> validation = std::nullopt;  ///< the last one; nullopt: there was none yet
  double seconds = 0;                               ///< of training so far, without validation
};

/// The functions of a model for its training. All are called from the training thread.
struct TrainingTask {
  /// The part of a step on the host, for example the choice of a batch. It stores for loss() everything random. May be
  /// empty.
  std::function<void(std::int64_t step)> select;
  /// Loss and gradients at the selected step. Random numbers depend on the step only.
  std::function<LossAndGradients()> loss;
  /// Whether loss() may be recorded (Backend::record).
  bool recordable = false;
  /// The validation error for the progress line. May be empty.
  std::function<double()> validate;
  /// Saves parameters, optimiser and average; seconds: the training time so far. May be empty.
  std::function<void(double seconds)> checkpoint;
  /// Called after each step: true to stop early, for example when the user interrupts. May be empty.
  std::function<bool()> stop;
  /// Called each time the host reads the loss, and not when the training stops early. May be empty.
  std::function<void(const TrainingReport&)> report;
  /// Average of the weights, updated after each step; null: none. Validation uses the average, and a finished training
  /// leaves it in the parameters. Checkpoints see the weights, and must save the state of the average too.
  Ema* average = nullptr;
};

struct TrainingResult {
  double seconds = 0;     ///< training time without validation
  bool finished = false;  ///< false: `stop` ended the training early, after a checkpoint
};

/// Trains from optimiser.steps() to settings.steps. Throws Error for settings or a task that it cannot use, and one
/// that names the step when the loss is not finite. The parameters are then those before that step; with read_every > 1
/// only the last checkpoint is of use.
TrainingResult train(Parameters& parameters, Optimiser& optimiser, const TrainingSettings& settings,
                     const TrainingTask& task);

}  // namespace levda::nn
