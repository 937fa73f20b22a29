#pragma once

/// Layers: where their weights are in a list of Parameters, and their formula.

#include <string>
#include <vector>

#include "autodiff/op.h"
#include "autodiff/random.h"
#include "nn/parameters.h"

namespace levda::nn {

/// Normal weights of variance 2 / (in + out), shape (in, out) (Glorot & Bengio, AISTATS 2010).
autodiff::Tensor glorot_normal(std::int64_t in, std::int64_t out, autodiff::Random& random);

/// x W + b; weights Glorot normal, bias zero.
struct Linear {
  std::size_t weight;
  std::size_t bias;

  /// Adds "`name`.weight" (in, out) and "`name`.bias" (out).
  static Linear make(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t out,
                     autodiff::Random& random);
  /// x (.., in) -> (.., out).
  autodiff::Var operator()(autodiff::Inputs p, const autodiff::Var& x) const;
};

/// h = silu(W_0 x + b_0), then h <- h + silu(W_k h + b_k) for each further hidden layer, then a linear output.
struct ResidualMlp {
  std::vector<Linear> hidden;
  Linear output;

  /// `depth` hidden layers of `width`; weights "`name`.0", "`name`.1", ... "`name`.out". Throws Error when depth < 1.
  static ResidualMlp make(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t width,
                          std::int64_t depth, std::int64_t out, autodiff::Random& random);
  /// x (rows, in) -> (rows, out).
  autodiff::Var operator()(autodiff::Inputs p, const autodiff::Var& x) const;
};

/// Frozen random features of coordinates (Tancik et al., arXiv 2006.10739): q = 2 pi x B', [sin q, cos q].
struct FourierFeatures {
  std::size_t frequencies;

  /// Adds "`name`" of shape (features, coordinates) with entries N(0, scale^2), frozen.
  static FourierFeatures make(Parameters& parameters, const std::string& name, std::int64_t features,
                              std::int64_t coordinates, double scale, autodiff::Random& random);
  /// x (rows, coordinates) -> (rows, 2 features).
  autodiff::Var operator()(autodiff::Inputs p, const autodiff::Var& x) const;
};

}  // namespace levda::nn
