#pragma once

/// Shallow-water waves after a point source in a closed basin: the tsunami benchmark of Xiao et al. (LD-EnSF,
/// arXiv 2411.19305), momentum linear, mass with the upwind total depth.

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace levda::models {

struct TsunamiSettings {
  std::int64_t nodes = 64;   ///< n, in x and in y
  double length = 1e6;       ///< m; the cell is length / (n - 1), the walls enclose n cells
  double gravity = 9.81;     ///< m / s^2
  double depth = 100;        ///< m, at rest
  double coriolis = 1e-4;    ///< 1 / s, at y = 0
  double beta = 2e-11;       ///< 1 / (m s): f = coriolis + beta y, y in [-length/2, length/2]
  double courant = 0.1;      ///< dt = courant dx / sqrt(gravity depth)
  double amplitude = 1;      ///< m, of the initial elevation exp(-r^2 / (2 width^2))
  double width = 5e4;        ///< m
  double source_extent = 0;  ///< m, over which the source's place counts, around the middle; 0: length
};

/// One basin. A state is (3, n, n), row-major: channel (velocity u in m/s at east faces, velocity v in m/s at north
/// faces, surface elevation eta in m at nodes), y, x.
class Tsunami {
 public:
  static constexpr std::int64_t channels = 3;
  /// Positions of the channels, in cells from the node.
  static constexpr std::array<double, 3> offset_x{0.5, 0, 0};
  static constexpr std::array<double, 3> offset_y{0, 0.5, 0};

  /// Throws Error naming the setting that makes no sense.
  explicit Tsunami(const TsunamiSettings& settings);

  double dx() const { return dx_; }  ///< m
  double dt() const { return dt_; }  ///< s
  std::int64_t state_size() const { return channels * settings_.nodes * settings_.nodes; }

  /// At rest, with the source at (centre - 1/2) source_extent; centre = (x, y), each in [0, 1].
  void initial_state(std::span<const double> centre, std::span<double> state) const;

  /// One time step in place; scratch holds 3 nodes values.
  ///   u* = u - g dt/dx (eta_{i+1} - eta_i), v* alike;
  ///   with a = dt f, b = a^2 / 4: u' = (u* - b u + a v) / (1 + b), v' = (v* - b v - a u) / (1 + b), 0 at walls;
  ///   eta' = eta - dt/dx (F_i - F_{i-1} + G_j - G_{j-1}), F = u' (eta + H) of the cell that u' comes from, G alike.
  void step(std::span<double> state, std::span<double> scratch) const;

  /// States of one trajectory after given numbers of steps, which do not decrease: (steps, 3, n, n). Throws Error.
  void states(std::span<const double> centre, std::span<const std::int64_t> steps, std::span<float> out) const;

 private:
  TsunamiSettings settings_;
  double dx_;
  double dt_;
};

}  // namespace levda::models
