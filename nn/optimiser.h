#pragma once

/// What the training loop sees of an optimiser.

#include <map>
#include <span>
#include <string>

#include "nn/parameters.h"

namespace levda::nn {

class Optimiser {
 public:
  virtual ~Optimiser() = default;
  /// One step; gradients in the order of the trainable parameters, whose storage is updated in place.
  /// Throws Error when the gradients do not match the parameters.
  virtual void step(Parameters& parameters, std::span<const autodiff::Tensor> gradients, double rate) = 0;
  /// Steps taken.
  virtual std::int64_t steps() const = 0;

  using State = std::map<std::string, autodiff::Tensor>;
  /// All that the next step depends on besides parameters and steps(), by name; for checkpoints.
  virtual State state() const = 0;
  /// Throws Error naming the entry when one is missing or has another shape.
  virtual void restore(std::int64_t steps, const State& state) = 0;
};

}  // namespace levda::nn
