#include "da/solver_model.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "models/interpolation.h"
#include "tests/autodiff/compare.h"

using namespace levda;
using namespace levda::da;
using autodiff::Tensor;
using autodiff::Var;
using levda::testing::largest_difference;

namespace {

constexpr double round_off = 0x1p-53;

/// 6 x 5 nodes of two channels; a step of half a minute adds the parameter to all values, and the hour to the second
/// channel's.
models::Propagator adding(bool clock) {
  return {.advance =
              [](std::span<double> state, double time, std::int64_t steps, std::span<const double> parameters) {
                for (std::int64_t k = 0; k < steps; ++k)
                  for (std::size_t i = 0; i < state.size(); ++i)
                    state[i] += parameters[0] + (i < 30 ? 0 : time + 0.5 * static_cast<double>(k));
              },
          .least = {1},
          .clock = clock};
}

models::Description about() {
  return {
      .case_name = "adding",
      .parameter_names = {"rate"},
      .parameter_units = {"1"},
      .parameter_min = {2},
      .parameter_max = {6},
      .channel_names = {"a", "b"},
      .channel_units = {"1", "1"},
      .grid = {.nx = 6, .ny = 5, .x0 = 10, .y0 = -1, .dx = 2, .dy = 0.5, .offset_x = {0.5, 0}, .offset_y = {0, 0.5}},
      .frames = 11,
      .first_time = 100,
      .frame_interval = 1,
      .time_unit = "min"};
}

SolverModel model(bool clock = true) { return {about(), adding(clock), 2, {1, -2}, {4, 0.5}}; }

/// Cubic in x and y.
double field(std::size_t c, double x, double y) {
  const double shifted = x - 15;
  return static_cast<double>(1 + c) * (0.1 * shifted * shifted * shifted - y * y * y + shifted * y);
}

std::vector<float> state() {
  const models::Grid grid = about().grid;
  std::vector<float> values;
  for (std::size_t c = 0; c < 2; ++c)
    for (std::int64_t j = 0; j < grid.ny; ++j)
      for (std::int64_t i = 0; i < grid.nx; ++i)
        values.push_back(static_cast<float>(field(c, grid.x0 + (static_cast<double>(i) + grid.offset_x[c]) * grid.dx,
                                                  grid.y0 + (static_cast<double>(j) + grid.offset_y[c]) * grid.dy)));
  return values;
}

Tensor members(const std::vector<std::vector<double>>& rows) {
  std::vector<double> all;
  for (const std::vector<double>& row : rows) all.insert(all.end(), row.begin(), row.end());
  const auto n = static_cast<std::int64_t>(rows.size());
  return Tensor::from(std::span<const double>(all), {n, static_cast<std::int64_t>(all.size()) / n});
}

}  // namespace

TEST_CASE("solver: controls are states, parameters and the clock, and come back") {
  const SolverModel one = model();
  CHECK(one.controls() == 62);
  CHECK(model(false).controls() == 61);
  const std::vector<float> fields = state();
  const std::vector<double> v = one.control(fields, std::array{5.0}, 102);
  CHECK(std::abs(v[0] - (fields[0] - 1.0) / 4) <= 4 * round_off * std::abs(v[0]));
  CHECK(std::abs(v[31] - (fields[31] + 2.0) / 0.5) <= 4 * round_off * std::abs(v[31]));
  CHECK(v[60] == 0.5);
  CHECK(std::abs(v[61] + 0.6) <= 2 * round_off);
  CHECK(one.states(members({v, v})).size() == 120);
  const std::vector<float> back = one.states(members({v}));
  for (std::size_t i = 0; i < 60; ++i) CHECK(std::abs(back[i] - fields[i]) <= 0x1p-22 * (2 + std::abs(fields[i])));
  CHECK(one.parameters(members({v, v})) == std::vector<double>{5, 5});
  CHECK_THROWS_AS(one.control(fields, std::array{5.0, 5.0}, 0), Error);
}

TEST_CASE("solver: time is whole steps, on each member's own clock, and linear between them") {
  const SolverModel one = model();
  const std::vector<float> fields = state();
  const Tensor v = members({one.control(fields, std::array{5.0}, 102), one.control(fields, std::array{3.0}, 104)});
  const Tensor later = one.advance(Var(v), 1.25).value();
  const std::vector<float> after = one.states(later);
  // Two steps and half of the third.
  const std::array<double, 2> first{2.5 * 5, 2.5 * 3};
  const std::array<double, 2> hours{102 + 102.5 + 0.5 * 103, 104 + 104.5 + 0.5 * 105};
  for (std::size_t row = 0; row < 2; ++row)
    for (std::size_t i = 0; i < 60; ++i) {
      const double expected = fields[i] + first[row] + (i < 30 ? 0 : hours[row]);
      CHECK(std::abs(after[row * 60 + i] - expected) <= 0x1p-22 * (300 + std::abs(expected)));
    }
  CHECK(one.parameters(later) == std::vector<double>{5, 3});
  CHECK(std::abs(later.to_vector()[61] - (2 * 3.25 / 10 - 1)) <= 4 * round_off);
  // Step by step, many at once, and without time it is the same.
  CHECK(largest_difference(later, one.advance(one.advance(Var(v), 1), 0.25).value()) <= 1e3 * 100 * round_off);
  CHECK(largest_difference(one.forecast(v.reshaped({2, 1, 62}), 1.25).reshaped({2, 62}), later) == 0);
  CHECK(largest_difference(one.advance(Var(v), 0).value(), v) == 0);
}

