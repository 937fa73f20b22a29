#include "models/kolmogorov.h"

#include <doctest/doctest.h>
#include <oneapi/tbb/parallel_for.h>

#include <cmath>
#include <complex>
#include <limits>
#include <numbers>

#include "autodiff/error.h"
#include "autodiff/random.h"
#include "tests/autodiff/compare.h"

using levda::models::Kolmogorov;
using levda::models::KolmogorovSettings;
using levda::testing::largest;
using levda::testing::largest_difference;

namespace {

constexpr double round_off = 0x1p-53;

using Field = std::vector<double>;

/// A square and its state; i and j may lie one period outside.
struct Square {
  KolmogorovSettings settings;
  Kolmogorov model;
  Field state;
  Field scratch;

  explicit Square(const KolmogorovSettings& s)
      : settings(s),
        model(s),
        state(static_cast<std::size_t>(model.state_size())),
        scratch(static_cast<std::size_t>(model.scratch_size())) {
    model.initial_state(state);
  }
  void advance(double reynolds, std::int64_t steps) {
    for (std::int64_t k = 0; k < steps; ++k) model.step<double>(state, reynolds, scratch);
  }
  void project() { model.project<double>(state, scratch); }
  double& at(std::int64_t c, std::int64_t i, std::int64_t j) {
    const std::int64_t n = settings.nodes;
    return state[static_cast<std::size_t>((c * n + (j + 2 * n) % n) * n + (i + 2 * n) % n)];
  }
  void fill(const auto& value) {  // (channel, x, y), in cells
    for (std::int64_t c = 0; c < 2; ++c)
      for (std::int64_t j = 0; j < settings.nodes; ++j)
        for (std::int64_t i = 0; i < settings.nodes; ++i)
          at(c, i, j) = value(c, static_cast<double>(i) + Kolmogorov::offset_x[static_cast<std::size_t>(c)],
                              static_cast<double>(j) + Kolmogorov::offset_y[static_cast<std::size_t>(c)]);
  }
  void randomise(std::uint64_t seed) {
    levda::autodiff::Random random(seed);
    for (double& value : state) value = random.normal();
  }
  double divergence(std::int64_t i, std::int64_t j) {
    return at(0, i, j) - at(0, i - 1, j) + at(1, i, j) - at(1, i, j - 1);
  }
  double largest_divergence() {
    double most = 0;
    for (std::int64_t j = 0; j < settings.nodes; ++j)
      for (std::int64_t i = 0; i < settings.nodes; ++i)
        if (!(std::abs(divergence(i, j)) <= most)) most = std::abs(divergence(i, j));
    return most;
  }
};

KolmogorovSettings small(std::int64_t nodes) { return {.nodes = nodes, .burn_in = 1, .base_reynolds = 100}; }

KolmogorovSettings undisturbed(std::int64_t nodes) {
  KolmogorovSettings settings = small(nodes);
  settings.wavenumber = 0;
  settings.drag = 0;
  return settings;
}

// The scheme as it is published, in plain loops.

double quotient(double a, double b) { return a / (b != 0 ? b : 1); }

double phi(double r) { return r > 0 ? quotient(2 * r, 1 + r) : 0; }

/// c between c_i and c_{i+1}, for c = {c_{i-1}, c_i, c_{i+1}, c_{i+2}} and a velocity u.
double limited(double u, double dt, double h, const std::array<double, 4>& c) {
  const double courant = dt * u / h;
  const double difference = c[2] - c[1];
  if (u > 0) return c[1] + 0.5 * (1 - courant) * difference * phi(quotient(c[1] - c[0], difference));
  return c[2] - 0.5 * (1 + courant) * difference * phi(quotient(c[3] - c[2], difference));
}

Field reference_projection(Square field) {
  const std::int64_t n = field.settings.nodes;
  const double h = field.model.h();
  using Complex = std::complex<double>;
  const auto wave = [&](std::int64_t m) {
    return std::polar(1.0, 2 * std::numbers::pi * static_cast<double>(m % n) / static_cast<double>(n));
  };
  const auto at = [&](std::int64_t i, std::int64_t j) {
    return static_cast<std::size_t>((j + n) % n * n + (i + n) % n);
  };
  Field p(static_cast<std::size_t>(n * n));
  for (std::int64_t ky = 0; ky < n; ++ky)
    for (std::int64_t kx = 0; kx < n; ++kx) {
      if (kx == 0 && ky == 0) continue;
      Complex sum = 0;
      for (std::int64_t j = 0; j < n; ++j)
        for (std::int64_t i = 0; i < n; ++i) sum += field.divergence(i, j) / h * std::conj(wave(kx * i + ky * j));
      const double eigenvalue = (2 * wave(kx).real() - 2 + 2 * wave(ky).real() - 2) / (h * h);
      sum /= eigenvalue * static_cast<double>(n * n);
      for (std::int64_t j = 0; j < n; ++j)
        for (std::int64_t i = 0; i < n; ++i) p[at(i, j)] += (sum * wave(kx * i + ky * j)).real();
    }
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = 0; i < n; ++i) {
      field.at(0, i, j) -= (p[at(i + 1, j)] - p[at(i, j)]) / h;
      field.at(1, i, j) -= (p[at(i, j + 1)] - p[at(i, j)]) / h;
    }
  return field.state;
}

