#pragma once

/// The interface of optimisers for the training loop.

#include <map>
#include <span>
#include <string>

#include "nn/parameters.h"

namespace levda::nn {

/// Updates the trainable parameters from gradients.
class Optimiser {
 public:
  virtual ~Optimiser() = default;
  /// Name for messages and checkpoints.
  virtual const char* name() const = 0;
  /// One step. The gradients are in the order of the trainable parameters, which are updated in place.
  /// Throws Error when the gradients do not match the parameters.
  void step(Parameters& parameters, std::span<const autodiff::Tensor> gradients, double rate) {
    check_gradients(parameters, gradients);
    begin_step(rate);
    update(parameters, gradients);
  }
  /// The part of a step on the host: counts the step and stores its rate for update().
  virtual void begin_step(double rate) = 0;
  /// The part of a step on the device. Throws Error as step() does.
  virtual void update(Parameters& parameters, std::span<const autodiff::Tensor> gradients) = 0;
  /// Whether update() may be recorded (Backend::record). Default: no.
  virtual bool recordable() const { return false; }
  /// Steps taken.
  virtual std::int64_t steps() const = 0;

  using State = std::map<std::string, autodiff::Tensor>;
  /// Everything that the next step depends on besides parameters and steps(), by name, for checkpoints. Later steps do
  /// not change it.
  virtual State state() const = 0;
  /// Restores steps() and state(). Throws Error that names the entry when one is missing or has another shape.
  virtual void restore(std::int64_t steps, const State& state) = 0;

 protected:
  /// Throws Error unless there is one gradient per trainable parameter, of the same shape and type and on the same
  /// device. own: likewise for tensors of the optimiser; null: none.
  void check_gradients(const Parameters& parameters, std::span<const autodiff::Tensor> gradients,
                       const std::vector<autodiff::Tensor>* own = nullptr) const;
};

/// For optimisers: throws Error unless the betas are in [0, 1) and epsilon > 0.
void check_averages(const char* optimiser, double beta1, double beta2, double epsilon);

/// For optimisers: a copy of an entry of a state on the device of `like`. Throws Error when it is missing or does not
/// have the shape and type of `like`.
autodiff::Tensor restored(const char* optimiser, const Optimiser::State& state, const std::string& name,
                          const autodiff::Tensor& like);

}  // namespace levda::nn
