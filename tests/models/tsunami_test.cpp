#include "models/tsunami.h"

#include <doctest/doctest.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>

#include "autodiff/error.h"
#include "autodiff/random.h"
#include "tests/autodiff/compare.h"

using levda::models::Tsunami;
using levda::models::TsunamiSettings;
using levda::testing::largest_difference;

namespace {

constexpr double round_off = 0x1p-53;

/// A basin and its state, with the fields as functions of (i, j) = (x, y).
struct Basin {
  TsunamiSettings settings;
  Tsunami model;
  std::vector<double> state;
  std::vector<double> scratch;

  explicit Basin(const TsunamiSettings& s)
      : settings(s),
        model(s),
        state(static_cast<std::size_t>(model.state_size())),
        scratch(static_cast<std::size_t>(3 * s.nodes)) {}
  Basin(const TsunamiSettings& s, double x, double y) : Basin(s) { model.initial_state(std::array{x, y}, state); }
  void advance(std::int64_t steps) {
    for (std::int64_t k = 0; k < steps; ++k) model.step(state, scratch);
  }
  double at(std::int64_t channel, std::int64_t i, std::int64_t j) const {
    return state[static_cast<std::size_t>((channel * settings.nodes + j) * settings.nodes + i)];
  }
  double u(std::int64_t i, std::int64_t j) const { return at(0, i, j); }
  double v(std::int64_t i, std::int64_t j) const { return at(1, i, j); }
  double eta(std::int64_t i, std::int64_t j) const { return at(2, i, j); }
};

TsunamiSettings without_rotation(TsunamiSettings s = {}) {
  s.coriolis = 0;
  s.beta = 0;
  return s;
}

/// Elevation of the linear wave without rotation from exp(-r^2 / (2 w^2)) at rest in an unbounded sea:
/// w^2 int k exp(-k^2 w^2 / 2) J_0(k r) cos(c k t) dk.
double linear_wave(double width, double r, double distance) {
  // The integrand is even in k when extended, and gone at k = 8 / w: trapezoids converge faster than any
  // power.
  constexpr int points = 400;
  const double step = 8 / width / points;
  double sum = 0;
  for (int i = 1; i <= points; ++i) {
    const double k = i * step;
    sum += k * std::exp(-0.5 * k * k * width * width) * std::cyl_bessel_j(0.0, k * r) * std::cos(k * distance);
  }
  return width * width * sum * step;
}

/// Position of the greatest of three values at -1, 0, 1 by a parabola.
double vertex(double left, double middle, double right) { return 0.5 * (left - right) / (left - 2 * middle + right); }

/// Distance of the outermost crest from the middle along x (or the diagonal), in m.
double crest(const Basin& basin, bool diagonal) {
  const std::int64_t middle = basin.settings.nodes / 2;
  const auto along = [&](std::int64_t k) { return basin.eta(middle + k, diagonal ? middle + k : middle); };
  std::int64_t highest = 1;
  for (std::int64_t k = 1; k + 1 < middle; ++k)
    if (along(k) > along(highest)) highest = k;
  const double position = static_cast<double>(highest) + vertex(along(highest - 1), along(highest), along(highest + 1));
  return position * basin.model.dx() * (diagonal ? std::numbers::sqrt2 : 1);
}

double exact_crest(double width, double distance) {
  const double step = 0.02 * width;
  double best = 0;
  double value = -1;
  for (double r = distance - 2 * width; r < distance + width; r += step) {
    const double e = linear_wave(width, r, distance);
    if (e > value) {
      value = e;
      best = r;
    }
  }
  return best +
         step * vertex(linear_wave(width, best - step, distance), value, linear_wave(width, best + step, distance));
}

/// A channel on half as many cells: elevations are averaged over a cell, velocities over its east or north
/// face.
std::vector<double> coarser(const std::vector<double>& fine, std::int64_t n, int channel) {
  const std::int64_t half = n / 2;
  std::vector<double> coarse(static_cast<std::size_t>(half * half));
  const auto at = [&](std::int64_t i, std::int64_t j) { return fine[static_cast<std::size_t>(j * n + i)]; };
  for (std::int64_t j = 0; j < half; ++j)
    for (std::int64_t i = 0; i < half; ++i) {
      double& value = coarse[static_cast<std::size_t>(j * half + i)];
      if (channel == 0)
        value = 0.5 * (at(2 * i + 1, 2 * j) + at(2 * i + 1, 2 * j + 1));
      else if (channel == 1)
        value = 0.5 * (at(2 * i, 2 * j + 1) + at(2 * i + 1, 2 * j + 1));
      else
        value = 0.25 * (at(2 * i, 2 * j) + at(2 * i + 1, 2 * j) + at(2 * i, 2 * j + 1) + at(2 * i + 1, 2 * j + 1));
    }
  return coarse;
}

/// Observed orders per channel from three grids, n, 2 n and 4 n cells across 1000 km, after about 6000 s: the
/// wave has gone 190 km from near the middle. Differences of neighbouring grids are compared on the coarsest.
std::array<double, 3> observed_orders(TsunamiSettings settings, std::int64_t n) {
  constexpr double across = 1e6;  // the walls enclose n cells, so this is n dx on each grid
  std::vector<std::vector<double>> states;
  const double first_dt =
      settings.courant * across / static_cast<double>(n) / std::sqrt(settings.gravity * settings.depth);
  const std::int64_t steps = std::llround(6000 / first_dt);
  for (const std::int64_t refined : {1, 2, 4}) {
    settings.nodes = n * refined;
    settings.length = across * (1 - 1 / static_cast<double>(settings.nodes));
    Basin basin(settings, 0.5 + 6e4 / settings.length, 0.5 - 4e4 / settings.length);
    basin.advance(steps * refined);
    states.push_back(basin.state);
  }
  std::array<double, 3> orders{};
  for (int channel = 0; channel < 3; ++channel) {
    std::vector<std::vector<double>> fields;
    std::int64_t cells = n;
    for (const std::vector<double>& state : states) {
      const auto begin = state.begin() + channel * cells * cells;
      std::vector<double> field(begin, begin + cells * cells);
      for (std::int64_t m = cells; m > n; m /= 2) field = coarser(field, m, channel);
      fields.push_back(field);
      cells *= 2;
    }
    const auto distance = [](const std::vector<double>& a, const std::vector<double>& b) {
      double squares = 0;
      for (std::size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * (a[i] - b[i]);
      return std::sqrt(squares);
    };
    orders[static_cast<std::size_t>(channel)] =
        std::log2(distance(fields[0], fields[1]) / distance(fields[1], fields[2]));
  }
  return orders;
}

}  // namespace

TEST_CASE("tsunami: the grid, and the initial state at known places") {
  const TsunamiSettings settings;
  const Tsunami model(settings);
  CHECK(std::abs(model.dx() - 1e6 / 63) <= 1e-9);
  CHECK(std::abs(model.dt() - 0.1 * (1e6 / 63) / std::sqrt(981.0)) <= 1e-12);
  CHECK(model.state_size() == 3 * 64 * 64);

  // The source on node (21, 42): a third and two thirds of the way.
  const Basin basin(settings, 1.0 / 3, 2.0 / 3);
  for (std::int64_t j = 0; j < 64; ++j)
    for (std::int64_t i = 0; i < 64; ++i) {
      const double x = static_cast<double>(i - 21) * 1e6 / 63;
      const double y = static_cast<double>(j - 42) * 1e6 / 63;
      CHECK(basin.u(i, j) == 0);
      CHECK(basin.v(i, j) == 0);
      // Positions of 1e6 m are rounded in units of 1e-10 m; the slope is below 1 / width.
      CHECK(std::abs(basin.eta(i, j) - std::exp(-(x * x + y * y) / (2 * 5e4 * 5e4))) <= 1e-13);
    }
  CHECK(std::abs(basin.eta(21, 42) - 1) <= 1e-13);
  // Corners of the range.
  CHECK(std::abs(Basin(settings, 0, 0).eta(0, 0) - 1) <= 1e-13);
  CHECK(std::abs(Basin(settings, 1, 0).eta(63, 0) - 1) <= 1e-13);
  // A state that was used before leaves no trace.
  Basin used(settings, 0.2, 0.2);
  used.advance(10);
  used.model.initial_state(std::array{1.0 / 3, 2.0 / 3}, used.state);
  CHECK(used.state == basin.state);
}

TEST_CASE("tsunami: one step is the formula, with rotation and at walls") {
  TsunamiSettings settings;
  settings.nodes = 7;
  settings.beta = 3e-10;  // so that f changes much across the basin
  settings.courant = 0.5;
  Basin basin(settings);
  levda::autodiff::Random random(1);
  for (double& value : basin.state) value = random.normal();
  const std::int64_t n = settings.nodes;
  for (std::int64_t k = 0; k < n; ++k) {  // as every step leaves them
    basin.state[static_cast<std::size_t>(k * n + n - 1)] = 0;
    basin.state[static_cast<std::size_t>(n * n + (n - 1) * n + k)] = 0;
  }
  const Basin before = basin;
  basin.advance(1);

  const double dt = before.model.dt();
  const double dx = before.model.dx();
  std::vector<double> expected(basin.state.size(), 0.0);
  const auto value = [&](std::int64_t channel, std::int64_t i, std::int64_t j) -> double& {
    return expected[static_cast<std::size_t>((channel * n + j) * n + i)];
  };
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = 0; i < n; ++i) {
      const double a = dt * (settings.coriolis + settings.beta * (static_cast<double>(j) * dx - settings.length / 2));
      const double b = a * a / 4;
      const double east = i + 1 < n ? before.eta(i + 1, j) : before.eta(i, j);
      const double north = j + 1 < n ? before.eta(i, j + 1) : before.eta(i, j);
      const double us = before.u(i, j) - settings.gravity * dt / dx * (east - before.eta(i, j));
      const double vs = before.v(i, j) - settings.gravity * dt / dx * (north - before.eta(i, j));
      if (i + 1 < n) value(0, i, j) = (us - b * before.u(i, j) + a * before.v(i, j)) / (1 + b);
      if (j + 1 < n) value(1, i, j) = (vs - b * before.v(i, j) - a * before.u(i, j)) / (1 + b);
    }
  const auto depth = [&](std::int64_t i, std::int64_t j) { return before.eta(i, j) + settings.depth; };
  const auto flux_x = [&](std::int64_t i, std::int64_t j) {
    if (i < 0 || i + 1 == n) return 0.0;
    const double u = value(0, i, j);
    return u * (u > 0 ? depth(i, j) : depth(i + 1, j));
  };
  const auto flux_y = [&](std::int64_t i, std::int64_t j) {
    if (j < 0 || j + 1 == n) return 0.0;
    const double v = value(1, i, j);
    return v * (v > 0 ? depth(i, j) : depth(i, j + 1));
  };
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = 0; i < n; ++i)
      value(2, i, j) = before.eta(i, j) - dt / dx * (flux_x(i, j) - flux_x(i - 1, j) + flux_y(i, j) - flux_y(i, j - 1));
  // dt / dx times fluxes of 3 x 100 m^2/s: terms below 50 with ten roundings.
  CHECK(largest_difference(basin.state, expected) <= 10 * 50 * round_off);
  CHECK(levda::testing::largest(expected) > 1);
}

