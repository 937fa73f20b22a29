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

  /// Adds the weights after a step to the average.
  void update(const Parameters& parameters);
  /// Replaces the trainable weights by their average, in new storage. Does nothing before the first update.
  void apply(Parameters& parameters) const;

  /// For checkpoints: the averages, "average.NAME", and the number of updates; empty when off.
  Optimiser::State state() const;
  /// Throws Error naming the entry when one is missing or has another shape.
  void restore(const Optimiser::State& state);

 private:
  double decay_;
  std::int64_t updates_ = 0;
  std::vector<std::string> names_;
  std::vector<autodiff::Tensor> average_;
};

/// While this object exists, the parameters are the average. Its destructor restores the previous ones bit for bit.
class AverageInPlace {
 public:
  AverageInPlace(Parameters& parameters, const Ema& average) : parameters_(parameters), before_(parameters) {
    average.apply(parameters);
  }
  ~AverageInPlace() { parameters_ = std::move(before_); }
  AverageInPlace(const AverageInPlace&) = delete;
  AverageInPlace& operator=(const AverageInPlace&) = delete;

 private:
  Parameters& parameters_;
  Parameters before_;  // shares the storage
};

}  // namespace levda::nn
