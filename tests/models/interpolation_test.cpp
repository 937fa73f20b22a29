#include "models/interpolation.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/error.h"
#include "autodiff/random.h"

using namespace levda;
using namespace levda::models;

TEST_CASE("cubic stencils are exact for cubics, and a node is itself") {
  const auto cubic = [](double t) { return 1 - 2 * t + 0.3 * t * t - 0.05 * t * t * t; };
  for (const double position : {0.0, 0.3, 1.0, 1.5, 4.25, 7.0, 8.9, 9.0}) {
    const CubicStencil s = cubic_stencil(position, 10);
    double value = 0;
    double sum = 0;
    for (int k = 0; k < 4; ++k) {
      value += s.weights[k] * cubic(static_cast<double>(s.first + k));
      sum += s.weights[k];
    }
    CHECK(std::abs(value - cubic(position)) <= 1e-13);
    CHECK(std::abs(sum - 1) <= 1e-14);
    CHECK(s.first >= 0);
    CHECK(s.first <= 6);
  }
  const CubicStencil node = cubic_stencil(3 + 1e-9, 10);
  for (int k = 0; k < 4; ++k) CHECK(node.weights[k] == (node.first + k == 3 ? 1 : 0));
  CHECK(cubic_stencil(-5, 10).weights[0] == 1);
  CHECK(cubic_stencil(20, 10).weights[3] == 1);
  CHECK_THROWS_WITH_AS(cubic_stencil(1, 3), "cubic interpolation on 3 nodes: four are needed", Error);
}

TEST_CASE("channels are interpolated from their own staggered places, to fourth order") {
  const auto f = [](std::int64_t c, double x, double y) {
    return std::sin(2 * x + static_cast<double>(c)) * std::cos(y);
  };
  std::vector<double> errors;
  for (const std::int64_t n : {16, 32}) {
    const double h = 3.0 / static_cast<double>(n - 1);
    const Grid grid{
        .nx = n, .ny = n, .x0 = -1, .y0 = 0.5, .dx = h, .dy = h, .offset_x = {0.5, 0}, .offset_y = {0, 0.5}};
    std::vector<float> state;
    for (std::int64_t c = 0; c < 2; ++c)
      for (std::int64_t j = 0; j < n; ++j)
        for (std::int64_t i = 0; i < n; ++i)
          state.push_back(static_cast<float>(f(c, -1 + (static_cast<double>(i) + grid.offset_x[c]) * h,
                                               0.5 + (static_cast<double>(j) + grid.offset_y[c]) * h)));
    autodiff::Random random(1);
    double worst = 0;
    for (int k = 0; k < 400; ++k) {
      const double x = -0.8 + 2.6 * random.uniform();
      const double y = 0.7 + 2.6 * random.uniform();
      const std::int64_t c = random.below(2);
      worst = std::max(worst, std::abs(interpolate(state, grid, c, x, y) - f(c, x, y)));
    }
    errors.push_back(worst);
  }
  // h halves (31/15): 2^4 = 16 to leading order, float32 fields far below.
  CHECK(errors[0] / errors[1] >= 12);
  CHECK(errors[1] <= 1e-3);
}

TEST_CASE("on a torus the cubic goes round: shifted by a period or by whole nodes it is the same") {
  constexpr std::int64_t n = 12;
  const Grid grid{.nx = n,
                  .ny = n,
                  .x0 = 1,
                  .y0 = -2,
                  .dx = 0.5,
                  .dy = 0.25,
                  .offset_x = {0.5},
                  .offset_y = {0},
                  .x = {},
                  .y = {},
                  .geometry = levda::models::Geometry::torus};
  autodiff::Random random(1);
  std::vector<float> state;
  for (std::int64_t i = 0; i < n * n; ++i) state.push_back(static_cast<float>(random.normal()));
  std::vector<float> shifted(state.size());  // by 5 nodes in x and 7 in y
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = 0; i < n; ++i) shifted[(j + 7) % n * n + (i + 5) % n] = state[j * n + i];
  for (int k = 0; k < 200; ++k) {
    const double x = 1 + 6 * random.uniform();
    const double y = -2 + 3 * random.uniform();
    const double value = interpolate(state, grid, 0, x, y);
    // Positions are sums of a few numbers below 30: they, and weights below 2 in size, are off by some 1e-14.
    CHECK(std::abs(interpolate(state, grid, 0, x + 6, y - 3) - value) <= 1e-11);
    CHECK(std::abs(interpolate(shifted, grid, 0, x + 2.5, y + 1.75) - value) <= 1e-11);
  }
}
