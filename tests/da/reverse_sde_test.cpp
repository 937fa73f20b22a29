#include "da/reverse_sde.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>

#include "autodiff/error.h"

using namespace levda;
using namespace levda::da;

TEST_CASE("reverse diffusion: the number of steps is the gain, in closed form") {
  struct Known {
    double epsilon;
    std::int64_t steps;
    double forecast, observation, noise;
  };
  constexpr std::array<Known, 4> known{{{0.01, 100, 0.633, 0.367, 0.157},
                                        {0.5, 100, 0.633, 0.367, 0.153},
                                        {0.01, 1000, 0.923, 0.077, 0.032},
                                        {0.5, 1000, 0.923, 0.077, 0.032}}};
  for (const Known& k : known) {
    CAPTURE(k.epsilon);
    CAPTURE(k.steps);
    const Gain g = gain({.epsilon = k.epsilon, .steps = k.steps}, 0.1);
    CHECK(std::abs(g.forecast - k.forecast) <= 5e-4);
    CHECK(std::abs(g.observation - k.observation) <= 5e-4);
    CHECK(std::abs(g.noise - k.noise) <= 5e-4);
    // Where forecast and observation agree the sample has that mean, but for the memory of where it began.
    CHECK(std::abs(g.forecast + g.observation - 1) <= 1e-3);
  }
}

TEST_CASE("reverse diffusion: where nothing is observed the forecast stays, with a little noise") {
  for (const std::int64_t steps : {100, 1000}) {
    const Gain g = gain({.epsilon = 0.05, .steps = steps}, std::numeric_limits<double>::infinity());
    CHECK(g.observation == 0);
    CHECK(std::abs(g.forecast - 1) <= 1e-3);
    // The last step goes from t = delta to alpha x_0, but for its own noise.
    CHECK(std::abs(g.noise * std::sqrt(static_cast<double>(steps)) - 1) <= 0.1);
  }
}

TEST_CASE("reverse diffusion: samples have the mean and the deviation that the gain says") {
  for (const double epsilon : {0.01, 0.5}) {
    const Diffusion settings{.epsilon = epsilon, .steps = 100};
    const Gain g = gain(settings, 0.1);
    constexpr std::size_t count = 4000;
    const double x0 = 3;
    const double y = -1.5;
    std::vector<double> x(count, x0);
    autodiff::Random random(7);
    sample_linear(settings, 0.1, std::vector<double>(count, y), random, x);
    double mean = 0;
    for (const double value : x) mean += value / count;
    double variance = 0;
    for (const double value : x) variance += (value - mean) * (value - mean) / (count - 1);
    // Four standard errors of either.
    CHECK(std::abs(mean - (g.forecast * x0 + g.observation * y)) <= 4 * g.noise / std::sqrt(count));
    CHECK(std::abs(std::sqrt(variance) / g.noise - 1) <= 4 / std::sqrt(2.0 * count));
  }
}

TEST_CASE("reverse diffusion: of a Gaussian's own score it makes that Gaussian") {
  // N(m, s^2) diffused is N(alpha m, alpha^2 s^2 + t).
  const double m = 1.5;
  const double s = 0.7;
  const Score score = [&](const DiffusionStep& step, std::span<const double> x, std::span<double> out) {
    for (std::size_t i = 0; i < x.size(); ++i)
      out[i] = -(x[i] - step.alpha * m) / (step.alpha * step.alpha * s * s + step.t);
  };
  constexpr std::size_t count = 2000;
  std::vector<double> x(count);
  autodiff::Random random(3);
  reverse_sde({.epsilon = 0.05, .steps = 200}, score, random, x);
  double mean = 0;
  for (const double value : x) mean += value / count;
  double variance = 0;
  for (const double value : x) variance += (value - mean) * (value - mean) / (count - 1);
  // Four standard errors, and the error of first order of 200 steps.
  CHECK(std::abs(mean - m) <= 4 * s / std::sqrt(count) + 0.02);
  CHECK(std::abs(std::sqrt(variance) / s - 1) <= 4 / std::sqrt(2.0 * count) + 0.02);
}

TEST_CASE("reverse diffusion: settings out of range and steps that are too long are refused") {
  autodiff::Random random(1);
  std::vector<double> x(2, 0.0);
  const std::vector<double> y(2, 0.0);
  CHECK_THROWS_AS(diffusion_steps({.epsilon = 0}), Error);
  CHECK_THROWS_AS(diffusion_steps({.epsilon = 1.5}), Error);
  CHECK_THROWS_AS(diffusion_steps({.steps = 0}), Error);
  CHECK_THROWS_AS(gain({}, 0), Error);
  CHECK_THROWS_AS(gain({}, std::numeric_limits<double>::quiet_NaN()), Error);
  CHECK_THROWS_AS(sample_linear({}, 0.1, std::vector<double>(3, 0.0), random, x), Error);
  // 1 - delta (1 - t) / error^2 is about -1e6 at each step.
  CHECK_THROWS_AS(sample_linear({}, 1e-4, y, random, x), Error);
}
