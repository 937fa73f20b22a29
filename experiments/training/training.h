#pragma once

/// Training of a surrogate from a data set.

#include <cstdio>
#include <filesystem>
#include <functional>

#include "experiments/training/batches.h"
#include "nn/schedule.h"

namespace levda::experiments {

/// How a training runs; nothing of it is part of its configuration. Another device rounds otherwise.
struct TrainingOptions {
  std::filesystem::path checkpoint;  ///< lets a killed run go on to the same weights; left for the caller to remove
  int threads = 1;
  std::FILE* progress = nullptr;  ///< may be null
  std::function<bool()> stop;     ///< asked after each step: whether to leave; may be empty
  autodiff::Backend* backend = &autodiff::cpu();
  Placement placement = Placement::automatic;
};

/// Trains an LDNet as in Xiao et al. (LD-EnSF, arXiv 2411.19305): mean squared error of normalised fields over whole
/// trajectories of a batch at random points; at the frames, and at times between them where the data set has such
/// values. Then, where wanted, as there the decoder alone goes on with the latent trajectories as they are. Missing
/// values do not count. A training that a CPU would take half an hour for says so first, in one line. Fills everything
/// that a Surrogate holds, with the relative RMSE over the test trajectories (keys test_rel_rmse and
/// test_rel_rmse_between), seconds and machine in its provenance; its network is on the CPU. Throws Interrupted when
/// told to stop, after a checkpoint, and InputError when the checkpoint belongs to another configuration.
models::Surrogate train_surrogate(const Config& config, const Dataset& data, const TrainingOptions& options);

/// The networks for a data set. Throws InputError: frequencies on a torus that would not have its period.
models::LdnetArchitecture architecture_of(const Config& config, const models::Description& about);

/// The learning rate of each step. An epoch is as many steps as it takes to see each training trajectory once.
nn::Schedule schedule_of(const TrainingConfig& config, std::int64_t trajectories);

/// Groups of `points` rows that training decodes together. On the CPU a key of the configuration: their activations
/// stay in a core's cache. A device is to be given as much as its memory allows at once: a row has, of every hidden
/// layer, the sum, the slope and the layer's own output, with as much again for the cotangents' way back.
std::int64_t tile_of(const models::LdnetArchitecture& architecture, const TrainingConfig& config, std::int64_t points,
                     const autodiff::Backend& backend);

/// What the weights depend on.
std::string training_fingerprint(const Config& config, const Dataset& data);

/// Relative RMSE of the surrogate from s = 0 with the true parameters over members [first, last), all frames, all
/// nodes by area: per channel the root of (mean squared error / mean square), pooled as the root mean square over
/// channels.
double surrogate_error(const models::Surrogate& surrogate, const Dataset& data, std::int64_t first, std::int64_t last);

}  // namespace levda::experiments
