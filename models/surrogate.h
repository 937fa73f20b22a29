#pragma once

/// A trained LDNet with everything that makes its numbers physical, and everything that assimilation needs to know
/// about it: the contents of a weights file.

#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "models/geometry.h"
#include "models/ldnet.h"
#include "models/pieces.h"

namespace levda::models {

/// Where fields have values, in physical units: a regular grid of nodes or a list of points. Channel c of cell (i, j)
/// of a grid lies at (x0 + (i + offset_x[c]) dx, y0 + (j + offset_y[c]) dy); one decoder row, at the cell's node,
/// serves all its channels. A list is nx cells in one row, ny = 1, without offsets.
struct Grid {
  std::int64_t nx = 0;
  std::int64_t ny = 0;
  double x0 = 0;
  double y0 = 0;
  double dx = 1;
  double dy = 1;
  std::vector<double> offset_x;  ///< per channel, in cells
  std::vector<double> offset_y;
  std::vector<double> x;  ///< (nx) of a list of points, else empty; x0 is the least, dx = extent / (nx - 1), y alike
  std::vector<double> y;
  Geometry geometry = Geometry::plane;  ///< of a list of points plane

  /// A list of points. Throws Error: fewer than two, x and y of unequal length, or all at one place.
  static Grid of_points(std::vector<double> x, std::vector<double> y, std::int64_t channels);

  bool listed() const { return !x.empty(); }
  std::int64_t cells() const { return nx * ny; }
  double node_x(std::int64_t i) const { return listed() ? x[i] : x0 + static_cast<double>(i) * dx; }
  /// Cell i of row j.
  double node_y(std::int64_t i, std::int64_t j) const { return listed() ? y[i] : y0 + static_cast<double>(j) * dy; }
  double width() const { return dx * static_cast<double>(nx - 1); }
  double height() const { return dy * static_cast<double>((listed() ? nx : ny) - 1); }
  bool periodic_x() const { return geometry != Geometry::plane; }
  bool periodic_y() const { return geometry == Geometry::torus; }
  /// Network coordinate in [-1, 1] of a node position in physical units; 0 along an axis without extent. Where the axis
  /// is periodic, -1 and 1 are one place; latitudes are divided by 90.
  double normal_x(double place) const { return normal(place, x0, periodic_x() ? period_x() : width()); }
  double normal_y(double place) const {
    if (geometry == Geometry::sphere) return place / 90;
    return normal(place, y0, periodic_y() ? period_y() : height());
  }
  /// Whether a place lies in the domain or at most one cell (of a list: a hundredth of its extent) outside; along a
  /// periodic axis, at most one period.
  bool contains_x(double place) const {
    return periodic_x() ? std::abs(normal_x(place)) <= 3 : contains(place, x0, dx, width());
  }
  bool contains_y(double place) const {
    if (geometry == Geometry::sphere) return std::abs(place) <= 90;
    return periodic_y() ? std::abs(normal_y(place)) <= 3 : contains(place, y0, dy, height());
  }
  /// What of a sphere's coordinates cannot be: empty where all is well.
  std::string fault() const;
  /// Area of cell i of row j: on a sphere the cosine of the latitude, elsewhere 1.
  double area(std::int64_t i, std::int64_t j) const;

 private:
  double period_x() const { return dx * static_cast<double>(nx); }
  double period_y() const { return dy * static_cast<double>(ny); }
  static double normal(double place, double first, double extent) {
    return extent > 0 ? 2 * (place - first) / extent - 1 : 0;
  }
  bool contains(double place, double first, double step, double extent) const {
    const double margin = listed() ? 0.01 * extent : step;
    return extent == 0 || (place >= first - margin && place <= first + extent + margin);
  }
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
  double first_time = 0;      ///< of frame 0, after the initial condition
  double frame_interval = 0;  ///< one latent step
  std::string time_unit = "s";
  std::string place_unit = "m";

  std::int64_t parameters() const { return static_cast<std::int64_t>(parameter_names.size()); }
  std::int64_t channels() const { return static_cast<std::int64_t>(channel_names.size()); }
};

/// Physical values as the network has them: (value - offset) / scale, per channel.
struct Scaling {
  std::vector<double> offset;
  std::vector<double> scale;
};

/// Frame j (0-based) of the data set corresponds to the latent state s_{j+1}; s_0 = 0 is never decoded.
struct Surrogate {
  Description about;
  Ldnet net;
  std::vector<double> field_mean;  ///< of the training data, per channel, physical units
  std::vector<double> field_std;
  autodiff::Tensor training_parameters;  ///< (members, p) float64, physical units: with the latents, the prior; where
                                         ///< they change in time (members, frames, p), frame k's ending its step at k
  autodiff::Tensor training_latents;     ///< (members, frames, d) float32
  autodiff::Tensor error_variance;       ///< (frames, c) float64: mean squared residual on validation trajectories, in
                                         ///< units of field_std squared
  autodiff::Tensor between_variance;     ///< (frames - 1, c) float64: the same at times between frames and places
                                         ///< between nodes
  std::map<std::string, std::string> provenance;  ///< command, seed, version, time, machine, figures
  std::optional<Scaling> scaling = std::nullopt;  ///< of the network's output; none: z-scores of the training data

  double offset(std::size_t channel) const { return scaling ? scaling->offset[channel] : field_mean[channel]; }
  double scale(std::size_t channel) const { return scaling ? scaling->scale[channel] : field_std[channel]; }
  /// Parameters to [-1, 1] and back: (rows, p) row-major.
  std::vector<double> normal_parameters(std::span<const double> physical) const;
  std::vector<double> physical_parameters(std::span<const double> normal) const;
};

/// Latents of trajectories from s_0 = 0: u (members, p) in [-1, 1] -> (members, frames, d) float32. u may change in
/// time: (members, frames, p), of which frame k is in force during the step that ends there. Computed where the
/// network's weights lie, in pieces (for_each_piece; `most` rows); the result is on the CPU.
autodiff::Tensor latent_trajectories(const Ldnet& net, std::span<const double> u, std::int64_t members,
                                     std::int64_t frames, std::int64_t most = rows_at_once);

/// The nodes of a grid, every `stride`-th in x and y (of a list, every one), as network coordinates (points, 2)
/// float32, y outermost.
autodiff::Tensor grid_points(const Grid& grid, std::int64_t stride);

/// Areas of the cells of these nodes, in their order.
std::vector<double> grid_areas(const Grid& grid, std::int64_t stride);

/// Fields as the network has them, of states at points: s (states, d), x (points, 2) -> (states, points, c) float32.
/// Computed and returned as latent_trajectories is.
autodiff::Tensor decode_states(const Ldnet& net, const autodiff::Tensor& s, const autodiff::Tensor& x,
                               std::int64_t most = rows_at_once);

/// Throws InputError naming the file and the field.
void save_surrogate(const std::filesystem::path& path, const Surrogate& surrogate);
Surrogate load_surrogate(const std::filesystem::path& path);

/// All that a surrogate computes with, as bytes: what its file holds without the provenance, which says when and where
/// it was trained.
std::string content(const Surrogate& surrogate);

}  // namespace levda::models
