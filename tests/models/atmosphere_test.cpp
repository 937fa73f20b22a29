#include "models/atmosphere.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <complex>
#include <limits>
#include <numbers>
#include <thread>

#include "autodiff/error.h"
#include "tests/autodiff/compare.h"

using levda::models::associated_legendre;
using levda::models::Atmosphere;
using levda::models::AtmosphereInitial;
using levda::models::AtmosphereSettings;
using levda::models::SphericalHarmonics;
using levda::testing::largest;
using levda::testing::largest_difference;
using Complex = std::complex<double>;

namespace {

constexpr double round_off = 0x1p-53;
constexpr double pi = std::numbers::pi;
constexpr std::array<double, 2> no_heating{0, 1};
enum Variable : std::uint8_t { zeta, delta, height };

std::size_t place(const Atmosphere& model, Variable variable, std::int64_t l, std::int64_t m) {
  return static_cast<std::size_t>(variable * model.harmonics().size() + model.harmonics().at(l, m));
}

std::size_t imaginary(const Atmosphere& model, Variable variable, std::int64_t l, std::int64_t m) {
  return place(model, variable, l, m) + static_cast<std::size_t>(model.harmonics().imaginary(m));
}

Complex get(const Atmosphere& model, const Atmosphere::State& state, Variable variable, std::int64_t l,
            std::int64_t m) {
  return {state[place(model, variable, l, m)], state[imaginary(model, variable, l, m)]};
}

void set(const Atmosphere& model, Atmosphere::State& state, Variable variable, std::int64_t l, std::int64_t m,
         Complex value) {
  state[place(model, variable, l, m)] = value.real();
  state[imaginary(model, variable, l, m)] = value.imag();
}

/// Nothing but the equations: no start-up, no mountains, no hyperdiffusion, no wind.
AtmosphereSettings bare(std::int64_t nodes, double dt = 600) {
  AtmosphereSettings settings;
  settings.nodes = nodes;
  settings.dt = dt;
  settings.start_up = 0;
  settings.mountains = 0;
  settings.hyperdiffusion = 0;
  settings.jet = 0;
  settings.eddies = 0;
  return settings;
}

void advance(const Atmosphere& model, Atmosphere::State& state, std::int64_t steps,
             std::span<const double> parameters = no_heating, double t = 0) {
  Atmosphere::Scratch scratch;
  for (std::int64_t k = 0; k < steps; ++k)
    model.step(state, t + static_cast<double>(k) * model.dt() / 3600, parameters, scratch);
}

/// Rossby-Haurwitz wave of zonal wave number 4 (case 6 of Williamson et al., 1992), its h in balance with mean 0.
Atmosphere::State rossby_haurwitz(const Atmosphere& model) {
  constexpr double omega = 7.848e-6;
  Atmosphere::State state(model.initial().size(), 0.0);
  const double mu = 0.5;
  const double ratio = associated_legendre(4, 5, mu)[1] / (mu * std::pow(1 - mu * mu, 2));
  set(model, state, zeta, 1, 0, 2 * omega / std::sqrt(3.0));
  set(model, state, zeta, 5, 4, -30 * omega / ratio / 2);
  Atmosphere::Scratch scratch;
  model.balance(state, scratch);
  return state;
}

/// R(z) of the implicit half of ARS(2,2,2).
Complex amplification(Complex z) {
  const double gamma = 1 - std::numbers::sqrt2 / 2;
  return (1.0 + (1 - 2 * gamma) * z) / ((1.0 - gamma * z) * (1.0 - gamma * z));
}

}  // namespace

TEST_CASE("atmosphere: the grid") {
  AtmosphereSettings settings = bare(64);
  const Atmosphere model(settings);
  CHECK(model.harmonics().truncation() == 42);
  CHECK(model.state_size() == 3 * 64 * 128);
  CHECK(model.latitude(0) == -90 + 90.0 / 64);
  CHECK(model.latitude(63) == 90 - 90.0 / 64);
  CHECK(model.longitude(0) == 0);
  CHECK(model.longitude(127) == 360 - 360.0 / 128);
}

