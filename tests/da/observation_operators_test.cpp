/// Observation operators: closed forms, derivatives, their places, operators of users.

#include "da/observation_operators.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "autodiff/check.h"
#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "da/step_model.h"
#include "tests/autodiff/compare.h"

using namespace levda;
using namespace levda::da;
using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;
using testing::largest_difference;
using testing::normal_tensor;

namespace {

models::Description make_about(models::Geometry geometry = models::Geometry::plane) {
  models::Description about;
  about.channel_names = {"u", "v", "eta"};
  about.grid = {
      .nx = 21, .ny = 21, .dx = 1, .dy = 1, .offset_x = {0.5, 0, 0}, .offset_y = {0, 0.5, 0}, .geometry = geometry};
  if (geometry == models::Geometry::sphere)
    about.grid = {.nx = 36,
                  .ny = 18,
                  .y0 = -85,
                  .dx = 10,
                  .dy = 10,
                  .offset_x = {0, 0, 0},
                  .offset_y = {0, 0, 0},
                  .geometry = geometry};
  return about;
}

/// The observations of fields f(x, y, channel), in one row.
template <typename F>
std::vector<double> observed(const Observations& o, const models::Description& about, const F& f) {
  const Footprints footprints(o, about);
  const Observations& values = footprints.values();
  std::vector<double> fields;
  for (std::int64_t i = 0; i < values.size(); ++i) {
    CHECK(values.op[i] == "value");
    fields.push_back(f(values.x[i], values.y[i], values.channel[i]));
  }
  return footprints.observe(Var(Tensor::from(std::span<const double>(fields), {1, values.size()}))).value().to_vector();
}

void add(Observations& o, const std::string& op, double x, double y, double ex = 0, double ey = 0,
         std::int64_t channel = 2) {
  o.add(0, x, y, channel, 0, 1, used, op, ex, ey);
}

/// One's own, as in the header.
const RegisteredOperator fourth_power{{.name = "test fourth power",
                                       .help = "of the channel",
                                       .apply = [](const Seen& s) { return s.average(pow(s.field(0), 4)); }}};

/// One that gives another shape than it must.
const RegisteredOperator wrong_shape{
    {.name = "test wrong shape", .help = "", .apply = [](const Seen& s) { return s.field(0); }}};

}  // namespace

TEST_CASE("arctan: the function and its derivatives, near 0 and far out") {
  std::vector<double> x{0, 1e-300, -1e-8, 0.3, -0.7, 1, 2.5, -40, 1e6, -1e17, 1e30, 1e300};
  std::vector<double> expected;
  for (const double one : x) expected.push_back(std::atan(one));
  const Tensor at = Tensor::from(std::span<const double>(x), {static_cast<std::int64_t>(x.size())});
  const std::vector<double> found = arctan(Var(at)).value().to_vector();
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(std::abs(found[i] - expected[i]) <= 2e-15 * std::abs(expected[i]));
  CHECK(largest_difference(arctan(Var(at.to(DType::float32))).value().to_vector(), expected) <= 1e-6);
  const auto slope =
      autodiff::value_and_grad([](const autodiff::Vars& v) { return sum(arctan(v[0])); }, std::vector<Tensor>{at});
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double exact = 1 / (1 + x[i] * x[i]);
    CHECK(std::abs(slope.gradients[0].to_vector()[i] - exact) <= 1e-14 * std::abs(exact) + 1e-36);
  }
}