TEST_CASE("tsunami: a sea at rest stays at rest, at any level") {
  Basin basin(TsunamiSettings{});
  basin.advance(50);
  CHECK(levda::testing::largest(basin.state) == 0);
  std::fill(basin.state.end() - 64 * 64, basin.state.end(), 0.75);
  const std::vector<double> before = basin.state;
  basin.advance(50);
  CHECK(basin.state == before);
}

TEST_CASE("tsunami: mass is conserved to round-off over 850 steps") {
  Basin basin(TsunamiSettings{}, 0.3, 0.65);
  const auto mass = [&] {
    long double sum = 0;
    for (std::int64_t j = 0; j < 64; ++j)
      for (std::int64_t i = 0; i < 64; ++i) sum += basin.eta(i, j);
    return sum;
  };
  const long double before = mass();
  CHECK(before > 50);  // 2 pi width^2 / dx^2 = 62 cells of 1 m
  basin.advance(850);
  // A face's flux is one number for both cells. So what is lost is the rounding of eta (1 unit of at most 1
  // m) and of dt/dx times the sum of four fluxes (four times 0.1 m, 4 units): below 3 units per cell and
  // step.
  CHECK(std::abs(static_cast<double>(mass() - before)) <= 3 * round_off * 850 * 64 * 64);
  CHECK(std::abs(basin.eta(19, 41) - 1) > 0.1);  // it did move
}