Field reference_step(Square old, double reynolds) {
  const std::int64_t n = old.settings.nodes;
  const double h = old.model.h();
  const double dt = old.model.dt();
  Square next = old;
  for (std::int64_t c = 0; c < 2; ++c) {
    // Fluxes of c out of cell (i, j), east and north.
    const auto east = [&](std::int64_t i, std::int64_t j) {
      const double u =
          c == 0 ? (old.at(0, i, j) + old.at(0, i + 1, j)) / 2 : (old.at(0, i, j) + old.at(0, i, j + 1)) / 2;
      return u * limited(u, dt, h, {old.at(c, i - 1, j), old.at(c, i, j), old.at(c, i + 1, j), old.at(c, i + 2, j)});
    };
    const auto north = [&](std::int64_t i, std::int64_t j) {
      const double v =
          c == 0 ? (old.at(1, i, j) + old.at(1, i + 1, j)) / 2 : (old.at(1, i, j) + old.at(1, i, j + 1)) / 2;
      return v * limited(v, dt, h, {old.at(c, i, j - 1), old.at(c, i, j), old.at(c, i, j + 1), old.at(c, i, j + 2)});
    };
    for (std::int64_t j = 0; j < n; ++j)
      for (std::int64_t i = 0; i < n; ++i) {
        const double here = old.at(c, i, j);
        const double convection = -(east(i, j) - east(i - 1, j) + north(i, j) - north(i, j - 1)) / h;
        const double laplacian =
            (old.at(c, i + 1, j) + old.at(c, i - 1, j) + old.at(c, i, j + 1) + old.at(c, i, j - 1) - 4 * here) /
            (h * h);
        const double y = (static_cast<double>(j) + 0.5) * h;
        const double wave = 2 * std::numbers::pi * static_cast<double>(old.settings.wavenumber) / old.settings.length;
        const double force = (c == 0 ? std::sin(wave * y) : 0) - old.settings.drag * here;
        next.at(c, i, j) = here + dt * (convection + laplacian / reynolds + force);
      }
  }
  return reference_projection(next);
}

double distance(const Field& a, const Field& b) {
  double squares = 0;
  for (std::size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(squares);
}

double norm(const Field& a) { return distance(a, Field(a.size())); }

Field shifted(Square from, std::int64_t dx, std::int64_t dy) {
  Square to = from;
  for (std::int64_t c = 0; c < 2; ++c)
    for (std::int64_t j = 0; j < from.settings.nodes; ++j)
      for (std::int64_t i = 0; i < from.settings.nodes; ++i) to.at(c, i, j) = from.at(c, i - dx, j - dy);
  return to.state;
}

}  // namespace