TEST_CASE("atmosphere: a zonal flow in balance stays (case 2 of Williamson et al.), and is sampled as it is") {
  AtmosphereSettings settings = bare(16, 1200);
  settings.depth = 2.94e4 / 9.80616;
  const Atmosphere model(settings);
  const double speed = 2 * pi * settings.radius / (12 * 86400);
  const double height_range = (settings.radius * settings.rotation * speed + speed * speed / 2) / settings.gravity;
  Atmosphere::State state(model.initial().size(), 0.0);
  set(model, state, zeta, 1, 0, 2 * speed / settings.radius / std::sqrt(3.0));
  set(model, state, height, 2, 0, -height_range * 2 / (3 * std::sqrt(5.0)));  // mu^2 = 1/3 + 2 / (3 sqrt 5) P_20
  Atmosphere::State balanced = state;
  Atmosphere::Scratch scratch;
  model.balance(balanced, scratch);
  // Terms of 1e3 m, summed over some tens of points.
  CHECK(largest_difference(balanced, state) <= 100 * 1e3 * round_off);

  std::vector<double> fields(static_cast<std::size_t>(model.state_size()));
  advance(model, state, 5 * 72);
  model.sample(state, fields, scratch);
  const std::size_t points = 16 * 32;
  double worst = 0;
  for (std::size_t k = 0; k < points; ++k) {
    const double latitude = model.latitude(static_cast<std::int64_t>(k) / 32) * pi / 180;
    worst = std::max(worst, std::abs(fields[k] / speed - std::cos(latitude)));
    worst = std::max(worst, std::abs(fields[points + k] / speed));
    worst =
        std::max(worst, std::abs(fields[2 * points + k] / height_range - (1.0 / 3 - std::pow(std::sin(latitude), 2))));
  }
  // Five days: 360 steps, each with some tens of roundings of numbers of order 1.
  CHECK(worst <= 360 * 30 * round_off);
}

TEST_CASE("atmosphere: in a very deep fluid the Rossby-Haurwitz wave travels at its known speed, unchanged") {
  AtmosphereSettings settings = bare(32);
  settings.depth = 1e9;  // (f radius)^2 / (g depth) = 1e-4: the flow has next to no divergence
  const Atmosphere model(settings);
  const Atmosphere::State before = rossby_haurwitz(model);
  Atmosphere::State after = before;
  advance(model, after, 144);
  const double speed = (28 * 7.848e-6 - 2 * settings.rotation) / 30;  // rad / s, eastward
  const Complex ratio = get(model, after, zeta, 5, 4) / get(model, before, zeta, 5, 4);
  const Complex expected = std::polar(1.0, -4 * speed * 86400);
  CHECK(std::abs(ratio - expected) <= 1e-3);
  CHECK(std::abs(expected - 1.0) > 0.5);
  // No other wave has come up.
  set(model, after, zeta, 5, 4, 0);
  set(model, after, zeta, 1, 0, get(model, after, zeta, 1, 0) - get(model, before, zeta, 1, 0));
  const auto size = static_cast<std::size_t>(model.harmonics().size());
  CHECK(largest(std::span(after).first(size)) <= 1e-3 * std::abs(get(model, before, zeta, 5, 4)));
}

