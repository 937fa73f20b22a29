#pragma once

/// A trained LDNet with everything that makes its numbers physical, and everything that assimilation needs to know
/// about it: the contents of a weights file.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "models/grid.h"
#include "models/ldnet.h"
#include "models/row_blocks.h"

namespace levda::models {

/// The network's values are (physical value - offset) / scale, per channel.
struct Scaling {
  std::vector<double> offset;
  std::vector<double> scale;
};

/// Frame j (0-based) of the data set corresponds to the latent state s_{j+1}; s_0 = 0 is never decoded.
struct Surrogate {
  Description about;
  Ldnet net;
  std::vector<double> field_mean;  ///< mean of the training data, per channel, physical units
  std::vector<double> field_std;
  autodiff::Tensor training_parameters;  ///< (members, p) float64, physical units: with the latents, the prior; where
                                         ///< they change in time (members, frames, p), frame k for the step to k
  autodiff::Tensor training_latents;     ///< (members, frames, d) float32
  autodiff::Tensor error_variance;       ///< (frames, c) float64: mean squared residual on validation trajectories, in
                                         ///< units of field_std squared
  autodiff::Tensor between_variance;     ///< (frames - 1, c) float64: that at times between frames and places
                                         ///< between nodes
  std::map<std::string, std::string> provenance;  ///< command, seed, version, time, machine, figures
  std::optional<Scaling> scaling = std::nullopt;  ///< of the network's output; nullopt: z-scores of the training data

  double offset(std::size_t channel) const { return scaling ? scaling->offset[channel] : field_mean[channel]; }
  double scale(std::size_t channel) const { return scaling ? scaling->scale[channel] : field_std[channel]; }
  /// Parameters to [-1, 1] and back: (rows, p) row-major.
  std::vector<double> normal_parameters(std::span<const double> physical) const;
  std::vector<double> physical_parameters(std::span<const double> normal) const;
};

/// Latents of trajectories from s_0 = 0: u (members, p) in [-1, 1] -> (members, frames, d) float32. u may change in
/// time: (members, frames, p), of which frame k is in force during the step that ends there. Computed where the
/// network's weights lie, in blocks (for_each_row_block; `most` rows); the result is on the CPU.
autodiff::Tensor latent_trajectories(const Ldnet& net, std::span<const double> u, std::int64_t members,
                                     std::int64_t frames, std::int64_t most = rows_at_once);

/// The network's fields of states at points: s (states, d), x (points, 2) -> (states, points, c) float32. They are
/// computed like latent_trajectories; the result is on the CPU.
autodiff::Tensor decode_states(const Ldnet& net, const autodiff::Tensor& s, const autodiff::Tensor& x,
                               std::int64_t most = rows_at_once);

/// Fields of the trajectory with these parameters, (p) or (frames, p) in physical units, at the nodes of the grid:
/// (frames, c, ny, nx), physical units.
std::vector<float> predict(const Surrogate& surrogate, std::span<const double> parameters);

/// Throws InputError naming the file and the field.
void save_surrogate(const std::filesystem::path& path, const Surrogate& surrogate);
Surrogate load_surrogate(const std::filesystem::path& path);

/// Everything that a surrogate computes with, as bytes: its file without the provenance, which says when and where it
/// was trained.
std::string content(const Surrogate& surrogate);

}  // namespace levda::models
