#pragma once

/// Checkpoints: a training run that can be left and taken up again.

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "nn/optimiser.h"
#include "nn/safetensors.h"

namespace levda::models {

class Checkpoint {
 public:
  /// configuration: what the run depends on; a file of another one is refused.
  Checkpoint(std::filesystem::path path, std::string configuration)
      : path_(std::move(path)), configuration_(std::move(configuration)) {}

  /// Parameters, the optimiser's state, the seconds of training so far, and the stage where a training has several.
  /// Throws InputError.
  void save(const nn::Parameters& parameters, const nn::Optimiser& optimiser, double seconds, int stage = 0) const;

  const std::string& configuration() const { return configuration_; }

  /// The stage that was left; 0 when there is nothing to go on from. Throws InputError as restore does.
  int stage() const;

  /// Seconds of training before; 0 when there is nothing to go on from. Throws InputError when the file belongs to
  /// another configuration, or does not fit the parameters or the optimiser, which are those of the stage.
  double restore(nn::Parameters& parameters, nn::Optimiser& optimiser) const;

 private:
  /// Nothing where there is no file. Throws InputError.
  std::optional<nn::TensorFile> read() const;
  template <typename T>
  T number(const nn::TensorFile& file, const char* key) const;

  std::filesystem::path path_;
  std::string configuration_;
};

}  // namespace levda::models
