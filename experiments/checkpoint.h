#pragma once

/// Checkpoints: a training run that can be left and taken up again.

#include <filesystem>
#include <string>
#include <utility>

#include "nn/optimiser.h"

namespace levda::experiments {

class Checkpoint {
 public:
  /// configuration: what the run depends on; a file of another one is refused.
  Checkpoint(std::filesystem::path path, std::string configuration)
      : path_(std::move(path)), configuration_(std::move(configuration)) {}

  /// Trainable parameters, the optimiser's state, and the seconds of training so far. Throws InputError.
  void save(const nn::Parameters& parameters, const nn::Optimiser& optimiser, double seconds) const;

  /// Seconds of training before; 0 when there is nothing to go on from. Throws InputError when the file belongs to
  /// another configuration, or does not fit the parameters or the optimiser.
  double restore(nn::Parameters& parameters, nn::Optimiser& optimiser) const;

 private:
  std::filesystem::path path_;
  std::string configuration_;
};

}  // namespace levda::experiments
