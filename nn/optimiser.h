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
  virtual const char* name() const = 0;
  /// One step; gradients in the order of the trainable parameters, whose storage is updated in place.
  /// Throws Error when the gradients do not match the parameters.
  void step(Parameters& parameters, std::span<const autodiff::Tensor> gradients, double rate) {
    check_gradients(parameters, gradients);
    begin_step(rate);
    update(parameters, gradients);
  }
  /// The step's part on the host: counts it, and puts its rate where update finds it.
  virtual void begin_step(double rate) = 0;
  /// The rest. Errors as for step.
  virtual void update(Parameters& parameters, std::span<const autodiff::Tensor> gradients) = 0;
  /// Whether update() may be recorded (Backend::record).
  virtual bool recordable() const { return false; }
  /// Steps taken.
  virtual std::int64_t steps() const = 0;

  using State = std::map<std::string, autodiff::Tensor>;
  /// All that the next step depends on besides parameters and steps(), by name; for checkpoints.
  virtual State state() const = 0;
  /// Throws Error naming the entry when one is missing or has another shape.
  virtual void restore(std::int64_t steps, const State& state) = 0;

 protected:
  /// Throws Error unless there is one gradient of the same shape and type per trainable parameter.
  void check_gradients(const Parameters& parameters, std::span<const autodiff::Tensor> gradients) const;
};

/// For optimisers: a copy of the entry of a state, where `like` is. Throws Error when it is missing or does not have
/// the shape and type of `like`.
autodiff::Tensor restored(const char* optimiser, const Optimiser::State& state, const std::string& name,
                          const autodiff::Tensor& like);

}  // namespace levda::nn