TEST_CASE("tsunami: a radial wave is the exact linear one, its crest travels at sqrt(g H)") {
  TsunamiSettings settings = without_rotation();
  settings.nodes = 201;       // a node in the middle
  settings.amplitude = 1e-3;  // linear to a part in 1e5
  settings.width = 3e4;
  const double c = std::sqrt(settings.gravity * settings.depth);
  Basin basin(settings, 0.5, 0.5);
  const double dx = basin.model.dx();
  const std::int64_t steps = 376;
  const double distance = c * basin.model.dt() * static_cast<double>(steps);  // 188 km: the walls are at 500 km
  std::array<std::array<double, 2>, 2> crests{};
  for (const std::size_t leg : {0U, 1U}) {
    basin.advance(steps);
    const double gone = distance * static_cast<double>(leg + 1);
    const double exact = exact_crest(settings.width, gone);
    double error = 0;
    for (std::int64_t k = 0; k < 95; ++k)
      error = std::max(error, std::abs(basin.eta(100 + k, 100) / settings.amplitude -
                                       linear_wave(settings.width, static_cast<double>(k) * dx, gone)));
    // The start (u is at rest half a step too early) shifts the wave by c dt / 2 = 0.05 dx, and waves of k =
    // 1 / width lag by (k dx)^2 / 24 = 1.2e-3 of the way, 0.09 dx on the second leg. Slopes are up to
    // amplitude / width here.
    const double shift = (0.05 + 0.045 * static_cast<double>(leg + 1)) * dx;
    CHECK(error <= shift / settings.width);
    for (const bool diagonal : {false, true}) {
      crests[leg][diagonal ? 1 : 0] = crest(basin, diagonal);
      CHECK(std::abs(crests[leg][diagonal ? 1 : 0] - exact) <= 2 * shift);  // shorter waves lag more
    }
  }
  for (const std::size_t way : {0U, 1U}) {
    const double speed = (crests[1][way] - crests[0][way]) / (basin.model.dt() * static_cast<double>(steps));
    CHECK(std::abs(speed / c - 1) <= 0.005);
  }
}

