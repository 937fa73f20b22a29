#pragma once

/// Checkpoints: a training can be stopped and continued.

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "nn/optimiser.h"
#include "nn/safetensors.h"

namespace levda::models {

class Checkpoint {
 public:
  /// configuration: everything that the training depends on; a file with another text is refused.
  Checkpoint(std::filesystem::path path, std::string configuration)
      : path_(std::move(path)), configuration_(std::move(configuration)) {}

  /// Saves parameters, the optimiser's state, the seconds of training so far, and the stage of a training with several
  /// stages. Throws InputError.
  void save(const nn::Parameters& parameters, const nn::Optimiser& optimiser, double seconds, int stage = 0) const;

  const std::string& configuration() const { return configuration_; }

  /// The stage of the checkpoint; 0 without a file. Throws InputError as restore does.
  int stage() const;

  /// Restores parameters and optimiser; returns the seconds of training before, 0 without a file. Throws InputError
  /// when the file belongs to another configuration, or does not fit the parameters or the optimiser, which are those
  /// of the stage.
  double restore(nn::Parameters& parameters, nn::Optimiser& optimiser) const;

 private:
  /// nullopt where there is no file. Throws InputError.
  std::optional<nn::TensorFile> read() const;
  template <typename T>
  T number(const nn::TensorFile& file, const char* key) const;

  std::filesystem::path path_;
  std::string configuration_;
};

}  // namespace levda::models
