#pragma once

/// Exponential moving average of weights (Morales-Brotons et al., arXiv 2411.18704).

#include <vector>

#include "nn/optimiser.h"

namespace levda::nn {

/// Of the trainable weights w_1 .. w_n after n updates, without the start's bias towards zero:
///   a_n = (1 - d) / (1 - d^n) sum_k d^(n - k) w_k                 d = decay
/// It spans about 1 / (1 - d) steps. Held in float64: in float32 the small increments would be lost.
class Ema {
 public:
  /// decay = 0: off, the average is the weights themselves and nothing is held or changed. Throws Error outside [0, 1).
  Ema(const Parameters& parameters, double decay);

  /// Takes in the weights after a step.
  void update(const Parameters& parameters);
  /// Puts the average in the place of the trainable weights, whose storage stays as it was. Nothing before the first
  /// update.
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

/// While it lives the parameters are the average; then those before, bit for bit.
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