TEST_CASE("kolmogorov: grid and time step") {
  KolmogorovSettings settings = small(64);
  const Kolmogorov k64(settings);
  CHECK(std::abs(k64.h() - 2 * std::numbers::pi / 64) <= 1e-15);
  CHECK(k64.steps_per_outer() == 5);
  CHECK(std::abs(k64.dt() - 0.008) <= 1e-17);
  CHECK(k64.state_size() == 2 * 64 * 64);
  settings.nodes = 150;
  CHECK(Kolmogorov(settings).steps_per_outer() == 10);
  settings = small(10);  // an outer step is 4 inner ones but for rounding
  settings.length = 1;
  settings.courant = 0.5;
  settings.outer_step = 0.04;
  CHECK(Kolmogorov(settings).steps_per_outer() == 4);
}

TEST_CASE("kolmogorov: one step is the published formula, on any grid") {
  for (const std::int64_t n : {4, 5, 6, 7, 8, 9, 10, 12, 18}) {
    CAPTURE(n);
    KolmogorovSettings settings = small(n);
    settings.length = 3;
    settings.wavenumber = 2;
    settings.drag = 0.3;
    Square square(settings);
    square.randomise(static_cast<std::uint64_t>(n));
    // Somewhere nothing changes: differences are zero.
    for (std::int64_t j = 0; j < 3; ++j)
      for (std::int64_t i = 0; i < 4; ++i)
        for (std::int64_t c = 0; c < 2; ++c) square.at(c, i, j) = 0.25;
    const Field expected = reference_step(square, 20);
    const Field projected = reference_projection(square);
    Square single = square;
    std::vector<float> state(square.state.begin(), square.state.end());
    std::vector<float> scratch(square.scratch.size());
    square.model.step<float>(state, 20, scratch);
    square.advance(20, 1);
    // Sums of n values of size 1, n times, in the reference's transforms; pressures of size n.
    const double tolerance = 4 * static_cast<double>(n * n) * round_off * std::max(1.0, largest(expected));
    CHECK(largest_difference(square.state, expected) <= tolerance);
    CHECK(largest_difference(Field(state.begin(), state.end()), expected) <= tolerance * 0x1p29);
    single.project();
    CHECK(largest_difference(single.state, projected) <= tolerance);
    CHECK(largest(expected) > 1);
  }
}

TEST_CASE("kolmogorov: a projected field is divergence-free, a divergence-free field is left alone") {
  for (const std::int64_t n : {16, 27, 64, 150}) {
    CAPTURE(n);
    Square square(small(n));
    square.randomise(3);
    Square single = square;
    square.project();
    // Velocities of size 5 with pressures of size n, each some roundings.
    const double tolerance = 4 * static_cast<double>(n) * round_off;
    CHECK(square.largest_divergence() <= tolerance);
    CHECK(norm(square.state) > 0.5 * norm(single.state));
    const Field once = square.state;
    square.project();
    CHECK(largest_difference(square.state, once) <= tolerance);

    std::vector<float> state(single.state.begin(), single.state.end());
    std::vector<float> scratch(single.scratch.size());
    single.model.project<float>(state, scratch);
    single.state.assign(state.begin(), state.end());
    CHECK(single.largest_divergence() <= tolerance * 0x1p29);

    // A gradient is taken away whole.
    Field p(static_cast<std::size_t>(n * n));
    levda::autodiff::Random random(4);
    for (double& value : p) value = random.normal();
    const auto at = [&](std::int64_t i, std::int64_t j) { return p[static_cast<std::size_t>(j % n * n + i % n)]; };
    for (std::int64_t j = 0; j < n; ++j)
      for (std::int64_t i = 0; i < n; ++i) {
        square.at(0, i, j) = at(i + 1, j) - at(i, j);
        square.at(1, i, j) = at(i, j + 1) - at(i, j);
      }
    square.project();
    CHECK(largest(square.state) <= tolerance);
  }
}

