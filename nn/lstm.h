#pragma once

/// Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).

#include <string>

#include "autodiff/op.h"
#include "autodiff/random.h"
#include "nn/parameters.h"

namespace levda::nn {

/// One layer:
///   [z_i, z_f, z_g, z_o] = x[t] W + h U + b
///   c <- sigmoid(z_f) c + sigmoid(z_i) tanh(z_g)
///   h <- sigmoid(z_o) tanh(c)
/// The gates are in PyTorch's order. W (in, 4 hidden) and U (hidden, 4 hidden) are the transposes of its weight_ih_l0
/// and weight_hh_l0, b (4 hidden) is the sum of its bias_ih_l0 and bias_hh_l0.
struct Lstm {
  std::size_t input_weight;   // W
  std::size_t hidden_weight;  // U
  std::size_t bias;           // b

  /// Adds "`name`.input_weight", "`name`.hidden_weight" and "`name`.bias". Weights are uniform in
  /// +-1 / sqrt(hidden), as in PyTorch. The bias is 0, but 1 for the forget gate, so that the untrained layer remembers
  /// (Jozefowicz et al. 2015). Throws Error when hidden < 1.
  static Lstm make(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t hidden,
                   autodiff::Random& random);

  /// Both (rows, hidden), or both without value: zeros, before the sequence.
  struct State {
    autodiff::Var h;
    autodiff::Var c;
  };
  struct Result {
    autodiff::Vars h;  // one per step
    State last;        // the state after the last step
  };
  /// One step: x (rows, in). Throws Error when h or c alone is given.
  State step(autodiff::Inputs p, const autodiff::Var& x, const State& state) const;
  /// x[t] (rows, in) -> h[t] (rows, hidden).
  Result operator()(autodiff::Inputs p, const autodiff::Vars& x, const State& first = {}) const;
};

}  // namespace levda::nn
