#include "nn/lbfgs.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/error.h"

using namespace levda::nn;

namespace {

/// The extended Rosenbrock function: minimum 0 at (1, .., 1), along a curved valley.
double rosenbrock(std::span<const double> x, std::span<double> g) {
  double value = 0;
  std::fill(g.begin(), g.end(), 0.0);
  for (std::size_t i = 0; i + 1 < x.size(); i += 2) {
    const double a = 1 - x[i];
    const double b = x[i + 1] - x[i] * x[i];
    value += a * a + 100 * b * b;
    g[i] = -2 * a - 400 * x[i] * b;
    g[i + 1] = 200 * b;
  }
  return value;
}

}  // namespace

TEST_CASE("L-BFGS finds the minimum of the Rosenbrock valley") {
  const LbfgsResult r = minimise_lbfgs(rosenbrock, std::vector<double>{-1.2, 1, -1.2, 1, 3, -2}, {.iterations = 200});
  CHECK(r.converged);
  CHECK(r.gradient_norm <= 1e-8 * 3);
  for (const double x : r.x) CHECK(std::abs(x - 1) <= 1e-7);
  CHECK(r.evaluations >= r.iterations);
  CHECK(r.iterations <= 100);
}

TEST_CASE("L-BFGS solves a badly scaled quadratic to the tolerance asked for") {
  const auto f = [](std::span<const double> x, std::span<double> g) {
    double value = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double scale = std::pow(10.0, static_cast<double>(i) / 2);
      value += 0.5 * scale * (x[i] - 1) * (x[i] - 1);
      g[i] = scale * (x[i] - 1);
    }
    return value;
  };
  const LbfgsResult r =
      minimise_lbfgs(f, std::vector<double>(9, 0.0), {.iterations = 300, .gradient_tolerance = 1e-10});
  CHECK(r.converged);
  CHECK(r.value <= 1e-20);
}

TEST_CASE("L-BFGS steps back from where the function is not finite") {
  // log x - x has its maximum at 1; left of 0 there is nothing.
  const auto f = [](std::span<const double> x, std::span<double> g) {
    g[0] = 1 - 1 / x[0];
    return x[0] - std::log(x[0]);
  };
  const LbfgsResult r = minimise_lbfgs(f, {1e-3}, {});
  CHECK(r.converged);
  CHECK(std::abs(r.x[0] - 1) <= 1e-7);
}

TEST_CASE("L-BFGS stops at its limits, and refuses nonsense") {
  const std::vector<double> start{-1.2, 1};
  CHECK(minimise_lbfgs(rosenbrock, start, {.iterations = 3}).iterations == 3);
  CHECK_FALSE(minimise_lbfgs(rosenbrock, start, {.iterations = 3}).converged);
  CHECK(minimise_lbfgs(rosenbrock, start, {.iterations = 0}).x == start);
  CHECK(minimise_lbfgs(rosenbrock, start, {.value_tolerance = 1e-3}).iterations <
        minimise_lbfgs(rosenbrock, start, {}).iterations);
  CHECK_THROWS_AS(minimise_lbfgs(rosenbrock, start, {.memory = 0}), levda::Error);
  CHECK_THROWS_AS(minimise_lbfgs(rosenbrock, start, {.decrease = 0.95}), levda::Error);
  CHECK_THROWS_AS(minimise_lbfgs([](auto, auto) { return std::nan(""); }, start, {}), levda::Error);
}