TEST_CASE("tsunami: without rotation, exchanging x and y of the source transposes the wave") {
  const TsunamiSettings settings = without_rotation();
  Basin a(settings, 0.3, 0.8);
  Basin b(settings, 0.8, 0.3);
  a.advance(300);
  b.advance(300);
  // Only the order of a sum of four fluxes differs: a few units of 1 m per step, which a linear wave carries
  // on.
  const double tolerance = 300 * 4 * round_off;
  double u = 0;
  double eta = 0;
  for (std::int64_t j = 0; j < 64; ++j)
    for (std::int64_t i = 0; i < 64; ++i) {
      u = std::max(u, std::abs(a.u(i, j)));
      eta = std::max(eta, std::abs(a.eta(i, j)));
      CHECK(std::abs(a.u(i, j) - b.v(j, i)) <= tolerance);
      CHECK(std::abs(a.v(i, j) - b.u(j, i)) <= tolerance);
      CHECK(std::abs(a.eta(i, j) - b.eta(j, i)) <= tolerance);
    }
  CHECK(u > 0.03);
  CHECK(eta > 0.1);

  // With rotation it does not.
  Basin c(TsunamiSettings{}, 0.3, 0.8);
  Basin d(TsunamiSettings{}, 0.8, 0.3);
  c.advance(300);
  d.advance(300);
  double difference = 0;
  for (std::int64_t k = 0; k < 64; ++k) difference = std::max(difference, std::abs(c.eta(k, 40) - d.eta(40, k)));
  CHECK(difference > 1e-3);
}

TEST_CASE("tsunami: without rotation, a source in the middle makes a wave that mirrors itself, off the walls too") {
  const TsunamiSettings settings = without_rotation();
  Basin basin(settings, 0.5, 0.5);
  basin.advance(850);  // 85 cells: it has met all walls
  const double tolerance = 850 * 4 * round_off;
  for (std::int64_t j = 0; j < 64; ++j)
    for (std::int64_t i = 0; i < 64; ++i) {
      CHECK(std::abs(basin.eta(i, j) - basin.eta(63 - i, j)) <= tolerance);
      CHECK(std::abs(basin.eta(i, j) - basin.eta(i, 63 - j)) <= tolerance);
      CHECK(std::abs(basin.v(i, j) - basin.v(63 - i, j)) <= tolerance);
      // East faces 0 .. 62 lie mirrored about the middle; face 63 is the east wall, the west one has no
      // number.
      if (i < 63) CHECK(std::abs(basin.u(i, j) + basin.u(62 - i, j)) <= tolerance);
      if (j < 63) CHECK(std::abs(basin.v(i, j) + basin.v(i, 62 - j)) <= tolerance);
    }
  for (std::int64_t k = 0; k < 64; ++k) {
    CHECK(basin.u(63, k) == 0);
    CHECK(basin.v(k, 63) == 0);
  }
}