TEST_CASE("disc and line: polynomials exactly, and the centre value of a linear field") {
  const models::Description about = make_about();
  Observations o;
  for (const double radius : {0.3, 2.0, 7.0}) add(o, "disc", 8, 9, radius);
  add(o, "disc", 8, 9, 2, 3);
  add(o, "line", 8, 9, 4, -6);
  add(o, "line", 8, 9, 0.1, 0);
  const auto linear = observed(
      o, about, [](double x, double y, std::int64_t c) { return 3 * x - 2 * y + 10.0 * static_cast<double>(c); });
  for (std::size_t i = 0; i < 4; ++i) CHECK(std::abs(linear[i] - 26) <= 1e-13);
  CHECK(std::abs(linear[4] - (30 - 12 + 20)) <= 1e-13);
  CHECK(std::abs(linear[5] - (24.15 - 18 + 20)) <= 1e-13);
  // x^6 about the centre: mean of cos^6 5/16, of the radius to the sixth 1/4.
  const auto sixth = observed(o, about, [](double x, double, std::int64_t) { return std::pow(x - 8, 6); });
  CHECK(std::abs(sixth[0] - 5.0 / 64 * std::pow(0.3, 6)) <= 1e-15);
  CHECK(std::abs(sixth[1] - 5.0 / 64 * std::pow(2, 6)) <= 1e-12);
  CHECK(std::abs(sixth[2] - 5.0 / 64 * std::pow(7, 6)) <= 1e-8);
  CHECK(std::abs(sixth[3] - 5.0 / 64 * std::pow(2, 6)) <= 1e-12);
  CHECK(std::abs(sixth[4] - std::pow(4, 6) / 7) <= 1e-10);
  // Waves of six cells.
  const auto wave = observed(o, about, [](double x, double, std::int64_t) { return std::cos(x - 8); });
  const auto mean = [](double r) { return 2 * std::cyl_bessel_j(1, r) / r; };
  CHECK(std::abs(wave[1] - mean(2)) <= 1e-3);
  CHECK(std::abs(wave[2] - mean(7)) <= 1e-3);
  CHECK(std::abs(wave[4] - std::sin(4) / 4) <= 1e-3);
}

TEST_CASE("a disc on a sphere: places at their distance, over the pole and over the end of the longitudes too") {
  const models::Description about = make_about(models::Geometry::sphere);
  constexpr double degree = std::numbers::pi / 180;
  for (const auto& [lon, lat] : {std::pair(10.0, 5.0), std::pair(355.0, -60.0), std::pair(120.0, 86.0)}) {
    Observations o;
    add(o, "disc", lon, lat, 12);
    double weights = 0;
    for (const WeightedPlace& p : places_of(o, 0, about)) {
      const double cosine = std::sin(lat * degree) * std::sin(p.y * degree) +
                            std::cos(lat * degree) * std::cos(p.y * degree) * std::cos((p.x - lon) * degree);
      CHECK(std::acos(std::min(cosine, 1.0)) <= 12 * degree * (1 + 1e-12));
      weights += p.weight;
    }
    CHECK(std::abs(weights - 1) <= 1e-14);
    // The mean of the height z = sin(latitude) over circles of arc a is sin(lat) cos(a): over the disc, in plane
    // measure, sin(lat) 2 / r^2 integral of a cos(a) da.
    const double r = 12 * degree;
    const double expected = std::sin(lat * degree) * 2 / (r * r) * (r * std::sin(r) + std::cos(r) - 1);
    const auto found = observed(o, about, [&](double, double y, std::int64_t) { return std::sin(y * degree); });
    CHECK(std::abs(found[0] - expected) <= 1e-8);
  }
}

TEST_CASE("speed: of both components at the place, 0 with derivative 0 at rest") {
  const models::Description about = make_about();
  Observations o;
  add(o, "speed", 3, 4);
  const Footprints footprints(o, about);
  REQUIRE(footprints.values().size() == 2);
  CHECK(footprints.values().channel == std::vector<std::int64_t>{0, 1});
  CHECK(footprints.values().x == std::vector<double>{3, 3});
  const Tensor fields = Tensor::from(std::vector<double>{3, -4, 0, 0, 1e-200, 0}, {3, 2});
  autodiff::Tape tape;
  const Var x = tape.variable(fields);
  const Var y = footprints.observe(x);
  CHECK(y.value().to_vector()[0] == 5);
  CHECK(y.value().to_vector()[1] == 0);
  const Var slope = autodiff::vjp(sum(y), Var(Tensor::full({}, 1, DType::float64)), {x})[0];
  const std::vector<double> expected{0.6, -0.8, 0, 0, 0, 0};  // the last one's square is 0
  CHECK(largest_difference(slope.value().to_vector(), expected) <= 1e-15);
}

