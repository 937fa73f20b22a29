#include "models/kolmogorov.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <utility>

#include "autodiff/error.h"
#include "autodiff/random.h"
#include "autodiff/streams.h"
#include "models/internal/kolmogorov_scheme.h"

namespace levda::models {

namespace {

constexpr std::int64_t highest_noise = 16;

void check_positive(const char* field, double value) {
  if (!(value > 0) || !std::isfinite(value))
    throw Error(fmt::format("kolmogorov: {} = {} must be positive", field, value));
}

template <typename T>
double largest_speed(std::span<const T> state) {
  const std::size_t n = state.size() / 2;
  double most = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double u = state[i];
    const double v = state[n + i];
    most = std::max(most, u * u + v * v);
  }
  return std::sqrt(most);
}

double rms_speed(std::span<const double> state) {
  double squares = 0;
  for (const double value : state) squares += value * value;
  return std::sqrt(squares / (0.5 * static_cast<double>(state.size())));
}

}  // namespace

template <>
const Kolmogorov::Scheme<float>& Kolmogorov::scheme<float>() const {
  return *single_;
}

template <>
const Kolmogorov::Scheme<double>& Kolmogorov::scheme<double>() const {
  return *double_;
}

Kolmogorov::Kolmogorov(const KolmogorovSettings& settings) : settings_(settings) {
  const std::int64_t n = settings.nodes;
  if (n < 4) throw Error(fmt::format("kolmogorov: nodes = {} must be at least 4", n));
  check_positive("length", settings.length);
  check_positive("outer_step", settings.outer_step);
  if (settings.burn_in < 0) throw Error(fmt::format("kolmogorov: burn_in = {} is negative", settings.burn_in));
  if (settings.wavenumber < 0) throw Error(fmt::format("kolmogorov: wavenumber = {} is negative", settings.wavenumber));
  if (!(settings.drag >= 0) || !std::isfinite(settings.drag))
    throw Error(fmt::format("kolmogorov: drag = {} must not be negative", settings.drag));
  check_positive("max_speed", settings.max_speed);
  check_positive("peak_wavenumber", settings.peak_wavenumber);
  check_positive("courant", settings.courant);
  check_positive("stable_speed", settings.stable_speed);
  if (settings.modes != 0 && settings.modes != 3)
    throw Error(fmt::format("kolmogorov: modes = {} must be 0 or 3", settings.modes));
  check_positive("base_reynolds", settings.base_reynolds);
  if (!std::isfinite(settings.mode_amplitude)) throw Error("kolmogorov: mode_amplitude must be finite");

  h_ = settings.length / static_cast<double>(n);
  // A whole number of steps but for rounding is that number.
  const double steps = settings.outer_step / (settings.courant * h_ / settings.stable_speed);
  if (!(steps < 1e9)) throw Error(fmt::format("kolmogorov: {:.3g} steps in an outer step", steps));
  steps_per_outer_ = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(steps - 1e-9)));
  dt_ = settings.outer_step / static_cast<double>(steps_per_outer_);
  single_ = std::make_shared<const Scheme<float>>(n);
  double_ = std::make_shared<const Scheme<double>>(n);
  scratch_size_ = std::max(single_->scratch_size(), double_->scratch_size());

  const double turn = 2 * std::numbers::pi * static_cast<double>(settings.wavenumber) / static_cast<double>(n);
  for (std::int64_t j = 0; j < n; ++j) force_.push_back(std::sin(turn * (static_cast<double>(j) + offset_y[0])));

  draw_initial_state();
  if (settings.modes == 0) return;
  check_reynolds(settings.base_reynolds);
  base_ = initial_;
  advance(base_, settings.base_reynolds, settings.burn_in * steps_per_outer_);
  draw_modes();
}

void Kolmogorov::check_reynolds(double reynolds) const {
  check_positive("reynolds", reynolds);
  const double least = least_reynolds();
  if (reynolds < least)
    throw Error(fmt::format("kolmogorov: reynolds = {} is below {:.3g}, where steps of {:.3g} are unstable", reynolds,
                            least, dt_));
}

void Kolmogorov::draw_initial_state() {
  const std::int64_t n = settings_.nodes;
  initial_.assign(static_cast<std::size_t>(state_size()), 0.0);
  autodiff::Random random(settings_.seed, streams::kolmogorov_noise);
  const auto wave = [&](double k, double x) {
    return std::polar(1.0, 2 * std::numbers::pi * k * x / static_cast<double>(n));
  };
  constexpr std::int64_t top = highest_noise;
  for (std::int64_t c = 0; c < channels; ++c) {
    // One of each pair of opposite wave vectors.
    std::vector<std::complex<double>> along_x(static_cast<std::size_t>(n));
    for (std::int64_t ky = 0; ky <= top; ++ky) {
      std::fill(along_x.begin(), along_x.end(), 0.0);
      for (std::int64_t kx = ky > 0 ? -top : 1; kx <= top; ++kx) {
        const double real = random.normal();
        const std::complex<double> noise(real, random.normal());
        if (2 * std::max(std::abs(kx), ky) >= n) continue;
        const double k = std::hypot(static_cast<double>(kx), static_cast<double>(ky));
        const double distance = std::log(k / settings_.peak_wavenumber) - 0.25;
        const double filter = std::exp(-2 * distance * distance - std::log(k)) / k;
        for (std::int64_t i = 0; i < n; ++i)
          along_x[static_cast<std::size_t>(i)] +=
              filter * noise *
              wave(static_cast<double>(kx), static_cast<double>(i) + offset_x[static_cast<std::size_t>(c)]);
      }
      for (std::int64_t j = 0; j < n; ++j) {
        const auto along_y =
            wave(static_cast<double>(ky), static_cast<double>(j) + offset_y[static_cast<std::size_t>(c)]);
        for (std::int64_t i = 0; i < n; ++i)
          initial_[static_cast<std::size_t>((c * n + j) * n + i)] +=
              (along_x[static_cast<std::size_t>(i)] * along_y).real();
      }
    }
  }
  std::vector<double> scratch(static_cast<std::size_t>(scratch_size_));
  for (int time = 0; time < 3; ++time) {
    project<double>(initial_, scratch);
    const double factor = settings_.max_speed / largest_speed<double>(initial_);
    for (double& value : initial_) value *= factor;
  }
}