TEST_CASE("tsunami: grids of one basin converge at first order") {
  TsunamiSettings settings;
  settings.width = 8e4;  // ten cells of the coarsest grid across the source
  // First order: u and v lie half a cell apart in the rotation, and the flux is upwind.
  for (const double order : observed_orders(settings, 64)) {
    CHECK(order >= 0.9);
    CHECK(order <= 1.2);
  }
}

TEST_CASE("tsunami: velocities without rotation converge at second order") {
  // What is left is centred on the staggered grid; the upwind flux is smaller by eta / H = 1/100.
  const std::array<double, 3> orders = observed_orders(without_rotation(), 32);
  for (const std::size_t channel : {0U, 1U}) {
    CHECK(orders[channel] >= 1.9);
    CHECK(orders[channel] <= 2.1);
  }
}

TEST_CASE("tsunami: states are those after the wanted steps") {
  TsunamiSettings settings;
  settings.nodes = 12;
  Basin basin(settings, 0.4, 0.7);
  const auto each = static_cast<std::size_t>(basin.model.state_size());
  std::vector<float> out(4 * each);
  const std::array<std::int64_t, 4> steps{0, 2, 7, 7};
  basin.model.states(std::array{0.4, 0.7}, steps, out);
  for (std::size_t k = 0; k < 4; ++k) {
    if (k > 0) basin.advance(static_cast<int>(steps[k] - steps[k - 1]));
    for (std::size_t i = 0; i < each; ++i) REQUIRE(out[k * each + i] == static_cast<float>(basin.state[i]));
  }
  CHECK_THROWS_WITH_AS(basin.model.states(std::array{0.4, 0.7}, std::span(steps).first(2), out),
                       "tsunami: room for 1728 values, 2 states need 864", levda::Error);
  CHECK_THROWS_WITH_AS(basin.model.states(std::array{0.4, 0.7}, std::array<std::int64_t, 4>{3, 2, 3, 4}, out),
                       "tsunami: step 2 is wanted after step 3", levda::Error);
}

TEST_CASE("tsunami: settings that make no sense are named") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const auto refused = [](const char* message, auto change) {
    TsunamiSettings settings;
    change(settings);
    CHECK_THROWS_WITH_AS(Tsunami{settings}, message, levda::Error);
  };
  refused("tsunami: nodes = 2 must be at least 3", [](TsunamiSettings& s) { s.nodes = 2; });
  refused("tsunami: nodes = -5 must be at least 3", [](TsunamiSettings& s) { s.nodes = -5; });
  refused("tsunami: length = 0 must be positive", [](TsunamiSettings& s) { s.length = 0; });
  refused("tsunami: length = inf must be positive", [&](TsunamiSettings& s) { s.length = infinity; });
  refused("tsunami: gravity = -9.81 must be positive", [](TsunamiSettings& s) { s.gravity = -9.81; });
  refused("tsunami: depth = nan must be positive", [&](TsunamiSettings& s) { s.depth = nan; });
  refused("tsunami: courant = 0 must be positive", [](TsunamiSettings& s) { s.courant = 0; });
  refused("tsunami: courant = 1 is above 0.7071, the limit of stability", [](TsunamiSettings& s) { s.courant = 1; });
  refused("tsunami: width = -1 must be positive", [](TsunamiSettings& s) { s.width = -1; });
  refused("tsunami: amplitude = 100 must be below the depth", [](TsunamiSettings& s) { s.amplitude = 100; });
  refused("tsunami: amplitude = nan must be below the depth", [&](TsunamiSettings& s) { s.amplitude = nan; });
  refused("tsunami: coriolis must be finite", [&](TsunamiSettings& s) { s.coriolis = nan; });
  refused("tsunami: beta must be finite", [&](TsunamiSettings& s) { s.beta = infinity; });
}
