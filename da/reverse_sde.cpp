#include "da/reverse_sde.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autodiff/error.h"

namespace levda::da {

namespace {

/// log p(y | x) has little weight while x is noise.
double damping(const DiffusionStep& s) { return 1 - s.t; }

void check_error(double error) {
  if (!(error > 0)) throw Error(fmt::format("diffusion: an error of {}", error));
}

}  // namespace

std::vector<DiffusionStep> diffusion_steps(const Diffusion& settings) {
  if (!(settings.epsilon > 0) || !(settings.epsilon <= 1))
    throw Error(fmt::format("diffusion: epsilon = {} is not in (0, 1]", settings.epsilon));
  if (settings.steps < 1) throw Error(fmt::format("diffusion: {} steps", settings.steps));
  const auto count = static_cast<double>(settings.steps);
  std::vector<DiffusionStep> steps;
  for (std::int64_t k = settings.steps; k > 0; --k) {
    const double t = static_cast<double>(k) / count;
    const double alpha = 1 - (1 - settings.epsilon) * t;
    const double f = -(1 - settings.epsilon) / alpha;
    steps.push_back({.t = t, .alpha = alpha, .f = f, .g2 = 1 - 2 * f * t, .delta = 1 / count});
  }
  return steps;
}

void reverse_sde(const Diffusion& settings, const Score& score, autodiff::Random& random, std::span<double> x) {
  std::vector<double> slope(x.size());
  for (double& value : x) value = random.normal();
  for (const DiffusionStep& s : diffusion_steps(settings)) {
    score(s, x, slope);
    const double deviation = std::sqrt(s.delta * s.g2);
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] += -s.delta * (s.f * x[i] - s.g2 * slope[i]) + deviation * random.normal();
  }
  if (!std::all_of(x.begin(), x.end(), [](double value) { return std::isfinite(value); }))
    throw Error(
        fmt::format("diffusion: {} steps are too long for this score: more of them, or larger errors of the "
                    "observations, are needed",
                    settings.steps));
}

Gain gain(const Diffusion& settings, double error) {
  check_error(error);
  Gain result;
  double variance = 1;
  for (const DiffusionStep& s : diffusion_steps(settings)) {
    const double towards = s.delta * s.g2 * damping(s) / (error * error);
    const double keep = 1 - s.delta * (s.f + s.g2 / s.t) - towards;
    result.forecast = keep * result.forecast + s.delta * s.g2 * s.alpha / s.t;
    result.observation = keep * result.observation + towards;
    variance = keep * keep * variance + s.delta * s.g2;
  }
  result.noise = std::sqrt(variance);
  return result;
}

void sample_linear(const Diffusion& settings, double error, std::span<const double> y, autodiff::Random& random,
                   std::span<double> x) {
  check_error(error);
  if (y.size() != x.size()) throw Error(fmt::format("diffusion: {} values for a state of {}", y.size(), x.size()));
  const std::vector<double> x0(x.begin(), x.end());
  const double precision = 1 / (error * error);
  const Score score = [&](const DiffusionStep& s, std::span<const double> at, std::span<double> out) {
    for (std::size_t i = 0; i < at.size(); ++i)
      out[i] = -(at[i] - s.alpha * x0[i]) / s.t - damping(s) * precision * (at[i] - y[i]);
  };
  reverse_sde(settings, score, random, x);
}

}  // namespace levda::da
