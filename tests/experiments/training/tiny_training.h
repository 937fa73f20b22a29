#pragma once

/// A training of three steps, for what is done with its files.

#include "autodiff/error.h"
#include "experiments/data/generate.h"
#include "experiments/training/training.h"

namespace levda::testing {

struct TinyTraining {
  experiments::Config config;
  experiments::Dataset data;

  TinyTraining() : config(experiments::load_preset("tsunami", "small")) {
    for (const char* setting :
         {"checkpoint_seconds=1e9", "data.nodes=4", "data.frames=2", "data.steps_per_frame=1", "data.train=2",
          "data.valid=1", "data.test=1", "surrogate.latent=1", "surrogate.fourier_features=1",
          "surrogate.dynamics_depth=1", "surrogate.dynamics_width=2", "surrogate.decoder_depth=2",
          "surrogate.decoder_width=2", "training.steps=3", "training.trajectories=1", "training.points=1"})
      apply_setting(config, setting);
    data = generate_dataset(config, {});
  }

  models::Surrogate train(experiments::TrainingOptions options) const {
    options.threads = 0;  // no measurement of the machine
    return train_surrogate(config, data, options);
  }
  models::Surrogate train(const std::filesystem::path& checkpoint) const { return train({.checkpoint = checkpoint}); }
  /// Told to stop after so many steps, >= 1; false: it was done before.
  bool stopped(const std::filesystem::path& checkpoint, std::int64_t steps = 1) const {
    try {
      train({.checkpoint = checkpoint, .stop = [&] { return --steps <= 0; }});
      return false;
    } catch (const Interrupted&) {
      return true;
    }
  }
};

}  // namespace levda::testing
