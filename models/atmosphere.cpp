#include "models/atmosphere.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "autodiff/error.h"
#include "autodiff/random.h"
#include "autodiff/streams.h"
#include "models/internal/atmosphere_initial.h"

namespace levda::models {

namespace {

using std::int64_t;
constexpr double pi = std::numbers::pi;
constexpr double degree = pi / 180;
constexpr double hour = 3600;
const double gamma = 1 - std::numbers::sqrt2 / 2;

std::size_t index(int64_t i) { return static_cast<std::size_t>(i); }

void check_positive(const char* field, double value) {
  if (!(value > 0) || !std::isfinite(value))
    throw Error(fmt::format("atmosphere: {} = {} must be positive", field, value));
}

void check_not_negative(const char* field, double value) {
  if (!(value >= 0) || !std::isfinite(value))
    throw Error(fmt::format("atmosphere: {} = {} must not be negative", field, value));
}

AtmosphereSettings checked(const AtmosphereSettings& s) {
  if (s.nodes < 8 || s.nodes % 8 != 0 || s.nodes > 2048)
    throw Error(fmt::format("atmosphere: nodes = {} is not a multiple of 8 from 8 to 2048", s.nodes));
  check_positive("dt", s.dt);
  check_positive("radius", s.radius);
  check_positive("gravity", s.gravity);
  check_positive("depth", s.depth);
  check_not_negative("hyperdiffusion", s.hyperdiffusion);
  check_not_negative("start_up", s.start_up);
  check_not_negative("heating_from", s.heating_from);
  check_not_negative("eddies", s.eddies);
  if (!std::isfinite(s.rotation)) throw Error("atmosphere: rotation must be finite");
  if (!std::isfinite(s.jet)) throw Error("atmosphere: jet must be finite");
  if (!std::isfinite(s.mountains)) throw Error("atmosphere: mountains must be finite");
  const double steps = s.start_up * hour / s.dt;
  if (!(std::abs(steps - std::round(steps)) <= 1e-6) || !(steps <= 1e9))
    throw Error(fmt::format("atmosphere: start_up = {} h is no whole number of steps of {} s", s.start_up, s.dt));
  return s;
}

int64_t truncation_of(int64_t nodes) { return (2 * nodes - 1) / 3; }

struct Mountain {
  double latitude, longitude, height, width;  // degrees, m
};
constexpr std::array<Mountain, 5> mountains{
    {{35, 90, 2000, 12}, {42, 250, 1500, 10}, {-25, 290, 1500, 9}, {70, 318, 1500, 8}, {-80, 60, 1800, 14}}};

/// The times in the start-up at which h is balanced, in steps of 10 minutes; 10 + 30 i steps lie between them.
constexpr std::array<int64_t, 10> balanced_at{0, 10, 50, 120, 220, 350, 510, 700, 920, 1170};

}  // namespace

void Atmosphere::prepare() {
  const int64_t nlat = settings_.nodes;
  const int64_t truncation = harmonics_.truncation();
  const int64_t size = harmonics_.size();
  const double radius2 = settings_.radius * settings_.radius;
  for (int64_t j = 0; j < nlat; ++j) latitudes_.push_back(std::asin(harmonics_.mu(j)));
  const GaussRule rule = gauss_rule(nlat);
  for (int64_t j = 0; j < nlat; ++j)
    for (const double p : associated_legendre(1, truncation, harmonics_.mu(j)))
      heating_table_.push_back(0.25 * rule.weight[index(j)] * p);
  laplacian_ = harmonics_.by_degree([&](int64_t l, int64_t) { return static_cast<double>(l * (l + 1)) / radius2; });

  // (1 + a nu k1^2) delta - a g k h = right, (1 + a nu k^2) h + a depth delta = right, a = gamma dt.
  const double a = gamma * settings_.dt;
  const double nu = settings_.hyperdiffusion * radius2;
  const auto by_laplacian = [&](const auto& value) {
    return harmonics_.by_degree([&](int64_t l, int64_t) {
      const double k = static_cast<double>(l * (l + 1)) / radius2;
      const double k1 = l == 0 ? 0 : k - 1 / radius2;
      const double wind = 1 + a * nu * k1 * k1;
      const double mass = 1 + a * nu * k * k;
      return value(k, wind, mass, 1 / (wind * mass + a * a * settings_.gravity * k * settings_.depth));
    });
  };
  solve_zeta_ = by_laplacian([](double, double wind, double, double) { return 1 / wind; });
  solve_dd_ = by_laplacian([](double, double, double mass, double s) { return mass * s; });
  solve_dh_ = by_laplacian([&](double k, double, double, double s) { return a * settings_.gravity * k * s; });
  solve_hd_ = by_laplacian([&](double, double, double, double s) { return -a * settings_.depth * s; });
  solve_hh_ = by_laplacian([](double, double wind, double, double s) { return wind * s; });
  orography_.assign(index(size), 0.0);
  initial_.assign(index(channels * size), 0.0);
}

/// Vorticity and divergence of the initial state from a wind in m/s on the Gaussian grid.
void Atmosphere::set_wind(std::span<const double> u, std::span<const double> v, Scratch& scratch) {
  const int64_t size = harmonics_.size();
  const int64_t points = harmonics_.nlat() * harmonics_.nlon();
  std::vector<double> grid(index(2 * points));
  for (int64_t k = 0; k < points; ++k) {
    const double cosine = std::cos(latitudes_[index(k / harmonics_.nlon())]) / settings_.radius;
    grid[index(k)] = u[index(k)] * cosine;
    grid[index(points + k)] = v[index(k)] * cosine;
  }
  Coefficients wind(index(2 * size));
  harmonics_.wind_analysis(grid, wind, scratch.work);
  harmonics_.curl(wind.data(), wind.data() + size, initial_.data());
  harmonics_.divergence(wind.data(), wind.data() + size, initial_.data() + size);
}

Atmosphere::Atmosphere(const AtmosphereSettings& settings)
    : settings_(checked(settings)),
      harmonics_(truncation_of(settings.nodes), settings.nodes, SphericalHarmonics::Latitudes::gaussian),
      output_(truncation_of(settings.nodes), settings.nodes, SphericalHarmonics::Latitudes::even) {
  prepare();
  Scratch scratch;
  const int64_t nlat = harmonics_.nlat();
  const int64_t nlon = harmonics_.nlon();
  const int64_t truncation = harmonics_.truncation();
  std::vector<double> u(index(nlat * nlon));
  std::vector<double> z(index(nlat * nlon));
  for (int64_t j = 0; j < nlat; ++j) {
    const double latitude = latitudes_[index(j)];
    const double s = std::sin(2 * latitude);
    for (int64_t i = 0; i < nlon; ++i) {
      u[index(j * nlon + i)] = settings_.jet * s * s;
      for (const Mountain& mountain : mountains) {
        const double cosine =
            std::sin(latitude) * std::sin(mountain.latitude * degree) +
            std::cos(latitude) * std::cos(mountain.latitude * degree) *
                std::cos(2 * pi * static_cast<double>(i) / static_cast<double>(nlon) - mountain.longitude * degree);
        const double distance = std::acos(std::clamp(cosine, -1.0, 1.0)) / (mountain.width * degree);
        z[index(j * nlon + i)] += settings_.mountains * mountain.height * std::exp(-0.5 * distance * distance);
      }
    }
  }
  set_wind(u, std::vector<double>(u.size(), 0.0), scratch);
  harmonics_.analysis(z, orography_, scratch.work);
  // The filter makes the mountains the same at every truncation.
  const Coefficients filter = harmonics_.by_degree(
      [](int64_t l, int64_t) { return l == 0 ? 0 : std::exp(-2 * std::pow(static_cast<double>(l) / 42, 4)); });
  for (std::size_t k = 0; k < orography_.size(); ++k) orography_[k] *= filter[k];

  // Isotropic: each coefficient of the real harmonics has the same variance.
  autodiff::Random random(settings_.seed, streams::atmosphere_eddies);
  Coefficients eddies(index(harmonics_.size()), 0.0);
  double speed2 = 0;
  for (int64_t l = 4; l <= std::min<int64_t>(20, truncation); ++l)
    for (int64_t m = 0; m <= l; ++m) {
      const double re = random.normal() * (m == 0 ? 1 : std::numbers::sqrt2 / 2);
      const double im = m == 0 ? 0 : random.normal() * std::numbers::sqrt2 / 2;
      eddies[index(harmonics_.at(l, m))] = re;
      eddies[index(harmonics_.at(l, m) + harmonics_.imaginary(m))] = im;
      speed2 += (m == 0 ? 1 : 2) * (re * re + im * im) / static_cast<double>(l * (l + 1));
    }
  const double scale = speed2 > 0 ? settings_.eddies / (settings_.radius * std::sqrt(speed2)) : 0;
  for (std::size_t k = 0; k < eddies.size(); ++k) initial_[k] += scale * eddies[k];
  finish(scratch);
}

Atmosphere::Atmosphere(const AtmosphereSettings& settings, const AtmosphereInitial& initial)
    : settings_(checked(settings)),
      harmonics_(truncation_of(settings.nodes), settings.nodes, SphericalHarmonics::Latitudes::gaussian),
      output_(truncation_of(settings.nodes), settings.nodes, SphericalHarmonics::Latitudes::even) {
  check_initial(initial);
  prepare();
  Scratch scratch;
  set_wind(interpolated(initial, initial.u, true, latitudes_), interpolated(initial, initial.v, true, latitudes_),
           scratch);
  harmonics_.analysis(interpolated(initial, initial.orography, false, latitudes_), orography_, scratch.work);
  const std::span<double> h = std::span(initial_).subspan(index(2 * harmonics_.size()));
  harmonics_.analysis(interpolated(initial, initial.h, false, latitudes_), h, scratch.work);
  finish(scratch);
}

void Atmosphere::finish(Scratch& scratch) {
  if (settings_.heating_from < settings_.start_up) return;
  begun_ = initial_;
  start_up(begun_, std::array{0.0, 1.0}, scratch);
}

double Atmosphere::latitude(std::int64_t j) const {
  return -90 + (static_cast<double>(j) + 0.5) * 180 / static_cast<double>(settings_.nodes);
}

double Atmosphere::longitude(std::int64_t i) const {
  return static_cast<double>(i) * 180 / static_cast<double>(settings_.nodes);
}

/// scratch.out: (zeta + f) u (two components), |u|^2 / 2, (h - z) u, of winds per radius.
void Atmosphere::products(const State& state, Scratch& scratch) const {
  const auto size = index(harmonics_.size());
  scratch.in.resize(4 * size);
  scratch.out.resize(5 * size);
  double* const in = scratch.in.data();
  std::copy_n(state.begin(), size, in);
  in[harmonics_.at(1, 0)] += 2 * settings_.rotation / std::numbers::sqrt3;  // P_10 = sqrt(3) mu
  harmonics_.wind(state.data(), state.data() + size, in + size, in + 2 * size);
  for (std::size_t k = 0; k < size; ++k) in[3 * size + k] = state[2 * size + k] - orography_[k];
  const int64_t n = harmonics_.nlat();
  const auto multiply = [n](const double* from, double* to) {
    const double* __restrict vorticity = from;
    const double* __restrict u = from + n;
    const double* __restrict v = from + 2 * n;
    const double* __restrict h = from + 3 * n;
    double* __restrict flux = to;
    for (int64_t j = 0; j < n; ++j) {
      flux[j] = vorticity[j] * u[j];
      flux[n + j] = vorticity[j] * v[j];
      flux[2 * n + j] = 0.5 * (u[j] * u[j] + v[j] * v[j]);
      flux[3 * n + j] = h[j] * u[j];
      flux[4 * n + j] = h[j] * v[j];
    }
  };
  harmonics_.through_grid(scratch.in, multiply, scratch.out, scratch.work);
}

void Atmosphere::heat(double t, std::span<const double> parameters, double* out, Scratch& scratch) const {
  const int64_t truncation = harmonics_.truncation();
  const double centre = 0.4 * std::sin(2 * pi * t / 1008);
  std::vector<double>& profile = scratch.profile;
  profile.assign(index(truncation), 0.0);
  const double* row = heating_table_.data();
  for (const double latitude : latitudes_) {
    const double x = (latitude - centre) / parameters[1];
    const double value = std::exp(-x * x);
    for (double& sum : profile) sum += value * *row++;
  }
  const double re = parameters[0] / hour * std::cos(2 * pi * t / 24);
  const double im = -parameters[0] / hour * std::sin(2 * pi * t / 24);
  for (int64_t l = 1; l <= truncation; ++l) {
    out[harmonics_.at(l, 1)] += re * profile[index(l - 1)];
    out[harmonics_.at(l, 1) + harmonics_.imaginary(1)] += im * profile[index(l - 1)];
  }
}

/// The explicit terms.
void Atmosphere::tendency(const State& state, double t, std::span<const double> parameters, Coefficients& out,
                          Scratch& scratch) const {
  const auto size = index(harmonics_.size());
  products(state, scratch);
  out.resize(3 * size);
  const double* const flux = scratch.out.data();
  harmonics_.divergence(flux, flux + size, out.data());
  harmonics_.curl(flux, flux + size, out.data() + size);
  harmonics_.divergence(flux + 3 * size, flux + 4 * size, out.data() + 2 * size);
  const double radius2 = settings_.radius * settings_.radius;
  double* __restrict zeta = out.data();
  double* __restrict delta = zeta + size;
  double* __restrict h = delta + size;
  const double* __restrict energy = flux + 2 * size;
  for (std::size_t k = 0; k < size; ++k) {
    zeta[k] = -zeta[k];
    delta[k] += radius2 * laplacian_[k] * energy[k];
    h[k] = -h[k];
  }
  if (t >= settings_.heating_from && parameters[0] != 0) heat(t, parameters, h, scratch);
}

void Atmosphere::solve(const Coefficients& right, Coefficients& out) const {
  const auto size = index(harmonics_.size());
  const double* __restrict r = right.data();
  double* __restrict y = out.data();
  for (std::size_t k = 0; k < size; ++k) {
    const double delta = r[size + k];
    const double h = r[2 * size + k];
    y[k] = solve_zeta_[k] * r[k];
    y[size + k] = solve_dd_[k] * delta + solve_dh_[k] * h;
    y[2 * size + k] = solve_hd_[k] * delta + solve_hh_[k] * h;
  }
}

void Atmosphere::step(State& state, double t, std::span<const double> parameters, Scratch& scratch) const {
  const double dt = settings_.dt;
  const double delta = 1 - 0.5 / gamma;
  const std::size_t n = state.size();
  scratch.right.resize(n);
  scratch.stage.resize(n);
  tendency(state, t, parameters, scratch.tendency_first, scratch);
  double* __restrict y = state.data();
  double* __restrict right = scratch.right.data();
  {
    const double* __restrict first = scratch.tendency_first.data();
    for (std::size_t k = 0; k < n; ++k) right[k] = y[k] + dt * gamma * first[k];
  }
  solve(scratch.right, scratch.stage);
  tendency(scratch.stage, t + gamma * dt / hour, parameters, scratch.tendency_second, scratch);
  // The implicit term of the stage is (stage - right) / (gamma dt).
  const double* __restrict first = scratch.tendency_first.data();
  const double* __restrict second = scratch.tendency_second.data();
  const double* __restrict stage = scratch.stage.data();
  const double again = (1 - gamma) / gamma;
  for (std::size_t k = 0; k < n; ++k)
    right[k] = y[k] + dt * (delta * first[k] + (1 - delta) * second[k]) + again * (stage[k] - right[k]);
  solve(scratch.right, state);
}

void Atmosphere::balance(State& state, Scratch& scratch) const {
  const auto size = index(harmonics_.size());
  products(state, scratch);
  const double* const flux = scratch.out.data();
  scratch.right.resize(3 * size);
  harmonics_.curl(flux, flux + size, scratch.right.data());
  const double radius2 = settings_.radius * settings_.radius;
  for (std::size_t k = 0; k < size; ++k) {
    const double laplacian = laplacian_[k];
    state[2 * size + k] =
        laplacian > 0 ? -(scratch.right[k] / laplacian + radius2 * flux[2 * size + k]) / settings_.gravity : 0;
  }
}

void Atmosphere::sample(const State& state, std::span<double> out, Scratch& scratch) const {
  const auto size = index(harmonics_.size());
  scratch.in.resize(4 * size);
  harmonics_.wind(state.data(), state.data() + size, scratch.in.data(), scratch.in.data() + size);
  std::copy_n(state.begin() + static_cast<std::ptrdiff_t>(2 * size), size,
              scratch.in.begin() + static_cast<std::ptrdiff_t>(2 * size));
  output_.synthesis(std::span(scratch.in).first(3 * size), out, scratch.work);
  const int64_t nlon = output_.nlon();
  const int64_t points = output_.nlat() * nlon;
  for (int64_t k = 0; k < 2 * points; ++k)
    out[index(k)] *= settings_.radius / std::cos(latitude(k % points / nlon) * degree);
}

void Atmosphere::analyse(std::span<const double> sampled, const EvenToGaussian& to_gaussian, State& state,
                         Scratch& scratch) const {
  const auto size = index(harmonics_.size());
  const int64_t nlon = output_.nlon();
  const int64_t points = output_.nlat() * nlon;
  std::vector<double> even(sampled.begin(), sampled.end());
  for (int64_t k = 0; k < 2 * points; ++k)
    even[index(k)] *= std::cos(latitude(k % points / nlon) * degree) / settings_.radius;
  std::vector<double> gaussian(even.size());
  to_gaussian(even, gaussian);
  state.assign(3 * size, 0.0);
  scratch.in.resize(4 * size);
  harmonics_.wind_analysis(std::span(gaussian).first(index(2 * points)), std::span(scratch.in).first(2 * size),
                           scratch.work);
  harmonics_.curl(scratch.in.data(), scratch.in.data() + size, state.data());
  harmonics_.divergence(scratch.in.data(), scratch.in.data() + size, state.data() + size);
  harmonics_.analysis(std::span(gaussian).subspan(index(2 * points)), std::span(state).subspan(2 * size), scratch.work);
}

void Atmosphere::start_up(State& state, std::span<const double> parameters, Scratch& scratch) const {
  const int64_t steps = std::llround(settings_.start_up * hour / settings_.dt);
  std::size_t next = 0;
  for (int64_t k = 0; k < steps; ++k) {
    const double time = static_cast<double>(k) * settings_.dt;
    // A step may be longer than the first cycle.
    bool due = false;
    for (; next < balanced_at.size() && static_cast<double>(600 * balanced_at[next]) <= time + 1e-6; ++next) due = true;
    if (due) balance(state, scratch);
    step(state, time / hour, parameters, scratch);
  }
}

void Atmosphere::states(std::span<const double> parameters, std::span<const std::int64_t> steps,
                        std::span<float> out) const {
  const int64_t needed = static_cast<int64_t>(steps.size()) * state_size();
  if (static_cast<int64_t>(out.size()) != needed)
    throw Error(fmt::format("atmosphere: room for {} values, {} states need {}", out.size(), steps.size(), needed));
  if (parameters.size() != 2)
    throw Error(fmt::format("atmosphere: {} parameters, not amplitude and width", parameters.size()));
  if (!std::isfinite(parameters[0])) throw Error("atmosphere: the heating's amplitude must be finite");
  check_positive("width", parameters[1]);
  Scratch scratch;
  State state = begun_.empty() ? initial_ : begun_;
  if (begun_.empty()) start_up(state, parameters, scratch);
  std::vector<double> sampled(index(state_size()));
  float* to = out.data();
  int64_t done = 0;
  for (const int64_t wanted : steps) {
    if (wanted < done) throw Error(fmt::format("atmosphere: step {} is wanted after step {}", wanted, done));
    for (; done < wanted; ++done)
      step(state, settings_.start_up + static_cast<double>(done) * settings_.dt / hour, parameters, scratch);
    sample(state, sampled, scratch);
    if (!std::all_of(sampled.begin(), sampled.end(), [](double value) { return std::isfinite(value); }))
      throw Error(fmt::format("atmosphere: the state is not finite after {} steps of {} s", done, settings_.dt));
    to = std::transform(sampled.begin(), sampled.end(), to, [](double value) { return static_cast<float>(value); });
  }
}

}  // namespace levda::models