TEST_CASE("kolmogorov: Taylor-Green vortices decay at their rate") {
  // u = cos x sin y, v = -sin x cos y, times exp(-2 t / Re).
  constexpr double reynolds = 20;
  std::vector<double> errors;
  for (const std::int64_t n : {16, 32, 64}) {
    Square square(undisturbed(n));
    const double h = square.model.h();
    square.fill([&](std::int64_t c, double x, double y) {
      return c == 0 ? std::cos(x * h) * std::sin(y * h) : -std::sin(x * h) * std::cos(y * h);
    });
    const Field start = square.state;
    const std::int64_t steps = 10 * square.model.steps_per_outer();
    square.advance(reynolds, steps);
    const double decay = std::exp(-2 * 0.4 / reynolds);
    CHECK(std::abs(norm(square.state) / norm(start) - decay) <= 0.1 * (1 - decay) * 64 / static_cast<double>(n));
    Field exact = start;
    for (double& value : exact) value *= decay;
    errors.push_back(distance(square.state, exact) / norm(exact));
  }
  CHECK(std::log2(errors[0] / errors[1]) >= 1);
  CHECK(std::log2(errors[1] / errors[2]) >= 1);
}

TEST_CASE("kolmogorov: shifts by whole cells commute with steps") {
  for (const std::int64_t n : {20, 27}) {
    Square square(undisturbed(n));
    Square moved = square;
    moved.state = shifted(square, 7, 3);
    square.advance(200, 20);
    moved.advance(200, 20);
    // Velocities of size 3, some roundings a step.
    CHECK(largest_difference(moved.state, shifted(square, 7, 3)) <= 20 * 20 * 3 * round_off);
    CHECK(distance(moved.state, square.state) > 0.1 * norm(square.state));
  }
  // With the forcing, by its wavelength.
  Square square(small(20));
  Square moved = square;
  moved.state = shifted(square, 7, 5);
  square.advance(200, 20);
  moved.advance(200, 20);
  CHECK(largest_difference(moved.state, shifted(square, 7, 5)) <= 20 * 20 * 3 * round_off);
}

TEST_CASE("kolmogorov: fluxes leave momentum alone; forcing and drag change it as they should") {
  KolmogorovSettings settings = undisturbed(24);
  Square square(settings);
  for (double& value : square.state) value += 0.5;
  const auto mean = [](const Square& s) {
    double sum = 0;
    for (const double value : s.state) sum += value;
    return sum / static_cast<double>(s.state.size());
  };
  square.advance(300, 40);
  CHECK(std::abs(mean(square) - 0.5) <= 40 * 20 * round_off);
  settings.drag = 0.7;
  Square slower(settings);
  for (double& value : slower.state) value += 0.5;
  slower.advance(300, 40);
  CHECK(std::abs(mean(slower) - 0.5 * std::pow(1 - 0.7 * slower.model.dt(), 40)) <= 40 * 20 * round_off);
}

TEST_CASE("kolmogorov: the initial field has the wanted speed, is divergence-free, and is the same on a finer grid") {
  Square coarse(small(32));
  Square fine(small(64));
  for (Square* square : {&coarse, &fine}) {
    const std::size_t half = square->state.size() / 2;
    double most = 0;
    for (std::size_t i = 0; i < half; ++i) most = std::max(most, std::hypot(square->state[i], square->state[half + i]));
    CHECK(std::abs(most - 3) <= 10 * round_off);
    CHECK(square->largest_divergence() <= 3 * 64 * round_off);
  }
  // Velocities at coarse faces from the two halves of each.
  Square seen = coarse;
  for (std::int64_t j = 0; j < 32; ++j)
    for (std::int64_t i = 0; i < 32; ++i) {
      seen.at(0, i, j) = 0.5 * (fine.at(0, 2 * i + 1, 2 * j) + fine.at(0, 2 * i + 1, 2 * j + 1));
      seen.at(1, i, j) = 0.5 * (fine.at(1, 2 * i, 2 * j + 1) + fine.at(1, 2 * i + 1, 2 * j + 1));
    }
  CHECK(distance(seen.state, coarse.state) <= 0.1 * norm(coarse.state));
  KolmogorovSettings other = small(32);
  other.seed = 5;
  CHECK(distance(Square(other).state, coarse.state) > 0.5 * norm(coarse.state));
}

