#pragma once

/// A trained LDNet with everything that makes its numbers physical, and everything that assimilation needs to know
/// about it: the contents of a weights file.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "models/ldnet.h"

namespace levda::models {

/// A regular grid in physical units. Channel c of cell (i, j) lies at (x0 + (i + offset_x[c]) dx, y0 + (j +
/// offset_y[c]) dy); one decoder row, at the cell's node, serves all its channels.
struct Grid {
  std::int64_t nx = 0;
  std::int64_t ny = 0;
  double x0 = 0;
  double y0 = 0;
  double dx = 1;
  double dy = 1;
  std::vector<double> offset_x;  ///< per channel, in cells
  std::vector<double> offset_y;

  std::int64_t cells() const { return nx * ny; }
  /// Network coordinate in [-1, 1] of a node position in physical units.
  double normal_x(double x) const { return 2 * (x - x0) / (dx * static_cast<double>(nx - 1)) - 1; }
  double normal_y(double y) const { return 2 * (y - y0) / (dy * static_cast<double>(ny - 1)) - 1; }
};

/// What the data set says of itself; travels with the weights.
struct Description {
  std::string case_name;
  std::vector<std::string> parameter_names;
  std::vector<std::string> parameter_units;
  std::vector<double> parameter_min;  ///< the prior range, physical units
  std::vector<double> parameter_max;
  std::vector<std::string> channel_names;
  std::vector<std::string> channel_units;
  Grid grid;
  std::int64_t frames = 0;
  double first_time = 0;      ///< s, of frame 0, after the initial condition
  double frame_interval = 0;  ///< s; one latent step

  std::int64_t parameters() const { return static_cast<std::int64_t>(parameter_names.size()); }
  std::int64_t channels() const { return static_cast<std::int64_t>(channel_names.size()); }
};

/// Frame j (0-based) of the data set corresponds to the latent state s_{j+1}; s_0 = 0 is never decoded.
struct Surrogate {
  Description about;
  Ldnet net;
  std::vector<double> field_mean;  ///< per channel, physical units
  std::vector<double> field_std;
  autodiff::Tensor training_parameters;  ///< (members, p) float64, physical units: with the latents, the prior
  autodiff::Tensor training_latents;     ///< (members, frames, d) float32
  autodiff::Tensor error_variance;       ///< (frames, c) float64: mean squared residual on validation trajectories, in
                                         ///< units of field_std squared
  std::map<std::string, std::string> provenance;  ///< command, seed, version, time, machine, figures

  /// Parameters to [-1, 1] and back: (rows, p) row-major.
  std::vector<double> normal_parameters(std::span<const double> physical) const;
  std::vector<double> physical_parameters(std::span<const double> normal) const;
};

/// Latents of trajectories from s_0 = 0: u (members, p) in [-1, 1] -> (members, frames, d) float32; in parallel.
autodiff::Tensor latent_trajectories(const Ldnet& net, std::span<const double> u, std::int64_t frames);

/// The nodes of a grid, every `stride`-th in x and y, as network coordinates (points, 2) float32, y outermost.
autodiff::Tensor grid_points(const Grid& grid, std::int64_t stride);

/// Normalised fields of states at points: s (states, d), x (points, 2) -> (states, points, c) float32; in parallel.
autodiff::Tensor decode_states(const Ldnet& net, const autodiff::Tensor& s, const autodiff::Tensor& x);

/// Throws InputError naming the file and the field.
void save_surrogate(const std::filesystem::path& path, const Surrogate& surrogate);
Surrogate load_surrogate(const std::filesystem::path& path);

}  // namespace levda::models