TEST_CASE("solver: observations are cubics of the state at their time and place") {
  const SolverModel one = model();
  const std::vector<float> fields = state();
  const Tensor v = members({one.control(fields, std::array{5.0}, 102), one.control(fields, std::array{3.0}, 104)});
  Observations o;
  o.add(1, 15.3, 0.2, 1, 0, 1);     // two steps
  o.add(0, 13, -0.5, 0, 0, 1);      // a node
  o.add(0.25, 18.1, 0.6, 0, 0, 1);  // half a step
  o.add(0, 12.2, -0.75, 1, 0, 1);
  const auto observe = one.observe(o);
  CHECK(observe->size() == 4);
  const std::vector<double> y = observe->predict(v).to_vector();
  const std::array<double, 2> rate{5, 3};
  const std::array<double, 2> hours{102 + 102.5, 104 + 104.5};
  for (std::size_t row = 0; row < 2; ++row) {
    constexpr double tolerance = 1e-4;  // values of some hundreds, states in float32
    CHECK(std::abs(y[4 * row] - (field(1, 15.3, 0.2) + 2 * rate[row] + hours[row])) <= tolerance);
    CHECK(std::abs(y[4 * row + 1] - fields[7]) <= 1e-14 * 10);
    CHECK(std::abs(y[4 * row + 2] - (field(0, 18.1, 0.6) + 0.5 * rate[row])) <= tolerance);
    CHECK(std::abs(y[4 * row + 3] - field(1, 12.2, -0.75)) <= tolerance);
  }
  CHECK(largest_difference(observe->predict(v.reshaped({2, 1, 62})).reshaped({2, 4}), observe->predict(v)) == 0);
  // At later times there are no derivatives.
  autodiff::Tape tape;
  CHECK_THROWS_AS((*observe)(tape.variable(v)), Error);
  CHECK_THROWS_AS(one.advance(tape.variable(v), 1), Error);
  CHECK(largest_difference((*observe)(Var(v)).value(), observe->predict(v)) == 0);
}

TEST_CASE("solver: where the control lies, observations have derivatives") {
  const SolverModel one = model();
  const Tensor v = members({one.control(state(), std::array{5.0}, 102)});
  Observations o;
  o.add(0, 15.3, 0.2, 1, 0, 1);
  o.add(0, 13, -0.5, 0, 0, 1);
  const auto observe = one.observe(o);
  autodiff::Tape tape;
  const Var x = tape.variable(v);
  const Var y = (*observe)(x);
  CHECK(largest_difference(y.value(), observe->predict(v)) <= 1e3 * round_off);
  const Tensor w = Tensor::from(std::span<const double>(std::array{2.0, -3.0}), {1, 2});
  const std::vector<double> gradient = vjp(y, Var(w), {x})[0].value().to_vector();
  CHECK(std::abs(gradient[7] + 3 * 4) <= 1e-14);  // the node's own: w times the standard deviation
  double sum = 0;
  for (std::size_t i = 30; i < 60; ++i) sum += gradient[i];
  CHECK(std::abs(sum - 2 * 0.5) <= 1e-13);  // weights of sum 1
  CHECK(gradient[60] == 0);
  CHECK(gradient[61] == 0);
}

TEST_CASE("solver: refused parameters are replaced by the prior range; a state that blows up is an error") {
  const SolverModel one = model();
  const std::vector<float> fields = state();
  const auto rate = [&](double value) {
    const Tensor v = members({one.control(fields, std::array{value}, 100)});
    return one.states(one.advance(Var(v), 0.5).value())[0] - fields[0];
  };
  CHECK(std::abs(rate(1.5) - 1.5) <= 1e-5);  // outside of the prior range, but not refused
  CHECK(std::abs(rate(0.5) - 2) <= 1e-5);
  CHECK(std::abs(rate(9) - 9) <= 1e-5);
  models::Propagator worse = adding(true);
  worse.advance = [](std::span<double> s, double, std::int64_t, std::span<const double>) { s[3] = std::nan(""); };
  const SolverModel bad(about(), worse, 2, {1, -2}, {4, 0.5});
  const Tensor v = members({bad.control(fields, std::array{5.0}, 100)});
  CHECK_THROWS_WITH_AS(bad.advance(Var(v), 1), "solver: adding does not stay finite from a member's state", Error);
}

TEST_CASE("solver: arguments that do not fit together are refused") {
  CHECK_THROWS_AS(SolverModel(about(), adding(true), 0, {1, -2}, {4, 0.5}), Error);
  CHECK_THROWS_AS(SolverModel(about(), adding(true), 2, {1}, {4, 0.5}), Error);
  CHECK_THROWS_AS(SolverModel(about(), adding(true), 2, {1, -2}, {4, 0}), Error);
  models::Propagator two = adding(true);
  two.least = {1, 1};
  CHECK_THROWS_AS(SolverModel(about(), two, 2, {1, -2}, {4, 0.5}), Error);
  const SolverModel one = model();
  Observations o;
  o.add(0, 40, 0, 0, 0, 1);
  CHECK_THROWS_AS(one.observe(o), Error);
  o = {};
  o.add(0, 12, 0, 2, 0, 1);
  CHECK_THROWS_AS(one.observe(o), Error);
  o = {};
  o.add(-1, 12, 0, 1, 0, 1);
  CHECK_THROWS_AS(one.observe(o), Error);
}
