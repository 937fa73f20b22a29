#pragma once

/// Adam, AdamW and gradient clipping.

#include <span>
#include <vector>

#include "nn/optimiser.h"

namespace levda::nn {

/// Adam (Kingma & Ba, arXiv 1412.6980); AdamW (Loshchilov & Hutter, arXiv 1711.05101) with a weight decay. Epsilon is
/// added to the root of the corrected second moment, and the decay comes before the step, as in PyTorch.
/// Its state has two moments per trainable parameter, "first.NAME" and "second.NAME".
class Adam final : public Optimiser {
 public:
  struct Settings {
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0;  ///< each step also subtracts rate x weight_decay x parameter; 0: off
  };
  /// Throws Error unless the betas are in [0, 1) and epsilon > 0.
  Adam(const Parameters& parameters, const Settings& settings);
  explicit Adam(const Parameters& parameters) : Adam(parameters, Settings()) {}

  const char* name() const override { return "adam"; }
  void begin_step(double rate) override;
  void update(Parameters& parameters, std::span<const autodiff::Tensor> gradients) override;
  bool recordable() const override { return true; }
  std::int64_t steps() const override { return steps_; }
  State state() const override;
  void restore(std::int64_t steps, const State& state) override;

 private:
  Settings settings_;
  std::int64_t steps_ = 0;
  std::vector<std::string> names_;
  std::vector<OwnTensor> first_;
  std::vector<OwnTensor> second_;
  OwnTensor now_ = autodiff::Tensor();  // see Backend::adam
};

/// Root of the sum of all squares: a float64 scalar on the device of the gradients. There must be at least one
/// gradient.
autodiff::Tensor global_norm(std::span<const autodiff::Tensor> gradients);

/// Scales the gradients so that their global norm is at most `limit`; returns the norm before that.
autodiff::Tensor clip_global_norm(std::vector<autodiff::Tensor>& gradients, double limit);

}  // namespace levda::nn