TEST_CASE("atmosphere: time steps converge at second order, energy and mass stay (case 6 of Williamson et al.)") {
  std::vector<Atmosphere::State> states;
  AtmosphereSettings settings = bare(32);
  settings.depth = 9500;
  for (const std::int64_t refined : {1, 2, 4}) {
    settings.dt = 1200 / static_cast<double>(refined);
    const Atmosphere model(settings);
    Atmosphere::State state = rossby_haurwitz(model);
    advance(model, state, 18 * refined);
    states.push_back(state);
  }
  const Atmosphere model(settings);
  const auto size = static_cast<std::size_t>(model.harmonics().size());
  for (const std::size_t variable : {0U, 2U}) {
    const auto part = [&](std::size_t k) { return std::span(states[k]).subspan(variable * size, size); };
    const double order = std::log2(largest_difference(part(0), part(1)) / largest_difference(part(1), part(2)));
    CHECK(order >= 1.9);
    CHECK(order <= 2.2);
  }
  // Energy of the total depth D: D |u|^2 / 2 + g D^2 / 2, averaged over the sphere.
  const auto energy = [&](const Atmosphere::State& state) {
    std::vector<double> grid(4 * 32 * 64);
    levda::models::Coefficients fields(4 * size, 0.0);
    model.harmonics().wind(state.data(), state.data() + size, fields.data(), fields.data() + size);
    std::copy_n(state.begin() + static_cast<std::ptrdiff_t>(2 * size), size,
                fields.begin() + static_cast<std::ptrdiff_t>(2 * size));
    SphericalHarmonics::Workspace work;
    model.harmonics().synthesis(fields, grid, work);
    const auto rule = levda::models::gauss_rule(32);
    double kinetic = 0;
    double potential = 0;
    for (std::size_t j = 0; j < 32; ++j)
      for (std::size_t i = 0; i < 64; ++i) {
        const std::size_t k = j * 64 + i;
        const double weight = rule.weight[j] / 128;
        const double cosine2 = 1 - rule.abscissa[j] * rule.abscissa[j];
        const double h = grid[2 * 32 * 64 + k];
        kinetic += weight * (settings.depth + h) * 0.5 * settings.radius * settings.radius *
                   (grid[k] * grid[k] + grid[32 * 64 + k] * grid[32 * 64 + k]) / cosine2;
        potential += weight * settings.gravity * 0.5 * h * h;  // the mean of h is 0
      }
    return std::array{kinetic + potential, kinetic};
  };
  const auto before = energy(rossby_haurwitz(model));
  const auto after = energy(states[2]);
  CHECK(std::abs(after[0] / before[0] - 1) <= 1e-5);
  CHECK(before[1] > 1e6);
  CHECK(states[2][place(model, height, 0, 0)] == 0);
}

TEST_CASE("atmosphere: gravity waves and hyperdiffusion are those of the implicit scheme, exactly") {
  AtmosphereSettings settings = bare(16, 1800);
  settings.rotation = 0;
  for (const auto& [l, m] : std::array<std::array<std::int64_t, 2>, 3>{{{1, 0}, {6, 3}, {10, 10}}}) {
    const Atmosphere model(settings);
    Atmosphere::State state(model.initial().size(), 0.0);
    const double amplitude = 1e-7;  // m: linear to 1e-11
    set(model, state, height, l, m, amplitude);
    advance(model, state, 12);
    const double frequency =
        std::sqrt(settings.gravity * settings.depth * static_cast<double>(l * (l + 1))) / settings.radius;
    const Complex expected = std::pow(amplification({0, frequency * settings.dt}), 12);
    const double factor = frequency / settings.depth;  // delta = Re(i omega ..) h / depth
    CHECK(std::abs(get(model, state, height, l, m) / amplitude - expected.real()) <= 1e-10);
    CHECK(std::abs(get(model, state, delta, l, m) / amplitude / factor - expected.imag()) <= 1e-10);
    // And so the wave's own, to the order of the scheme: (omega dt)^3 / 12 per step is more than its constant.
    const Complex wave = std::polar(1.0, frequency * settings.dt * 12);
    if (l == 1) CHECK(std::abs(expected - wave) <= std::pow(frequency * settings.dt, 3));
  }
  settings.hyperdiffusion = 1e5;
  const Atmosphere model(settings);
  Atmosphere::State state(model.initial().size(), 0.0);
  set(model, state, zeta, 10, 4, Complex(1e-16, 2e-16));
  set(model, state, zeta, 1, 0, 1e-16);
  advance(model, state, 12);
  const double rate = settings.hyperdiffusion * 109 * 109 / (settings.radius * settings.radius);
  const double rate_of_rotation = settings.hyperdiffusion / (settings.radius * settings.radius);
  CHECK(std::abs(get(model, state, zeta, 10, 4) / Complex(1e-16, 2e-16) -
                 std::pow(amplification(-rate * settings.dt), 12)) <= 1e-10);
  CHECK(std::abs(get(model, state, zeta, 1, 0) / 1e-16 -
                 std::pow(amplification(-rate_of_rotation * settings.dt), 12)) <= 1e-10);
  CHECK(rate * settings.dt * 12 > 0.1);
}

