#include "models/tsunami.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <mutex>

#include "autodiff/error.h"

namespace levda::models {

namespace {

void check_positive(const char* field, double value) {
  if (!(value > 0) || !std::isfinite(value))
    throw Error(fmt::format("tsunami: {} = {} must be positive", field, value));
}

}  // namespace

Tsunami::Tsunami(const TsunamiSettings& settings) : settings_(settings) {
  if (settings.nodes < 3) throw Error(fmt::format("tsunami: nodes = {} must be at least 3", settings.nodes));
  check_positive("length", settings.length);
  check_positive("gravity", settings.gravity);
  check_positive("depth", settings.depth);
  check_positive("courant", settings.courant);
  check_positive("width", settings.width);
  // Two dimensions: gravity waves along the diagonal.
  if (settings.courant > std::sqrt(0.5))
    throw Error(fmt::format("tsunami: courant = {} is above 0.7071, the limit of stability", settings.courant));
  if (!std::isfinite(settings.amplitude) || std::abs(settings.amplitude) >= settings.depth)
    throw Error(fmt::format("tsunami: amplitude = {} must be below the depth", settings.amplitude));
  if (!std::isfinite(settings.coriolis)) throw Error("tsunami: coriolis must be finite");
  if (!std::isfinite(settings.beta)) throw Error("tsunami: beta must be finite");
  dx_ = settings.length / static_cast<double>(settings.nodes - 1);
  dt_ = settings.courant * dx_ / std::sqrt(settings.gravity * settings.depth);
}

void Tsunami::initial_state(std::span<const double> centre, std::span<double> state) const {
  const std::int64_t n = settings_.nodes;
  const double extent = settings_.source_extent > 0 ? settings_.source_extent : settings_.length;
  const double x0 = (centre[0] - 0.5) * extent;
  const double y0 = (centre[1] - 0.5) * extent;
  std::fill(state.begin(), state.end(), 0.0);
  double* eta = state.data() + 2 * n * n;
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = 0; i < n; ++i) {
      const double x = -0.5 * settings_.length + static_cast<double>(i) * dx_ - x0;
      const double y = -0.5 * settings_.length + static_cast<double>(j) * dx_ - y0;
      eta[j * n + i] = settings_.amplitude * std::exp(-(x * x + y * y) / (2 * settings_.width * settings_.width));
    }
}

void Tsunami::step(std::span<double> state, std::span<double> scratch) const {
  const std::int64_t n = settings_.nodes;
  const double gdt = settings_.gravity * dt_ / dx_;
  const double ratio = dt_ / dx_;
  const double depth = settings_.depth;
  double* const eta = state.data() + 2 * n * n;

  for (std::int64_t j = 0; j < n; ++j) {
    double* __restrict u = state.data() + j * n;
    double* __restrict v = u + n * n;
    const double* __restrict e = eta + j * n;
    const double* __restrict north = j + 1 < n ? e + n : e;  // at the wall v is set to 0 below
    const double a =
        dt_ * (settings_.coriolis + settings_.beta * (static_cast<double>(j) * dx_ - 0.5 * settings_.length));
    const double b = 0.25 * a * a;
    const double s = 1 / (1 + b);
    const auto rotate = [&](std::int64_t i, double east) {
      const double u0 = u[i];
      const double v0 = v[i];
      u[i] = (u0 - gdt * (east - e[i]) - b * u0 + a * v0) * s;
      v[i] = (v0 - gdt * (north[i] - e[i]) - b * v0 - a * u0) * s;
    };
    for (std::int64_t i = 0; i + 1 < n; ++i) rotate(i, e[i + 1]);
    rotate(n - 1, e[n - 1]);
    u[n - 1] = 0;
    if (j + 1 == n) std::fill(v, v + n, 0.0);
  }

  double* __restrict flux_x = scratch.data();
  double* __restrict flux_y = flux_x + n;
  double* __restrict flux_south = flux_y + n;
  std::fill(flux_south, flux_south + n, 0.0);
  for (std::int64_t j = 0; j < n; ++j) {
    const double* __restrict u = state.data() + j * n;
    const double* __restrict v = u + n * n;
    double* __restrict e = eta + j * n;
    const double* __restrict north = j + 1 < n ? e + n : e;
    for (std::int64_t i = 0; i + 1 < n; ++i)
      flux_x[i] = (u[i] > 0 ? u[i] : 0) * (e[i] + depth) + (u[i] < 0 ? u[i] : 0) * (e[i + 1] + depth);
    flux_x[n - 1] = 0;
    for (std::int64_t i = 0; i < n; ++i)
      flux_y[i] = (v[i] > 0 ? v[i] : 0) * (e[i] + depth) + (v[i] < 0 ? v[i] : 0) * (north[i] + depth);
    e[0] -= ratio * (flux_x[0] + flux_y[0] - flux_south[0]);
    for (std::int64_t i = 1; i < n; ++i) e[i] -= ratio * (flux_x[i] - flux_x[i - 1] + flux_y[i] - flux_south[i]);
    std::swap(flux_y, flux_south);
  }
}

void Tsunami::states(std::span<const double> centre, std::span<const std::int64_t> steps, std::span<float> out) const {
  const std::int64_t needed = static_cast<std::int64_t>(steps.size()) * state_size();
  if (static_cast<std::int64_t>(out.size()) != needed)
    throw Error(fmt::format("tsunami: room for {} values, {} states need {}", out.size(), steps.size(), needed));
  std::vector<double> state(static_cast<std::size_t>(state_size()));
  std::vector<double> scratch(static_cast<std::size_t>(3 * settings_.nodes));
  initial_state(centre, state);
  float* to = out.data();
  std::int64_t done = 0;
  for (const std::int64_t wanted : steps) {
    if (wanted < done) throw Error(fmt::format("tsunami: step {} is wanted after step {}", wanted, done));
    for (; done < wanted; ++done) step(state, scratch);
    to = std::transform(state.begin(), state.end(), to, [](double value) { return static_cast<float>(value); });
  }
}

}  // namespace levda::models
