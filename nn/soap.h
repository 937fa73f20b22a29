#pragma once

/// SOAP (Vyas et al., "SOAP: improving and stabilizing Shampoo using Adam", arXiv 2409.11321): Adam in the slowly
/// turning eigenbasis of Shampoo's two covariances of a matrix's gradient.

#include <vector>

#include "nn/optimiser.h"

namespace levda::nn {

/// For a weight W (m, n) with gradient G:
///   L <- b L + (1 - b) G G',  R <- b R + (1 - b) G' G                b = beta2
///   Q_L, Q_R: orthonormal bases that follow their eigenvectors, one power iteration and a QR every `period` steps
///   M <- beta1 M + (1 - beta1) G,  V <- beta2 V + (1 - beta2) (Q_L' G Q_R)^2
///   W <- W - rate Q_L [ Q_L' M Q_R / (sqrt(V) + epsilon) ] Q_R'      with Adam's bias corrections
/// Parameters that are not matrices are updated by Adam. The first step only initialises L, R and V. In a small network
/// a step takes a few per cent more time than one of Adam and makes several times more progress, because the weights
/// are far from independent.
class Soap final : public Optimiser {
 public:
  struct Settings {
    double beta1 = 0.95;
    double beta2 = 0.95;
    double epsilon = 1e-8;
    std::int64_t period = 10;
    double weight_decay = 0;  ///< each step also subtracts rate x weight_decay x parameter; 0: off
  };
  /// Throws Error unless the betas are in [0, 1), epsilon > 0 and period >= 1.
  Soap(const Parameters& parameters, const Settings& settings);
  explicit Soap(const Parameters& parameters) : Soap(parameters, Settings()) {}

  const char* name() const override { return "soap"; }
  void begin_step(double rate) override;
  void update(Parameters& parameters, std::span<const autodiff::Tensor> gradients) override;
  std::int64_t steps() const override { return steps_; }
  State state() const override;
  void restore(std::int64_t steps, const State& state) override;

 private:
  /// The memory for one trainable parameter.
  struct Memory {
    std::string name;
    bool matrix;
    OwnTensor momentum;      // M
    OwnTensor second;        // V
    autodiff::Tensor left;   // L (m, m); this and the rest for matrices only
    autodiff::Tensor right;  // R (n, n)
    autodiff::Tensor left_basis;
    autodiff::Tensor right_basis;

    /// f(name of a tensor, the tensor).
    template <typename Self, typename F>
    static void for_each(Self& self, F&& f);
  };
  void update_matrix(Memory& memory, const autodiff::Tensor& gradient, autodiff::Tensor& weight) const;

  Settings settings_;
  std::int64_t steps_ = 0;
  double rate_ = 0;
  std::vector<Memory> memories_;
};

}  // namespace levda::nn
