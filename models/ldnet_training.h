#pragma once

/// Training of a surrogate on a data set.

#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>

#include "models/batches.h"
#include "models/checkpoint.h"
#include "models/surrogate_errors.h"
#include "models/training_settings.h"
#include "nn/schedule.h"
#include "nn/training.h"

namespace levda::models {

/// How a training runs. Nothing here is part of its configuration, but another device rounds differently.
struct TrainingOptions {
  std::filesystem::path checkpoint = {};  ///< file from which a stopped training continues, to the same bits; the
                                          ///< caller removes it; empty: none is written
  std::string configuration = {};  ///< identifies the training in its checkpoint; empty: all settings and the data set
  double checkpoint_seconds = 30;  ///< time between checkpoints
  int threads = 1;                 ///< for the provenance; 0: the program does not measure the machine
  std::FILE* progress = nullptr;   ///< where a progress line goes; null: nowhere
  std::function<void(const nn::TrainingReport&)> report = {};  ///< called when the host reads the loss; may be empty
  std::function<bool()> stop = {};  ///< called after each step; true ends the training with Interrupted; may be empty
  autodiff::Backend* backend = &autodiff::cpu();
  Placement placement = Placement::automatic;
};

/// The training in its parts; train_surrogate is all of them.
class LdnetTraining {
 public:
  /// The data set must outlive this. Errors as for train_surrogate.
  LdnetTraining(const Dataset& data, const NetworkSettings& network, const TrainingSettings& settings,
                const TrainingOptions& options);

  /// Steps of both stages, and those taken before the checkpoint.
  std::int64_t steps() const { return settings_.steps + settings_.finetune_steps; }
  std::int64_t steps_before() const { return steps_before_; }
  /// Rows that the decoder evaluates in a step, and floating-point operations of a step: 6 for each weight and row.
  double rows() const;
  double work() const { return 6 * static_cast<double>(surrogate_.net.decoder_weights()) * rows(); }
  /// Measures the time of a step without taking it.
  double seconds_of_a_step();
  /// Seconds of training so far, those before the checkpoint included.
  double seconds() const { return seconds_; }

  /// Trains, measures the errors and returns the surrogate. To be called once.
  Surrogate run();

 private:
  void train_stage(int stage);
  void measure();
  nn::LossAndGradients loss(const autodiff::Tensor* latents) const;
  autodiff::Tensor latents_of_prior() const;

  const Dataset& data_;
  TrainingSettings settings_;
  TrainingOptions options_;
  Surrogate surrogate_;
  Batches batches_;
  Checkpoint checkpoint_;
  std::unique_ptr<nn::Optimiser> optimiser_;
  int first_stage_;
  QuickError quick_error_;
  std::int64_t steps_before_ = 0;
  double seconds_ = 0;
};

/// Trains an LDNet as in Xiao et al. (LD-EnSF, arXiv 2411.19305): mean squared error of normalised fields over whole
/// trajectories of a batch at random points; at the frames, and at times between them where the data set has such
/// values. Then, with settings.finetune_steps > 0, the decoder alone is trained further, also as published, while
/// the latent trajectories stay. Missing values do not count. Fills everything that a Surrogate holds; its provenance
/// has the configuration, seed, seconds and the relative RMSE over the test trajectories (test_rel_rmse and
/// test_rel_rmse_between). The network is returned on the CPU.
///
/// Throws Interrupted when options.stop returns true, after a checkpoint; InputError: numbers of steps, points or
/// trajectories that are not positive, fewer training trajectories than a
/// step needs, frequencies on a torus that would not have its period, limits of fields that do not fit the channels, a
/// checkpoint of another configuration; Error when the loss is no longer finite.
Surrogate train_surrogate(const Dataset& data, const NetworkSettings& network = {},
                          const TrainingSettings& settings = {}, const TrainingOptions& options = {});

/// The networks for a data set. Throws InputError: frequencies on a torus that would not have its period.
LdnetArchitecture architecture_of(const NetworkSettings& network, const Description& about);

/// The learning rate of each step. An epoch is as many steps as it takes to see each training trajectory once.
nn::Schedule schedule_of(const TrainingSettings& settings, std::int64_t trajectories);

/// Groups of `points` rows that training decodes together. On the CPU it is settings.tile: their activations stay in a
/// core's cache. A device should be given as much as its memory allows at once: for each row and hidden layer there are
/// the sum, the slope and the layer's output, with as much again for the cotangents' way back.
std::int64_t tile_of(const LdnetArchitecture& architecture, const TrainingSettings& settings, std::int64_t points,
                     const autodiff::Backend& backend);

}  // namespace levda::models
