#pragma once

/// Latent dynamics networks (Regazzoni et al., Nature Communications 15, 1834, 2024).
///
/// Latent state s in R^d, parameters u in R^p, coordinates x, field values y in R^c:
///   dynamics  s_{k+1} = s_k + dt F(u, s_k)
///   decoder   y(t_k, x) = D(x, s_k)
/// All are normalised numbers here; physical units are in surrogate.h.

#include <optional>

#include "autodiff/op.h"
#include "models/grid.h"
#include "nn/layers.h"

namespace levda::models {

struct LdnetArchitecture {
  std::int64_t latent = 10;
  std::int64_t parameters = 2;
  std::int64_t channels = 3;
  std::int64_t fourier_features = 16;
  double fourier_scale = 0.5;
  double latent_dt = 0.08;
  std::int64_t dynamics_depth = 4;
  std::int64_t dynamics_width = 64;
  std::int64_t decoder_depth = 7;
  std::int64_t decoder_width = 96;
  Geometry geometry = Geometry::plane;  ///< the decoder is periodic where this surface is
  /// The published networks (LD-EnSF) have relu and residual_relu.
  nn::Hidden dynamics_layers = nn::Hidden::residual_silu;
  nn::Hidden decoder_layers = nn::Hidden::residual_silu;
  nn::FourierFeatures::Draw fourier_init = nn::FourierFeatures::Draw::normal;  ///< uniform: in [-scale, scale], not on
                                                                               ///< a torus
  bool fourier_trainable = false;

  /// Number of the decoder's inputs for a place: sines and cosines, or without Fourier features the coordinates; on a
  /// torus or a sphere the coordinates of the place in space.
  std::int64_t features() const {
    if (fourier_features > 0) return 2 * fourier_features;
    return geometry == Geometry::plane ? 2 : geometry == Geometry::torus ? 4 : 3;
  }

  friend bool operator==(const LdnetArchitecture&, const LdnetArchitecture&) = default;
};

class Ldnet {
 public:
  /// Random weights from the seed.
  Ldnet(const LdnetArchitecture& architecture, std::uint64_t seed);

  const LdnetArchitecture& architecture() const { return architecture_; }
  const nn::Parameters& parameters() const { return parameters_; }
  nn::Parameters& parameters() { return parameters_; }

  /// F(u, s): u (rows, p), s (rows, d) -> (rows, d). `w` is the list of weights, from Parameters::on or constants.
  autodiff::Var rate(autodiff::Inputs w, const autodiff::Var& u, const autodiff::Var& s) const;
  /// One Euler step of `fraction` of the latent time step.
  autodiff::Var step(autodiff::Inputs w, const autodiff::Var& u, const autodiff::Var& s, double fraction = 1) const;
  /// s_0, s_1, .. s_steps, each (rows, d).
  autodiff::Vars rollout(autodiff::Inputs w, const autodiff::Var& u, const autodiff::Var& s0, std::int64_t steps) const;
  /// With parameters that change in time: one u per step.
  autodiff::Vars rollout(autodiff::Inputs w, const autodiff::Vars& u, const autodiff::Var& s0) const;
  /// The states of rollout without the first, stacked: (steps, rows, d). A device that prefers large batches runs one
  /// operation, whose gradients of weights are sums in another order (rollout.h). Throws Error when there are no steps.
  autodiff::Var trajectory(autodiff::Inputs w, const autodiff::Vars& u, const autodiff::Var& s0) const;
  /// The decoder's inputs for coordinates x (rows, 2) in [-1, 1]: (rows, features()). They are Fourier features of x,
  /// on a torus with wave vectors of its period, on a sphere of the place in space; or without them the places.
  autodiff::Var features(autodiff::Inputs w, const autodiff::Var& x) const;
  /// q = features(x) (rows, features()), s (rows, d) -> (rows, c).
  autodiff::Var decode(autodiff::Inputs w, const autodiff::Var& q, const autodiff::Var& s) const;
  /// Every state at every point: q (points, features()), s (states, d) -> (states, points, c).
  autodiff::Var decode_all(autodiff::Inputs w, const autodiff::Var& q, const autodiff::Var& s) const;

  /// Each state at its points: s (groups, d), x (groups, points, 2) -> (groups, points, c).
  autodiff::Var decode_groups(autodiff::Inputs w, const autodiff::Var& s, const autodiff::Var& x) const;

  /// Weights of the decoder's matrices: 6 of them per row is the floating-point work of a training step.
  std::int64_t decoder_weights() const;

 private:
  LdnetArchitecture architecture_;
  nn::Parameters parameters_;
  nn::Mlp dynamics_;
  std::optional<nn::FourierFeatures> fourier_;
  nn::Mlp decoder_;
};

/// Mean squared error of decoded states: s (groups, d), x (groups, points, 2), y (groups, points, c), in tiles of
/// `tile` groups (tiled_sum: parallel, bounded memory); on the CPU a group of more than 256 points counts as several,
/// so that a tile's activations stay in a core's cache. The result is a scalar; its tape refers to `net`. A mask has
/// the shape of y, 1 where a value counts and 0 elsewhere; the mean is over the values that count, 0 without any.
autodiff::Var decoding_error(const Ldnet& net, const autodiff::Vars& w, const autodiff::Var& s, const autodiff::Var& x,
                             const autodiff::Var& y, std::int64_t tile,
                             const std::optional<autodiff::Tensor>& mask = std::nullopt);

}  // namespace levda::models
