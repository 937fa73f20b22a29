#pragma once

/// Layers. A layer holds the positions of its weights in a list of Parameters, and has their formula.

#include <cstdint>
#include <string>
#include <vector>

#include "autodiff/choices.h"
#include "autodiff/op.h"
#include "autodiff/random.h"
#include "nn/parameters.h"

namespace levda::nn {

/// The weight at a position of the list. Throws Error when the list is shorter.
const autodiff::Var& weight_at(autodiff::Inputs p, std::size_t position);

/// Normal weights of variance 2 / (in + out), shape (in, out) (Glorot & Bengio, AISTATS 2010).
autodiff::Tensor glorot_normal(std::int64_t in, std::int64_t out, autodiff::Random& random);

/// x W + b. At first the weights are Glorot normal and the bias is zero.
struct Linear {
  std::size_t weight;
  std::size_t bias;

  /// Adds "`name`.weight" (in, out) and "`name`.bias" (out).
  static Linear make(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t out,
                     autodiff::Random& random);
  /// x (.., in) -> (.., out).
  autodiff::Var operator()(autodiff::Inputs p, const autodiff::Var& x) const;
};

/// The formula of a hidden layer, where h is the layer before it. The first layer has none before it.
enum class Hidden : std::uint8_t {
  residual_silu,  ///< h + silu(W h + b); the first: silu(W x + b)
  relu,           ///< relu(W h + b)
  residual_relu   ///< pairs form blocks, relu(W_2 relu(W_1 h + b_1) + b_2 + h); the first layer, and the last if it has
                  ///< no partner, is relu(W h + b) (He et al., CVPR 2016, as in LD-EnSF, arXiv 2411.19305)
};

}  // namespace levda::nn

template <>
inline constexpr std::array levda::choices<levda::nn::Hidden>{
    levda::Choice{levda::nn::Hidden::residual_silu, "residual_silu"}, levda::Choice{levda::nn::Hidden::relu, "relu"},
    levda::Choice{levda::nn::Hidden::residual_relu, "residual_relu"}};

namespace levda::nn {

/// Hidden layers of one width, then a linear output.
struct Mlp {
  std::vector<Linear> hidden;
  Linear output;
  Hidden layers = Hidden::residual_silu;

  /// `depth` hidden layers of `width`; weights "`name`.0", "`name`.1", ... "`name`.out". Throws Error when depth < 1.
  static Mlp make(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t width,
                  std::int64_t depth, std::int64_t out, autodiff::Random& random,
                  Hidden layers = Hidden::residual_silu);
  /// x (rows, in) -> (rows, out).
  autodiff::Var operator()(autodiff::Inputs p, const autodiff::Var& x) const;
};

/// Random features of coordinates (Tancik et al., arXiv 2006.10739): q = 2 pi x B', [sin q, cos q].
struct FourierFeatures {
  enum class Draw : std::uint8_t { normal, uniform };

  std::size_t frequencies;

  /// Adds "`name`" of shape (features, coordinates) with entries N(0, scale^2), or uniform in [-scale, scale).
  static FourierFeatures make(Parameters& parameters, const std::string& name, std::int64_t features,
                              std::int64_t coordinates, double scale, autodiff::Random& random,
                              Draw draw = Draw::normal, bool trainable = false);
  /// x (rows, coordinates) -> (rows, 2 features).
  autodiff::Var operator()(autodiff::Inputs p, const autodiff::Var& x) const;
};

}  // namespace levda::nn