TEST_CASE("kolmogorov: neighbouring Reynolds numbers stay neighbours") {
  KolmogorovSettings settings;
  settings.nodes = 32;
  settings.burn_in = 20;
  const Kolmogorov model(settings);
  const std::array<std::int64_t, 2> steps{0, 50};
  const auto each = 2 * static_cast<std::size_t>(model.state_size());
  std::array<std::vector<float>, 3> out;
  const std::array<double, 3> reynolds{1000, 1010, 500};
  oneapi::tbb::parallel_for(std::size_t{0}, out.size(), [&](std::size_t k) {
    out[k].resize(each);
    model.states(std::span(reynolds).subspan(k, 1), steps, out[k]);
  });
  const auto relative = [&](std::size_t k) {
    const Field a(out[0].begin(), out[0].end());
    return distance(a, Field(out[k].begin(), out[k].end())) / norm(a);
  };
  CHECK(relative(1) > 1e-5);
  CHECK(relative(1) <= 0.02);
  CHECK(relative(2) > 5 * relative(1));
}

TEST_CASE("kolmogorov: states are those after the wanted steps since the burn-in") {
  KolmogorovSettings settings = small(12);
  settings.burn_in = 3;
  Square square(settings);
  const auto each = static_cast<std::size_t>(square.model.state_size());
  std::vector<float> out(4 * each);
  const std::array<std::int64_t, 4> steps{0, 2, 7, 7};
  square.model.states(std::array{200.0}, steps, out);
  square.advance(200, 3 * square.model.steps_per_outer());
  for (std::size_t k = 0; k < 4; ++k) {
    if (k > 0) square.advance(200, steps[k] - steps[k - 1]);
    for (std::size_t i = 0; i < each; ++i) REQUIRE(out[k * each + i] == static_cast<float>(square.state[i]));
  }
  const auto refused = [&](const char* message, std::span<const double> parameters, std::array<std::int64_t, 4> wanted,
                           std::size_t count) {
    CHECK_THROWS_WITH_AS(square.model.states(parameters, std::span(wanted).first(count), out), message, levda::Error);
  };
  refused("kolmogorov: room for 1152 values, 2 states need 576", std::array{200.0}, steps, 2);
  refused("kolmogorov: step 2 is wanted after step 3", std::array{200.0}, {3, 2, 3, 4}, 4);
  refused("kolmogorov: step -1 is wanted after step 0", std::array{200.0}, {-1, 2, 3, 4}, 4);
  refused("kolmogorov: 4 parameters, not 1", std::array{200.0, 0.0, 0.0, 0.0}, steps, 4);
  refused("kolmogorov: reynolds = -1 must be positive", std::array{-1.0}, steps, 4);
  refused("kolmogorov: reynolds = nan must be positive", std::array{std::numeric_limits<double>::quiet_NaN()}, steps,
          4);
  refused("kolmogorov: reynolds = 0.5 is below 0.584, where steps of 0.04 are unstable", std::array{0.5}, steps, 4);
}

