#pragma once

/// Shallow water on the rotating sphere, driven by a heating that follows the sun: the atmosphere benchmark of Xiao et
/// al. (LD-EnSF, arXiv 2411.19305), after the PlanetSWE set of The Well.

#include <cstdint>
#include <span>
#include <vector>

#include "models/spherical_harmonics.h"

namespace levda::models {

struct AtmosphereSettings {
  std::int64_t nodes = 64;     ///< latitudes, a multiple of 8, of the output and of the solver's Gaussian grid
  double dt = 600;             ///< s
  double radius = 6.37122e6;   ///< m
  double rotation = 7.292e-5;  ///< 1 / s, Omega
  double gravity = 9.80616;    ///< m / s^2
  /// m; the depth of the fluid is depth + h - z. The published generator adds H = 10 km twice, in the linear and in the
  /// quadratic term, so the default is 2 H. The implicit term holds all of it.
  double depth = 2e4;
  /// m^2 / s; nu = hyperdiffusion radius^2, in m^4 / s, is the factor of -laplacian^2. The published value, at every
  /// truncation: degree 42 then decays in 35 hours, degree 170 in 8 minutes.
  double hyperdiffusion = 1e5 / (32 * 32);
  /// Hours before time 0 of the trajectories. The first 195 of them remove the fast waves: ten times, h is replaced by
  /// the h that balances the wind. 0 leaves the initial state as it is.
  double start_up = 252;
  /// Hours on the clock that begins with the start-up; the heating acts after this time, 0 as published. With a value
  /// of start_up or more, the start-up is the same for all parameters and runs once, in the constructor.
  double heating_from = 0;
  // The initial state unless one is given:
  double jet = 40;         ///< m / s: u = jet sin^2(2 latitude)
  double eddies = 12;      ///< m / s, root-mean-square over the sphere: random vorticity of degrees 4 to 20
  std::uint64_t seed = 0;  ///< seed of the eddies
  double mountains = 1;    ///< factor of the five mountains, of 1.5 to 2 km
};

/// An initial state on a grid. Total depth is depth + h - orography, so h is the departure from
/// AtmosphereSettings::depth and its mean counts; a start-up replaces it. Values are row-major, (latitude, longitude).
struct AtmosphereInitial {
  std::vector<double> latitude;   ///< degrees, ascending, at least 4 in [-90, 90]
  std::vector<double> longitude;  ///< degrees, ascending, at least 4 within less than 360
  std::vector<double> u;          ///< m / s, eastward
  std::vector<double> v;          ///< m / s, northward
  std::vector<double> h;          ///< m
  std::vector<double> orography;  ///< m, z
};

/// Vorticity zeta, divergence delta and h as spherical harmonics of truncation (2 nodes - 1) / 3:
///   zeta_t  = -div((zeta + f) u)                                  - nu k1^2 zeta
///   delta_t = curl((zeta + f) u) - lap(|u|^2 / 2) - g lap h       - nu k1^2 delta
///   h_t     = -depth delta - div((h - z) u) + F                   - nu k^2 h
/// with k = l (l + 1) / radius^2, k1 = (l (l + 1) - 1) / radius^2 (the Laplacian of a vector) and heating, in m per
/// hour,
///   F = amplitude cos(longitude - 2 pi t / 24) exp(-(latitude - 0.4 sin(2 pi t / 1008))^2 / width^2), t in hours,
/// on a clock that starts with the start-up. Time steps are ARS(2,2,2) (Ascher, Ruuth & Spiteri 1997; RK222): gravity
/// waves and hyperdiffusion implicit.
class Atmosphere {
 public:
  static constexpr std::int64_t channels = 3;

  /// From the built-in initial state. Throws Error naming the setting that makes no sense.
  explicit Atmosphere(const AtmosphereSettings& settings);
  /// From a given initial state. It is interpolated to the Gaussian grid by cubics through the four nearest longitudes
  /// and latitudes, also over the poles, and truncated. Throws Error also when its parts do not fit together.
  Atmosphere(const AtmosphereSettings& settings, const AtmosphereInitial& initial);

  const AtmosphereSettings& settings() const { return settings_; }
  double dt() const { return settings_.dt; }  ///< s
  std::int64_t state_size() const { return channels * settings_.nodes * 2 * settings_.nodes; }
  /// Degrees of the output's row j and column i.
  double latitude(std::int64_t j) const;
  double longitude(std::int64_t i) const;

  /// States of one trajectory after given numbers of steps, which do not decrease, from the end of the start-up:
  /// (steps, 3, nodes, 2 nodes), u and v in m/s and h in m, on latitudes -90 + (j + 1/2) 180 / nodes and longitudes
  /// i 180 / nodes degrees, exactly as the harmonics have them. parameters = amplitude (m per hour) and width
  /// (radians). May be called by many threads at once. Throws Error.
  void states(std::span<const double> parameters, std::span<const std::int64_t> steps, std::span<float> out) const;

  // The parts of `states`.

  /// (zeta, delta, h), each of harmonics().size() coefficients.
  using State = Coefficients;
  class Scratch {
    friend class Atmosphere;
    SphericalHarmonics::Workspace work;
    Coefficients in, out, tendency_first, tendency_second, right, stage;
    std::vector<double> profile;
  };
  const SphericalHarmonics& harmonics() const { return harmonics_; }
  /// The state at the beginning of the start-up.
  const State& initial() const { return initial_; }
  /// One time step in place, from time t in hours.
  void step(State& state, double t, std::span<const double> parameters, Scratch& scratch) const;
  /// Sets h to the field of mean 0 with which the divergence does not change.
  void balance(State& state, Scratch& scratch) const;
  /// (3, nodes, 2 nodes), as in `states`.
  void sample(const State& state, std::span<double> out, Scratch& scratch) const;
  /// The state that was sampled, exactly; other fields are projected. EvenToGaussian is made for `nodes`.
  void analyse(std::span<const double> sampled, const EvenToGaussian& to_gaussian, State& state,
               Scratch& scratch) const;

 private:
  void prepare();
  void finish(Scratch& scratch);
  void start_up(State& state, std::span<const double> parameters, Scratch& scratch) const;
  void set_wind(std::span<const double> u, std::span<const double> v, Scratch& scratch);
  void products(const State& state, Scratch& scratch) const;
  void tendency(const State& state, double t, std::span<const double> parameters, Coefficients& out,
                Scratch& scratch) const;
  void heat(double t, std::span<const double> parameters, double* out, Scratch& scratch) const;
  void solve(const Coefficients& right, Coefficients& out) const;

  AtmosphereSettings settings_;
  SphericalHarmonics harmonics_;
  SphericalHarmonics output_;
  std::vector<double> latitudes_;      ///< radians, Gaussian
  std::vector<double> heating_table_;  ///< (latitude, l = 1 .. T): weights times P_l1 / 2
  Coefficients orography_;
  Coefficients laplacian_;  ///< l (l + 1) / radius^2
  /// (1 + dt gamma nu k1^2)^-1; (delta, h) = ((dd, dh), (hd, hh)) right-hand side.
  Coefficients solve_zeta_, solve_dd_, solve_dh_, solve_hd_, solve_hh_;
  State initial_;
  State begun_;  ///< at the end of the start-up where it is the same for all parameters, else empty
};

}  // namespace levda::models