TEST_CASE("all operators in one set: each as alone, derivatives, independent rows") {
  const models::Description about = make_about();
  const std::vector<std::string> names{"value", "speed", "arctan", "disc", "line", "test fourth power"};
  Observations o;
  autodiff::Random random(2);
  for (int i = 0; i < 18; ++i)
    add(o, names[static_cast<std::size_t>(random.below(6))], 8 + 4 * random.uniform(), 8 + 4 * random.uniform(),
        0.5 + 3 * random.uniform(), 0, random.below(3));
  const auto field = [](double x, double y, std::int64_t c) {
    return std::sin(x + 2.0 * static_cast<double>(c)) * std::cos(0.3 * y);
  };
  const std::vector<double> all = observed(o, about, field);
  for (std::int64_t i = 0; i < o.size(); ++i) {
    const std::vector<std::int64_t> one{i};
    CHECK(std::abs(observed(o.part(one), about, field)[0] - all[i]) <= 1e-15);
  }
  for (std::int64_t i = 0; i < o.size(); ++i) {
    const double here = field(o.x[i], o.y[i], o.channel[i]);
    if (o.op[i] == "value") CHECK(all[i] == here);
    if (o.op[i] == "arctan") CHECK(std::abs(all[i] - std::atan(here)) <= 1e-15);
    if (o.op[i] == "speed")
      CHECK(std::abs(all[i] - std::hypot(field(o.x[i], o.y[i], 0), field(o.x[i], o.y[i], 1))) <= 1e-15);
    if (o.op[i] == "test fourth power") CHECK(std::abs(all[i] - std::pow(here, 4)) <= 1e-15);
  }
  const Footprints footprints(o, about);
  CHECK(!footprints.plain());
  const Tensor values = normal_tensor({3, footprints.values().size()}, 5);
  const auto check = autodiff::check_derivatives([&](const autodiff::Vars& v) { return footprints.observe(v[0]); },
                                                 std::span(&values, 1));
  INFO(check.text());
  CHECK(check.adjoint_error() <= 1e-13);
  CHECK(check.finite_difference_error() <= 1e-8);
  const Tensor together = footprints.observe(Var(values)).value();
  for (std::int64_t k = 0; k < 3; ++k)
    CHECK(testing::same_bits(footprints.observe(Var(values.rows(k, k + 1))).value(), together.rows(k, k + 1)));
  // The second derivative: a Taylor remainder of the gradient that falls as h^2 (central) down to round-off.
  const auto cost = [&](const autodiff::Vars& v) { return sum(square(footprints.observe(v[0]))); };
  const Tensor direction = normal_tensor(values.shape(), 6);
  const std::vector<Tensor> hv = autodiff::hvp(cost, std::vector{values}, std::vector{direction});
  const std::vector<Tensor> differences =
      testing::gradient_differences(cost, std::vector{values}, std::vector{direction}, 1e-3);
  CHECK(largest_difference(hv[0], differences[0]) <= 1e-6 * testing::largest(hv[0].to_vector()));
}

TEST_CASE("if all observations are values, the model's operator is used") {
  class Own final : public ObservationOperator {
   public:
    std::int64_t size() const override { return 1; }
    Var operator()(const Var& v) const override { return v; }
  };
  Observations o;
  add(o, "value", 1, 1);
  const ObservationOperator* made = nullptr;
  const auto through = observe_through(o, make_about(), [&](const Observations& values) {
    CHECK(&values == &o);
    auto own = std::make_unique<Own>();
    made = own.get();
    return own;
  });
  CHECK(through.get() == made);
}

TEST_CASE("a model of single steps is observed through operators: predictions and derivatives agree") {
  const StepModel model(3, 1, [](const Var& v) { return v + 0.1 * sin(v); });
  Observations o;
  o.add(2, 0, 0, 1, 0, 1, used, "arctan");
  o.add(1, 0, 0, 0, 0, 1);
  o.add(1, 0, 0, 2, 0, 1, used, "test fourth power");
  const auto observe = model.observe(o);
  REQUIRE(observe->size() == 3);
  const Tensor v = normal_tensor({4, 3}, 1);
  const Tensor predicted = observe->predict(v);
  const std::vector<double> two = model.advance(Var(v), 2).value().to_vector();
  const std::vector<double> one = model.advance(Var(v), 1).value().to_vector();
  for (std::size_t k = 0; k < 4; ++k) {
    CHECK(std::abs(predicted.to_vector()[3 * k] - std::atan(two[3 * k + 1])) <= 1e-15);
    CHECK(predicted.to_vector()[3 * k + 1] == one[3 * k]);
    CHECK(std::abs(predicted.to_vector()[3 * k + 2] - std::pow(one[3 * k + 2], 4)) <= 1e-14);
  }
  CHECK(testing::same_bits((*observe)(Var(v)).value(), predicted));
  CHECK(testing::same_bits(observe->predict(v.reshaped({2, 2, 3})), predicted.reshaped({2, 2, 3})));
  const Tensor directions = normal_tensor({4, 5, 3}, 2);
  const Linearisation each = observe->linearise(v, directions);
  for (std::int64_t k = 0; k < 4; ++k) {
    const Tensor at = v.rows(k, k + 1).reshaped({3});
    const Tensor along = directions.rows(k, k + 1).reshaped({5, 3});
    const Linearisation plain = observe->ObservationOperator::linearise(at, along);
    const Linearisation single = observe->linearise(at, along);
    CHECK(largest_difference(single.value, plain.value) <= 1e-15);
    CHECK(largest_difference(single.tangents, plain.tangents) <= 1e-14);
    CHECK(testing::same_bits(each.value.rows(k, k + 1).reshaped({3}), single.value));
    CHECK(testing::same_bits(each.tangents.rows(k, k + 1).reshaped({5, 3}), single.tangents));
  }
}