TEST_CASE("atmosphere: turned or mirrored, it does the same") {
  AtmosphereSettings settings = bare(16);
  settings.jet = 40;
  settings.eddies = 12;
  const Atmosphere model(settings);
  const std::int64_t truncation = model.harmonics().truncation();
  const auto changed = [&](const Atmosphere::State& state, const auto& factor) {
    Atmosphere::State result(state.size(), 0.0);
    for (const Variable variable : {zeta, delta, height})
      for (std::int64_t m = 0; m <= truncation; ++m)
        for (std::int64_t l = m; l <= truncation; ++l)
          set(model, result, variable, l, m, factor(variable, l, m) * get(model, state, variable, l, m));
    return result;
  };
  const auto turned = [](Variable, std::int64_t, std::int64_t m) {
    return std::polar(1.0, 0.7 * static_cast<double>(m));
  };
  // Vorticity is an axial scalar.
  const auto mirrored = [](Variable variable, std::int64_t l, std::int64_t m) {
    return Complex((l - m) % 2 == 0 ? 1 : -1) * (variable == zeta ? -1.0 : 1.0);
  };
  Atmosphere::Scratch scratch;
  Atmosphere::State start = model.initial();
  model.balance(start, scratch);
  Atmosphere::State plain = start;
  advance(model, plain, 20);
  const auto size = static_cast<std::size_t>(model.harmonics().size());
  const auto check = [&](const auto& factor) {
    Atmosphere::State other = changed(start, factor);
    advance(model, other, 20);
    const Atmosphere::State expected = changed(plain, factor);
    for (const std::size_t variable : {0U, 1U, 2U}) {
      const auto field = [&](const Atmosphere::State& s) { return std::span(s).subspan(variable * size, size); };
      // Round-off grows little in three hours; divergence is small, and comes from differences of large terms.
      CHECK(largest_difference(field(other), field(expected)) <= 1e-10 * largest(field(expected)));
    }
  };
  check(turned);
  check(mirrored);
  CHECK(largest_difference(plain, start) > 1);
}

TEST_CASE("atmosphere: the heating is the formula, at its hour and season") {
  AtmosphereSettings settings = bare(32, 1);
  settings.rotation = 0;
  const Atmosphere model(settings);
  Atmosphere::Scratch scratch;
  std::vector<double> fields(static_cast<std::size_t>(model.state_size()));
  for (const double t : {0.0, 6.0, 252.0, 700.5}) {
    Atmosphere::State state(model.initial().size(), 0.0);
    model.step(state, t, std::array{30.0, 0.5}, scratch);
    model.sample(state, fields, scratch);
    double worst = 0;
    for (std::size_t j = 0; j < 32; ++j)
      for (std::size_t i = 0; i < 64; ++i) {
        const double latitude = model.latitude(static_cast<std::int64_t>(j)) * pi / 180;
        const double longitude = model.longitude(static_cast<std::int64_t>(i)) * pi / 180;
        const double expected = std::cos(longitude - 2 * pi * t / 24) *
                                std::exp(-std::pow((latitude - 0.4 * std::sin(2 * pi * t / 1008)) / 0.5, 2));
        worst = std::max(worst, std::abs(fields[(2 * 32 + j) * 64 + i] * 3600 / 30 - expected));
      }
    // exp(-4 x^2) is nearly 0 at the poles and has next to nothing above degree 21; a second is 7e-5 of a day.
    CHECK(worst <= 2e-3);
    CHECK(state[place(model, height, 0, 0)] == 0);
  }
}

