#pragma once

/// Exponential moving average of weights (Morales-Brotons et al., arXiv 2411.18704).

#include <vector>

#include "nn/optimiser.h"

namespace levda::nn {

/// The average of the trainable weights w_1 .. w_n after n updates, corrected for the bias of the start towards zero:
///   a_n = (1 - d) / (1 - d^n) sum_k d^(n - k) w_k                 d = decay
/// It spans about 1 / (1 - d) steps. It is stored in float64, because float32 would lose the small increments.
class Ema {
 public:
  /// decay = 0 turns averaging off: nothing is stored, and apply() changes nothing. Throws Error outside [0, 1).
  Ema(const Parameters& parameters, double decay);

  /// Adds the weights after a step to the average. Throws Error for other parameters than those it was made for.
  void update(const Parameters& parameters);
  /// Replaces the trainable weights by their average, in new storage. Does nothing before the first update.
  void apply(Parameters& parameters) const;

  /// For checkpoints: the averages, "average.NAME", and the number of updates; empty when off.
  Optimiser::State state() const;
  /// Throws Error naming the entry when one is missing or has another shape.
  void restore(const Optimiser::State& state);

 private:
  void check(const Parameters& parameters) const;

  double decay_;
  std::int64_t updates_ = 0;
  std::vector<std::string> names_;
  std::vector<autodiff::Tensor> average_;
};

/// While this object exists, the parameters are the average. Its destructor restores the previous ones bit for bit.
class AverageInPlace {
 public:
  AverageInPlace(Parameters& parameters, const Ema& average) : parameters_(parameters) {
    for (std::size_t i = 0; i < parameters.size(); ++i) before_.push_back(parameters[i]);
    average.apply(parameters);
  }
  ~AverageInPlace() {
    for (std::size_t i = 0; i < before_.size(); ++i) static_cast<autodiff::Tensor&>(parameters_[i]) = before_[i];
  }
  AverageInPlace(const AverageInPlace&) = delete;
  AverageInPlace& operator=(const AverageInPlace&) = delete;

 private:
  Parameters& parameters_;
  std::vector<autodiff::Tensor> before_;  // with their storage, which recordings refer to
};

}  // namespace levda::nn
