#pragma once

/// Kolmogorov flow, two-dimensional turbulence stirred by a sine: the benchmark of Xiao et al. (LD-EnSF, arXiv
/// 2411.19305), with the flux-limited projection scheme of Kochkov et al. (PNAS 2021, arXiv 2102.01010).

#include <array>
#include <cstdint>
#include <memory>
#include <numbers>
#include <span>
#include <vector>

namespace levda::models {

struct KolmogorovSettings {
  std::int64_t nodes = 64;               ///< n, in x and in y; periodic
  double length = 2 * std::numbers::pi;  ///< of the square; the cell is length / n
  double outer_step = 0.04;              ///< time between possible output states: see steps_per_outer
  std::int64_t burn_in = 100;            ///< outer steps before step 0
  std::int64_t wavenumber = 4;           ///< wavenumber of the forcing sin(2 pi wavenumber y / length) in u
  double drag = 0.1;                     ///< force -drag (u, v)
  double max_speed = 3;                  ///< largest speed of the initial field
  double peak_wavenumber = 4;            ///< peak of the initial field's spectrum
  double courant = 0.5;                  ///< dt = outer_step / ceil(outer_step / (courant h / stable_speed))
  double stable_speed = 5;               ///< largest speed for which the time step is stable
  std::uint64_t seed = 0;                ///< seed of the initial field and of the modes' phases
  std::int64_t modes = 0;                ///< 0, or 3: amplitudes of three modes are parameters too
  double base_reynolds = 1000;           ///< modes: Reynolds number of the burn-in, which all trajectories share
  double mode_amplitude = 0.2;           ///< modes: rms speed of one with parameter 1 over that of the base flow
};

/// One square of water of density 1 and viscosity 1 / Reynolds number. A state is (2, n, n), row-major: channel
/// (velocity u, velocity v), y, x, on the staggered grid of Harlow and Welch. One object serves any number of threads,
/// and is best made once: the constructor computes the initial field and, with modes, the burn-in of the base flow.
class Kolmogorov {
 public:
  static constexpr std::int64_t channels = 2;
  /// Positions of the channels, in cells from the node (i h, j h).
  static constexpr std::array<double, 2> offset_x{1, 0.5};
  static constexpr std::array<double, 2> offset_y{0.5, 1};

  /// Throws Error naming the setting that makes no sense.
  explicit Kolmogorov(const KolmogorovSettings& settings);

  double h() const { return h_; }
  double dt() const { return dt_; }
  std::int64_t steps_per_outer() const { return steps_per_outer_; }
  std::int64_t parameters() const { return 1 + settings_.modes; }
  std::int64_t state_size() const { return channels * settings_.nodes * settings_.nodes; }
  std::int64_t scratch_size() const { return scratch_size_; }
  /// The steps are unstable below this Reynolds number.
  double least_reynolds() const { return 4 * dt_ / (h_ * h_); }

  /// The random field before the burn-in. Per component white noise times
  ///   exp(-(ln k - ln peak - 1/4)^2 / (2/4) - ln k) / k,  k = (kx^2 + ky^2)^(1/2) in units of 2 pi / length,
  /// then three times projected and scaled to max_speed. The noise is drawn in Fourier space, on |kx|, |ky| <= 16
  /// (those below n / 2 are used) and evaluated where u and v are: finer grids have the same flow, up to the
  /// projection.
  void initial_state(std::span<double> state) const;

  /// Takes the gradient from the field that makes it divergence-free: p_{i+1} + p_{i-1} + p_{j+1} + p_{j-1} - 4 p = D
  /// with D = u_i - u_{i-1} + v_j - v_{j-1}, exactly; u_i -= p_{i+1} - p_i, v_j -= p_{j+1} - p_j. T is float or double,
  /// scratch holds scratch_size() values.
  template <typename T>
  void project(std::span<T> state, std::span<T> scratch) const;

  /// One step of dt in place: a forward Euler step of the divergence of fluxes, of the Laplacian (5 points) over the
  /// Reynolds number, forcing and drag; then project. The flux of c = u or v across a face with the velocity U there,
  /// the mean of its two neighbours, is U c' (van Leer), where with C = dt U / h
  ///   U > 0: c' = c_i + (1 - C)/2 (c_{i+1} - c_i) phi(r),      r = (c_i - c_{i-1}) / (c_{i+1} - c_i),
  ///   else:  c' = c_{i+1} - (1 + C)/2 (c_{i+1} - c_i) phi(r),  r = (c_{i+2} - c_{i+1}) / (c_{i+1} - c_i),
  /// phi(r) = 2 r / (1 + r) for r > 0, otherwise 0.
  template <typename T>
  void step(std::span<T> state, double reynolds, std::span<T> scratch) const;

  /// States of one trajectory after given numbers of steps since the burn-in, which do not decrease: (steps, 2, n, n).
  /// parameters = (Reynolds number), also in the burn-in; or with modes (Reynolds number, a1, a2, a3): after the
  /// burn-in at base_reynolds three divergence-free sine waves with wave vectors (1, 0), (0, 1), (1, 1) and phases from
  /// the seed are added, the i-th with an rms speed of a_i x mode_amplitude x that of the base flow. Throws Error.
  void states(std::span<const double> parameters, std::span<const std::int64_t> steps, std::span<float> out) const;

 private:
  template <typename T>
  class Scheme;

  template <typename T>
  const Scheme<T>& scheme() const;
  void check_reynolds(double reynolds) const;
  void draw_initial_state();
  void draw_modes();
  void advance(std::vector<double>& state, double reynolds, std::int64_t steps) const;

  KolmogorovSettings settings_;
  double h_;
  double dt_;
  std::int64_t steps_per_outer_;
  std::int64_t scratch_size_;
  std::shared_ptr<const Scheme<float>> single_;
  std::shared_ptr<const Scheme<double>> double_;
  std::vector<double> force_;  ///< on u, per row
  std::vector<double> initial_;
  std::vector<double> base_;                  ///< modes: after the burn-in
  std::array<std::vector<double>, 3> modes_;  ///< for parameters of 1
};

}  // namespace levda::models