TEST_CASE("atmosphere: the initial state has the winds asked for, at every truncation") {
  AtmosphereSettings settings = bare(32);
  settings.eddies = 12;
  const Atmosphere model(settings);
  double square = 0;
  double enstrophy_outside = 0;
  for (std::int64_t m = 0; m <= 21; ++m)
    for (std::int64_t l = std::max<std::int64_t>(m, 1); l <= 21; ++l) {
      const double value = (m == 0 ? 1 : 2) * std::norm(get(model, model.initial(), zeta, l, m));
      square += value * std::pow(settings.radius, 2) / static_cast<double>(l * (l + 1));
      if (l < 4 || l > 20) enstrophy_outside += value;
    }
  CHECK(std::abs(std::sqrt(square) - 12) <= 1e-12);
  CHECK(enstrophy_outside <= 1e-60);
  settings.seed = 1;
  CHECK(largest_difference(Atmosphere(settings).initial(), model.initial()) > 1e-6);
  // The same at another truncation, where both have it.
  settings.seed = 0;
  settings.nodes = 64;
  const Atmosphere finer(settings);
  CHECK(std::abs(get(finer, finer.initial(), zeta, 20, 7) - get(model, model.initial(), zeta, 20, 7)) <= 1e-20);

  settings = bare(32);
  settings.jet = 40;
  const Atmosphere jets(settings);
  Atmosphere::Scratch scratch;
  std::vector<double> fields(static_cast<std::size_t>(jets.state_size()));
  jets.sample(jets.initial(), fields, scratch);
  for (std::size_t j = 0; j < 32; ++j) {
    const double latitude = jets.latitude(static_cast<std::int64_t>(j)) * pi / 180;
    // Times the cosine it has a kink at the poles, (1 - mu^2)^(3/2); degree 21 leaves 5e-3 there.
    CHECK(std::abs(fields[j * 64] - 40 * std::pow(std::sin(2 * latitude), 2)) <= 0.3);
  }
}

TEST_CASE("atmosphere: states are those after the start-up and the wanted steps, from many threads") {
  AtmosphereSettings settings;
  settings.nodes = 16;
  settings.dt = 1800;
  settings.start_up = 12;
  const std::array parameters{10.0, 2.0};
  const Atmosphere model(settings);
  Atmosphere::Scratch scratch;
  Atmosphere::State state = model.initial();
  // Balanced after 0, 6000 and 30000 s.
  for (std::int64_t k = 0; k < 24; ++k) {
    if (k == 0 || k == 4 || k == 17) model.balance(state, scratch);
    model.step(state, static_cast<double>(k) * 0.5, parameters, scratch);
  }
  const std::array<std::int64_t, 4> steps{0, 2, 7, 7};
  const auto each = static_cast<std::size_t>(model.state_size());
  std::vector<float> out(4 * each);
  model.states(parameters, steps, out);
  std::vector<double> fields(each);
  for (std::size_t k = 0; k < 4; ++k) {
    if (k > 0)
      for (std::int64_t step = steps[k - 1]; step < steps[k]; ++step)
        model.step(state, 12 + static_cast<double>(step) * 0.5, parameters, scratch);
    model.sample(state, fields, scratch);
    for (std::size_t i = 0; i < each; ++i) REQUIRE(out[k * each + i] == static_cast<float>(fields[i]));
  }
  std::vector<float> others(out.size());
  std::vector<float> again(out.size());
  {
    const std::jthread one([&] { model.states(std::array{25.0, 1.5}, steps, others); });
    const std::jthread two([&] { model.states(parameters, steps, again); });
  }
  CHECK(again == out);
  CHECK(others != out);
  // Heated only afterwards, all begin alike.
  settings.heating_from = 12;
  const Atmosphere later(settings);
  later.states(parameters, steps, out);
  later.states(std::array{25.0, 1.5}, steps, others);
  CHECK(std::equal(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(each), others.begin()));
  CHECK(others != out);

  CHECK_THROWS_WITH_AS(model.states(parameters, std::span(steps).first(2), out),
                       "atmosphere: room for 6144 values, 2 states need 3072", levda::Error);
  CHECK_THROWS_WITH_AS(model.states(parameters, std::array<std::int64_t, 4>{3, 2, 3, 4}, out),
                       "atmosphere: step 2 is wanted after step 3", levda::Error);
  CHECK_THROWS_WITH_AS(model.states(std::array{1.0}, steps, out), "atmosphere: 1 parameters, not amplitude and width",
                       levda::Error);
  CHECK_THROWS_WITH_AS(model.states(std::array{1.0, 0.0}, steps, out), "atmosphere: width = 0 must be positive",
                       levda::Error);
  CHECK_THROWS_WITH_AS(model.states(std::array{std::nan(""), 1.0}, steps, out),
                       "atmosphere: the heating's amplitude must be finite", levda::Error);
  settings.start_up = 0;
  settings.dt = 6 * 3600;  // unstable
  settings.jet = 300;
  CHECK_THROWS_WITH_AS(Atmosphere(settings).states(parameters, std::array<std::int64_t, 4>{1, 2, 3, 4000}, out),
                       "atmosphere: the state is not finite after 4000 steps of 21600 s", levda::Error);
}