TEST_CASE("errors of the fields pass through the operators' slopes") {
  const models::Description about = make_about();
  Observations o;
  add(o, "value", 5, 5, 0, 0, 1);
  add(o, "disc", 8, 9, 2);
  add(o, "speed", 8, 9);
  add(o, "arctan", 8, 9);
  const std::vector<double> mean{0.5, -0.3, 1};
  const std::vector<double> deviation{1, 2, 0.5};
  const auto variance = [](std::int64_t, std::int64_t c) { return c == 2 ? 0.3 : 0.2; };
  const std::vector<double> found = Footprints(o, about).error_variance(mean, deviation, variance);
  CHECK(found[0] == 0.2);
  CHECK(std::abs(found[1] - 0.3) <= 1e-15);
  CHECK(std::abs(found[2] - 0.2) <= 1e-15);  // of a unit vector, both components alike
  double squares = 0;                        // E (1 / (1 + x^2))^2 over N(1, 0.5^2)
  for (double z = -6; z < 6; z += 0.01)
    squares +=
        0.01 * std::exp(-0.5 * z * z) / std::sqrt(2 * std::numbers::pi) / std::pow(1 + std::pow(1 + 0.5 * z, 2), 2);
  CHECK(std::abs(found[3] - 0.3 * squares) <= 0.3 * 0.3 * squares);  // 64 draws
}

TEST_CASE("operators that cannot be are refused") {
  const models::Description about = make_about();
  const auto refused = [&](const std::string& op, double x, double ex, double ey, const char* message) {
    Observations o;
    add(o, "value", 1, 1);
    add(o, op, x, 5, ex, ey);
    CHECK_THROWS_WITH_AS(Footprints(o, about), message, Error);
  };
  refused("disc", 5, 0, 0, "observation 1: a disc of radius extent_x = 0, extent_y = 0 (0: the same)");
  refused("disc", 5, 1, -1, "observation 1: a disc of radius extent_x = 1, extent_y = -1 (0: the same)");
  refused("line", 5, 0, 0, "observation 1: a line without extent: extent_x and extent_y are 0");
  refused("line", 15, 16, 0, "observation 1: the operator line reaches (22.2399, 5), outside the domain");
  Observations o;
  add(o, "speed", 1, 1);
  models::Description other = about;
  other.channel_names = {"u", "w", "eta"};
  CHECK_THROWS_WITH_AS(Footprints(o, other), "observation 0: the operator speed needs a channel v; there are u, w, eta",
                       Error);
  const auto taken = [](const std::string& name) {
    RegisteredOperator({.name = name, .help = "", .apply = [](const Seen& s) { return s.average(s.field(0)); }});
  };
  CHECK_THROWS_WITH_AS(taken("disc"), "there is an observation operator \"disc\" already", Error);
  CHECK_THROWS_WITH_AS(taken(""), "an observation operator without a name or a function", Error);
  CHECK(operator_names().back() == "test wrong shape");
  // A function that gives another shape.
  Observations odd;
  add(odd, "test wrong shape", 1, 1);
  const Footprints footprints(odd, about);
  CHECK_THROWS_WITH_AS(footprints.observe(Var(normal_tensor({2, 1}, 1))),
                       "the operator test wrong shape gave (2, 1, 1), where (rows, observations) are (2, 1)", Error);
}