TEST_CASE("kolmogorov: modes are added to one base flow after its burn-in") {
  KolmogorovSettings settings = small(16);
  settings.burn_in = 3;
  settings.modes = 3;
  Square square(settings);
  CHECK(square.model.parameters() == 4);
  square.advance(settings.base_reynolds, 3 * square.model.steps_per_outer());
  const Field base = square.state;
  const auto each = static_cast<std::size_t>(square.model.state_size());
  const auto start = [&](const std::array<double, 4>& parameters) {
    std::vector<float> out(each);
    square.model.states(parameters, std::array<std::int64_t, 1>{0}, out);
    return Field(out.begin(), out.end());
  };
  const double single = 4 * 0x1p-24;  // of velocities below 8
  CHECK(largest_difference(start({500, 0, 0, 0}), base) <= single);
  // A parameter of 1 is an rms speed of 0.2 of the base flow's.
  const std::array<std::array<double, 2>, 3> vectors{{{1, 0}, {0, 1}, {1, 1}}};
  for (std::size_t m = 0; m < 3; ++m) {
    std::array<double, 4> parameters{500, 0, 0, 0};
    parameters[1 + m] = -0.5;
    Field mode = start(parameters);
    for (std::size_t i = 0; i < each; ++i) mode[i] -= base[i];
    CHECK(std::abs(norm(mode) / norm(base) - 0.1) <= 1e-6);
    Square wave = square;
    wave.state = mode;
    CHECK(wave.largest_divergence() <= 10 * single);
    double across = 0;  // along the wave vector nothing flows, nor does anything change across it
    for (std::int64_t j = 0; j < 16; ++j)
      for (std::int64_t i = 0; i < 16; ++i)
        for (std::int64_t c = 0; c < 2; ++c) {
          const auto [kx, ky] = vectors[m];
          const double other = wave.at(c, i + static_cast<std::int64_t>(ky), j - static_cast<std::int64_t>(kx));
          across = std::max(across, std::abs(wave.at(c, i, j) - other));
          const double opposite = wave.at(c, i + (kx > 0 ? 8 : 0), j + (kx > 0 ? 0 : 8));
          across = std::max(across, std::abs(wave.at(c, i, j) + opposite));
        }
    CHECK(across <= 10 * single);
  }
  // Amplitudes add up, and the Reynolds number is the trajectory's own from there on.
  const Field all = start({500, 0.5, -0.25, 1});
  Field sum = base;
  for (std::size_t m = 0; m < 3; ++m) {
    std::array<double, 4> parameters{500, 0, 0, 0};
    parameters[1 + m] = std::array{0.5, -0.25, 1.0}[m];
    const Field one = start(parameters);
    for (std::size_t i = 0; i < each; ++i) sum[i] += one[i] - base[i];
  }
  CHECK(largest_difference(all, sum) <= 10 * single);
  std::vector<float> out(2 * each);
  square.model.states(std::array{80.0, 0.0, 0.0, 0.0}, std::array<std::int64_t, 2>{0, 4}, out);
  square.advance(80, 4);
  CHECK(largest_difference(Field(out.begin() + static_cast<std::ptrdiff_t>(each), out.end()), square.state) <= single);
  CHECK_THROWS_WITH_AS(square.model.states(std::array{80.0}, std::array<std::int64_t, 2>{0, 4}, out),
                       "kolmogorov: 1 parameters, not 4", levda::Error);
  CHECK_THROWS_WITH_AS(square.model.states(std::array{80.0, 0.0, std::numeric_limits<double>::infinity(), 0.0},
                                           std::array<std::int64_t, 2>{0, 4}, out),
                       "kolmogorov: mode amplitude 2 = inf must be finite", levda::Error);
}

TEST_CASE("kolmogorov: settings that make no sense are named") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const auto refused = [](const char* message, auto change) {
    KolmogorovSettings settings = small(8);
    change(settings);
    CHECK_THROWS_WITH_AS(Kolmogorov{settings}, message, levda::Error);
  };
  using S = KolmogorovSettings;
  refused("kolmogorov: nodes = 3 must be at least 4", [](S& s) { s.nodes = 3; });
  refused("kolmogorov: length = 0 must be positive", [](S& s) { s.length = 0; });
  refused("kolmogorov: outer_step = inf must be positive", [&](S& s) { s.outer_step = infinity; });
  refused("kolmogorov: burn_in = -1 is negative", [](S& s) { s.burn_in = -1; });
  refused("kolmogorov: wavenumber = -4 is negative", [](S& s) { s.wavenumber = -4; });
  refused("kolmogorov: drag = nan must not be negative", [&](S& s) { s.drag = nan; });
  refused("kolmogorov: max_speed = 0 must be positive", [](S& s) { s.max_speed = 0; });
  refused("kolmogorov: peak_wavenumber = -1 must be positive", [](S& s) { s.peak_wavenumber = -1; });
  refused("kolmogorov: courant = nan must be positive", [&](S& s) { s.courant = nan; });
  refused("kolmogorov: stable_speed = 0 must be positive", [](S& s) { s.stable_speed = 0; });
  refused("kolmogorov: modes = 2 must be 0 or 3", [](S& s) { s.modes = 2; });
  refused("kolmogorov: base_reynolds = 0 must be positive", [](S& s) { s.base_reynolds = 0; });
  refused("kolmogorov: mode_amplitude must be finite", [&](S& s) { s.mode_amplitude = nan; });
  refused("kolmogorov: 3.2e+13 steps in an outer step", [](S& s) { s.outer_step = 0.04, s.length = 1e-13; });
}