TEST_CASE("atmosphere: an initial state from a file's grid, over the poles too") {
  AtmosphereSettings settings = bare(32);
  const Atmosphere model(settings);
  const double speed = 20;
  // Turning about an axis in the plane of the equator, right across the poles; h = 100 m P_21-like, z = 200 m of
  // degree 2.
  for (const bool with_poles : {true, false}) {
    AtmosphereInitial initial;
    const int rows = with_poles ? 91 : 90;
    for (int j = 0; j < rows; ++j) initial.latitude.push_back(with_poles ? -90 + 2 * j : -89 + 2 * j);
    for (int i = 0; i < 181; ++i) initial.longitude.push_back(-180 + 360.0 * i / 181);  // odd: no node across the pole
    for (const double latitude : initial.latitude)
      for (const double longitude : initial.longitude) {
        const double sin_lat = std::sin(latitude * pi / 180);
        const double cos_lat = std::cos(latitude * pi / 180);
        const double lon = longitude * pi / 180;
        initial.u.push_back(speed * std::cos(lon) * sin_lat);
        initial.v.push_back(-speed * std::sin(lon));
        initial.h.push_back(100 * sin_lat * cos_lat * std::sin(lon));
        initial.orography.push_back(200 * cos_lat * cos_lat * std::cos(2 * lon));
      }
    const Atmosphere from_grid(settings, initial);
    const Atmosphere::State& state = from_grid.initial();
    // zeta = -2 speed / radius cos(latitude) cos(longitude): P_11 = sqrt(3/2) cos.
    Atmosphere::State expected(state.size(), 0.0);
    set(model, expected, zeta, 1, 1, -2 * speed / settings.radius / std::sqrt(1.5) / 2);
    set(model, expected, height, 2, 1, Complex(0, -100 / std::sqrt(7.5) / 2));
    const auto size = static_cast<std::size_t>(model.harmonics().size());
    // Cubics on cells of 2 degrees: 3/128 (2 degrees)^4 of the fourth derivative, for a wind times up to l = 21.
    const double error = 3.0 / 128 * std::pow(2 * pi / 180, 4) * 16;
    for (const std::size_t variable : {0U, 1U, 2U}) {
      const double scale = variable == 2 ? 100 : 21 * speed / settings.radius;
      CHECK(largest_difference(std::span(state).subspan(variable * size, size),
                               std::span(expected).subspan(variable * size, size)) <= error * scale);
    }
    // The mountains act: this state drifts from that without.
    Atmosphere::State with = state;
    advance(from_grid, with, 1);
    Atmosphere::State without = state;
    advance(model, without, 1);
    CHECK(largest_difference(with, without) > 1e-2);
  }
}