void Kolmogorov::draw_modes() {
  const std::int64_t n = settings_.nodes;
  constexpr std::array<std::array<double, 2>, 3> vectors{{{1, 0}, {0, 1}, {1, 1}}};
  autodiff::Random random(settings_.seed, streams::kolmogorov_phases);
  const double amplitude = settings_.mode_amplitude * rms_speed(base_) * std::numbers::sqrt2;  // mean of sin^2: 1/2
  for (std::size_t m = 0; m < modes_.size(); ++m) {
    const auto [kx, ky] = vectors[m];
    const double phase = 2 * std::numbers::pi * random.uniform();
    const double each = amplitude / std::hypot(kx, ky);
    modes_[m].resize(static_cast<std::size_t>(state_size()));
    for (std::size_t c = 0; c < 2; ++c)
      for (std::int64_t j = 0; j < n; ++j)
        for (std::int64_t i = 0; i < n; ++i) {
          const double x = static_cast<double>(i) + offset_x[c];
          const double y = static_cast<double>(j) + offset_y[c];
          modes_[m][static_cast<std::size_t>((static_cast<std::int64_t>(c) * n + j) * n + i)] =
              each * (c == 0 ? -ky : kx) *
              std::sin(2 * std::numbers::pi * (kx * x + ky * y) / static_cast<double>(n) + phase);
        }
  }
}

void Kolmogorov::initial_state(std::span<double> state) const {
  std::copy(initial_.begin(), initial_.end(), state.begin());
}

template <typename T>
void Kolmogorov::project(std::span<T> state, std::span<T> scratch) const {
  scheme<T>().project(state, scratch);
}

template <typename T>
void Kolmogorov::step(std::span<T> state, double reynolds, std::span<T> scratch) const {
  scheme<T>().step(state, 1 / reynolds, dt_, h_, settings_.drag, force_, scratch);
}

template void Kolmogorov::project(std::span<float>, std::span<float>) const;
template void Kolmogorov::project(std::span<double>, std::span<double>) const;
template void Kolmogorov::step(std::span<float>, double, std::span<float>) const;
template void Kolmogorov::step(std::span<double>, double, std::span<double>) const;

void Kolmogorov::advance(std::vector<double>& state, double reynolds, std::int64_t steps) const {
  std::vector<double> scratch(static_cast<std::size_t>(scratch_size_));
  for (std::int64_t k = 0; k < steps; ++k) step<double>(state, reynolds, scratch);
}

void Kolmogorov::states(std::span<const double> parameters, std::span<const std::int64_t> steps,
                        std::span<float> out) const {
  if (static_cast<std::int64_t>(parameters.size()) != this->parameters())
    throw Error(fmt::format("kolmogorov: {} parameters, not {}", parameters.size(), this->parameters()));
  const std::int64_t needed = static_cast<std::int64_t>(steps.size()) * state_size();
  if (static_cast<std::int64_t>(out.size()) != needed)
    throw Error(fmt::format("kolmogorov: room for {} values, {} states need {}", out.size(), steps.size(), needed));
  const double reynolds = parameters[0];
  check_reynolds(reynolds);
  std::vector<double> state;
  if (settings_.modes == 0) {
    state = initial_;
    advance(state, reynolds, settings_.burn_in * steps_per_outer_);
  } else {
    state = base_;
    for (std::size_t m = 0; m < modes_.size(); ++m) {
      const double a = parameters[1 + m];
      if (!std::isfinite(a)) throw Error(fmt::format("kolmogorov: mode amplitude {} = {} must be finite", m + 1, a));
      for (std::size_t i = 0; i < state.size(); ++i) state[i] += a * modes_[m][i];
    }
    std::vector<double> scratch(static_cast<std::size_t>(scratch_size_));
    project<double>(state, scratch);
  }
  float* to = out.data();
  std::int64_t done = 0;
  for (const std::int64_t wanted : steps) {
    if (wanted < done) throw Error(fmt::format("kolmogorov: step {} is wanted after step {}", wanted, done));
    advance(state, reynolds, wanted - done);
    done = wanted;
    if (!std::all_of(state.begin(), state.end(), [](double value) { return std::isfinite(value); }))
      throw Error(fmt::format("kolmogorov: not finite at step {} with Reynolds number {}", done, reynolds));
    to = std::transform(state.begin(), state.end(), to, [](double value) { return static_cast<float>(value); });
  }
}

}  // namespace levda::models