TEST_CASE("atmosphere: an initial state that does not fit together is named") {
  const auto refused = [](const char* message, auto change) {
    AtmosphereInitial initial;
    initial.latitude = {-60, -20, 20, 60};
    initial.longitude = {0, 90, 180, 270};
    initial.u = initial.v = initial.h = initial.orography = std::vector<double>(16, 1.0);
    change(initial);
    CHECK_THROWS_WITH_AS(Atmosphere(bare(8), initial), message, levda::Error);
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  refused("atmosphere: latitude of the initial state has 3 values, not 4",
          [](AtmosphereInitial& a) { a.latitude.pop_back(); });
  refused("atmosphere: longitude of the initial state does not ascend at 2",
          [](AtmosphereInitial& a) { a.longitude[2] = 90; });
  refused("atmosphere: latitude of the initial state does not ascend at 1",
          [&](AtmosphereInitial& a) { a.latitude[1] = nan; });
  refused("atmosphere: latitudes of the initial state are not within -90 .. 90 degrees",
          [](AtmosphereInitial& a) { a.latitude[3] = 91; });
  refused("atmosphere: longitudes of the initial state span 360 degrees or more",
          [](AtmosphereInitial& a) { a.longitude[3] = 360; });
  refused("atmosphere: latitude of the initial state leaves a gap from -90 to 50 degrees", [](AtmosphereInitial& a) {
    a.latitude = {50, 60, 70, 80};
  });
  refused("atmosphere: longitude of the initial state leaves a gap from 30 to 360 degrees", [](AtmosphereInitial& a) {
    a.longitude = {0, 10, 20, 30};
  });
  refused("atmosphere: v of the initial state has 15 values, not 16", [](AtmosphereInitial& a) { a.v.pop_back(); });
  refused("atmosphere: orography of the initial state is not finite at 5",
          [&](AtmosphereInitial& a) { a.orography[5] = nan; });
}

TEST_CASE("atmosphere: settings that make no sense are named") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto refused = [](const char* message, auto change) {
    AtmosphereSettings settings;
    change(settings);
    CHECK_THROWS_WITH_AS(Atmosphere{settings}, message, levda::Error);
  };
  refused("atmosphere: nodes = 60 is not a multiple of 8 from 8 to 2048", [](AtmosphereSettings& s) { s.nodes = 60; });
  refused("atmosphere: nodes = 0 is not a multiple of 8 from 8 to 2048", [](AtmosphereSettings& s) { s.nodes = 0; });
  refused("atmosphere: dt = 0 must be positive", [](AtmosphereSettings& s) { s.dt = 0; });
  refused("atmosphere: radius = -1 must be positive", [](AtmosphereSettings& s) { s.radius = -1; });
  refused("atmosphere: gravity = nan must be positive", [&](AtmosphereSettings& s) { s.gravity = nan; });
  refused("atmosphere: depth = 0 must be positive", [](AtmosphereSettings& s) { s.depth = 0; });
  refused("atmosphere: hyperdiffusion = -1 must not be negative", [](AtmosphereSettings& s) { s.hyperdiffusion = -1; });
  refused("atmosphere: start_up = -1 must not be negative", [](AtmosphereSettings& s) { s.start_up = -1; });
  refused("atmosphere: start_up = 252 h is no whole number of steps of 500 s",
          [](AtmosphereSettings& s) { s.dt = 500; });
  refused("atmosphere: heating_from = nan must not be negative", [&](AtmosphereSettings& s) { s.heating_from = nan; });
  refused("atmosphere: eddies = -3 must not be negative", [](AtmosphereSettings& s) { s.eddies = -3; });
  refused("atmosphere: rotation must be finite", [&](AtmosphereSettings& s) { s.rotation = nan; });
  refused("atmosphere: jet must be finite", [&](AtmosphereSettings& s) { s.jet = nan; });
  refused("atmosphere: mountains must be finite", [&](AtmosphereSettings& s) { s.mountains = nan; });
}

TEST_CASE("atmosphere: a sampled state is found again from its fields") {
  for (const std::int64_t nodes : {16, 32}) {
    AtmosphereSettings settings;
    settings.nodes = nodes;
    settings.dt = 1200;
    settings.start_up = 0;
    const Atmosphere model(settings);
    Atmosphere::Scratch scratch;
    Atmosphere::State state = model.initial();
    for (int k = 0; k < 5; ++k) model.step(state, k / 3.0, std::array{20.0, 2.0}, scratch);
    std::vector<double> fields(static_cast<std::size_t>(model.state_size()));
    model.sample(state, fields, scratch);
    Atmosphere::State found;
    model.analyse(fields, levda::models::EvenToGaussian(nodes), found, scratch);
    REQUIRE(found.size() == state.size());
    const auto size = static_cast<std::size_t>(model.harmonics().size());
    for (std::size_t k = 0; k < 3; ++k) {
      const std::span before = std::span(state).subspan(k * size, size);
      const std::span after = std::span(found).subspan(k * size, size);
      // Vorticity and divergence are differences of winds, degree times as large per radius; divergence is the lesser.
      const double scale =
          k == 2 ? largest(before)
                 : static_cast<double>(nodes) * largest(std::span(fields).first(fields.size() / 3)) / settings.radius;
      CHECK(largest_difference(before, after) <= 100 * static_cast<double>(nodes) * scale * round_off);
    }
    std::vector<double> again(fields.size());
    model.sample(found, again, scratch);
    CHECK(largest_difference(fields, again) <= 1e-10 * largest(fields));
  }
}
