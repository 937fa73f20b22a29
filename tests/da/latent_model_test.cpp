/// The surrogate as a forward model: any time, any place, exact derivatives.

#include "da/latent_model.h"

#include <doctest/doctest.h>
#include <oneapi/tbb/global_control.h>

#include <algorithm>
#include <cmath>

#include "autodiff/check.h"
#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "da/levda.h"
#include "da/observation_operators.h"
#include "tests/autodiff/compare.h"
#include "tests/autodiff/one_lane.h"

using namespace levda;
using namespace levda::da;
using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;
using testing::largest_difference;
using testing::normal_tensor;

namespace {

models::Surrogate make_surrogate() {
  const models::LdnetArchitecture architecture{.latent = 4,
                                               .parameters = 2,
                                               .channels = 3,
                                               .fourier_features = 6,
                                               .fourier_scale = 0.5,
                                               .latent_dt = 0.1,
                                               .dynamics_depth = 2,
                                               .dynamics_width = 8,
                                               .decoder_depth = 3,
                                               .decoder_width = 12};
  models::Surrogate s{.about = {.case_name = "test",
                                .parameter_names = {"a", "b"},
                                .parameter_units = {"1", "1"},
                                .parameter_min = {0, 0},
                                .parameter_max = {1, 2},
                                .channel_names = {"u", "v", "eta"},
                                .channel_units = {"m s-1", "m s-1", "m"},
                                .grid = {.nx = 16,
                                         .ny = 12,
                                         .x0 = -5,
                                         .y0 = 10,
                                         .dx = 0.5,
                                         .dy = 2,
                                         .offset_x = {0.5, 0, 0},
                                         .offset_y = {0, 0.5, 0}},
                                .frames = 10,
                                .first_time = 60,
                                .frame_interval = 60},
                      .net = models::Ldnet(architecture, 3),
                      .field_mean = {0.1, -0.2, 3},
                      .field_std = {2, 0.5, 1.5},
                      .training_parameters = {},
                      .training_latents = {},
                      .error_variance = {},
                      .provenance = {}};
  return s;
}

/// Values at random places and times, several channels of one cell among them.
Observations random_observations(const models::Surrogate& s, int count) {
  autodiff::Random random(5);
  Observations o;
  const models::Grid& g = s.about.grid;
  for (int i = 0; i < count; ++i) {
    const double t = i % 3 == 0 ? 60.0 * static_cast<double>(random.below(6)) : 300 * random.uniform();
    const double x = g.x0 + 15 * g.dx * random.uniform();
    const double y = g.y0 + 11 * g.dy * random.uniform();
    for (std::int64_t c = 0; c < (i % 2 == 0 ? 3 : 1); ++c)
      o.add(t, x + g.offset_x[c] * g.dx, y + g.offset_y[c] * g.dy, c, random.normal(), 0.3);
  }
  return o;
}

/// One value straight from the formulas of the surrogate.
double by_hand(const models::Surrogate& s, const std::vector<double>& v, double t, double x, double y, std::int64_t c) {
  const models::Ldnet& net = s.net;
  const autodiff::Vars w = net.parameters().constants(DType::float64);
  const std::int64_t d = net.architecture().latent;
  Var state(Tensor::from(std::span(v).first(static_cast<std::size_t>(d)), {1, d}));
  const Var u(Tensor::from(std::span(v).subspan(static_cast<std::size_t>(d)), {1, 2}));
  double left = t / s.about.frame_interval;
  for (; left >= 1; left -= 1) state = net.step(w, u, state);
  if (left > 0) state = net.step(w, u, state, left);
  const models::Grid& g = s.about.grid;
  const std::vector<double> place{g.normal_x(x - g.offset_x[c] * g.dx), g.normal_y(y - g.offset_y[c] * g.dy)};
  const Var q = net.features(w, Var(Tensor::from(std::span<const double>(place), {1, 2})));
  return s.field_mean[c] + s.field_std[c] * net.decode(w, q, state).value().to_vector()[c];
}

}  // namespace

TEST_CASE("observations between frames and off the grid follow the surrogate's formulas") {
  const models::Surrogate s = make_surrogate();
  const LatentModel model(s);
  CHECK(model.controls() == 6);
  const Observations o = random_observations(s, 40);
  const auto observe = model.observe(o);
  REQUIRE(observe->size() == o.size());
  const Tensor v = normal_tensor({1, 6}, 7);
  const std::vector<double> found = observe->predict(v).to_vector();
  for (std::int64_t i = 0; i < o.size(); ++i) {
    const double expected = by_hand(s, v.to_vector(), o.time[i], o.x[i], o.y[i], o.channel[i]);
    // Only the order of operations differs; cells are matched to 1e-9 of the domain.
    CHECK(std::abs(found[i] - expected) <= 1e-8 * (1 + std::abs(expected)));
  }
}

TEST_CASE("how the network's output is scaled does not matter where its last layer makes up for it") {
  const models::Surrogate s = make_surrogate();
  models::Surrogate other = make_surrogate();
  other.scaling = models::Scaling{{-1, 0.7, 4}, {0.5, 3, 0.25}};
  // y = mean + std (h W + b) = offset + scale (h W' + b').
  levda::nn::Parameters& p = other.net.parameters();
  for (std::size_t i = 0; i < p.size(); ++i) {
    const bool weight = p.name(i) == "decoder.out.weight";
    if (!weight && p.name(i) != "decoder.out.bias") continue;
    std::vector<double> values = p[i].to_vector();
    for (std::size_t k = 0; k < values.size(); ++k) {
      const std::size_t c = k % 3;
      values[k] = (s.field_std[c] * values[k] + (weight ? 0 : s.field_mean[c] - other.offset(c))) / other.scale(c);
    }
    p.set(i, Tensor::from(std::span<const double>(values), p[i].shape(), DType::float32));
  }
  const Observations o = random_observations(s, 40);
  const Tensor v = normal_tensor({3, 6}, 7);
  const Tensor expected = LatentModel(s).observe(o)->predict(v);
  // Weights are rounded to float32.
  CHECK(largest_difference(LatentModel(other).observe(o)->predict(v), expected) <=
        1e-6 * levda::testing::largest(expected.to_vector()));
}

TEST_CASE("many members at once, and the tape, agree with single predictions") {
  const models::Surrogate s = make_surrogate();
  const LatentModel model(s);
  const auto observe = model.observe(random_observations(s, 60));
  const Tensor v = normal_tensor({5, 6}, 8);
  const Tensor together = observe->predict(v);
  CHECK(largest_difference((*observe)(Var(v)).value(), together) <= 1e-13 * 10);
  for (std::int64_t k = 0; k < 5; ++k)
    CHECK(largest_difference(observe->predict(v.rows(k, k + 1)), together.rows(k, k + 1)) <= 1e-13 * 10);
}

TEST_CASE("derivatives: adjoint product, differences, and the tiled sweep against the plain one") {
  const models::Surrogate s = make_surrogate();
  const LatentModel model(s);
  const auto observe = model.observe(random_observations(s, 60));
  const Tensor v = normal_tensor({1, 6}, 9);
  const auto check =
      autodiff::check_derivatives([&](const autodiff::Vars& x) { return (*observe)(x[0]); }, std::span(&v, 1));
  INFO(check.text());
  CHECK(check.adjoint_error() <= 1e-12);
  CHECK(check.finite_difference_error() <= 1e-9);
  const Tensor directions = normal_tensor({7, 6}, 10);
  const Linearisation tiled = observe->linearise(v.reshaped({6}), directions);
  const Linearisation plain = observe->ObservationOperator::linearise(v.reshaped({6}), directions);
  CHECK(largest_difference(tiled.value, plain.value) <= 1e-12);
  CHECK(largest_difference(tiled.tangents, plain.tangents) <= 1e-12 * 10);
  // Fewer directions than channels are swept forward.
  const Linearisation few = observe->linearise(v.reshaped({6}), directions.rows(0, 2));
  CHECK(largest_difference(few.tangents, plain.tangents.rows(0, 2)) <= 1e-12 * 10);
  // float32 agrees to its accuracy.
  const Linearisation single = observe->linearise(v.reshaped({6}).to(DType::float32), directions.to(DType::float32));
  CHECK(largest_difference(single.tangents.to(DType::float64), plain.tangents) <= 1e-5 * 20);
}

TEST_CASE("operators of all kinds on the surrogate: by hand, derivatives, every way of evaluating them") {
  const models::Surrogate s = make_surrogate();
  const LatentModel model(s);
  Observations o = random_observations(s, 12);
  const std::vector<std::string> names{"value", "speed", "arctan", "disc", "line"};
  for (std::int64_t i = 0; i < o.size(); ++i) {
    o.op[i] = names[static_cast<std::size_t>(i) % names.size()];
    o.x[i] = -5 + 0.5 * (o.x[i] + 5) + 1;  // room for extended operators
    o.y[i] = 10 + 0.5 * (o.y[i] - 10) + 3;
    o.extent_x[i] = 0.7;
    o.extent_y[i] = 2;
  }
  const auto observe = model.observe(o);
  REQUIRE(observe->size() == o.size());
  const Tensor v = normal_tensor({1, 6}, 7);
  const std::vector<double> found = observe->predict(v).to_vector();
  for (std::int64_t i = 0; i < o.size(); ++i) {
    const auto at = [&](double x, double y, std::int64_t c) { return by_hand(s, v.to_vector(), o.time[i], x, y, c); };
    double expected = at(o.x[i], o.y[i], o.channel[i]);
    if (o.op[i] == "speed") expected = std::hypot(at(o.x[i], o.y[i], 0), at(o.x[i], o.y[i], 1));
    if (o.op[i] == "arctan") expected = std::atan(expected);
    if (o.op[i] == "disc" || o.op[i] == "line") {
      expected = 0;
      for (const WeightedPlace& p : places_of(o, i, s.about)) expected += p.weight * at(p.x, p.y, o.channel[i]);
    }
    CHECK(std::abs(found[i] - expected) <= 1e-8 * (1 + std::abs(expected)));
  }
  const auto check =
      autodiff::check_derivatives([&](const autodiff::Vars& x) { return (*observe)(x[0]); }, std::span(&v, 1));
  INFO(check.text());
  CHECK(check.adjoint_error() <= 1e-12);
  CHECK(check.finite_difference_error() <= 1e-8);
  const Tensor directions = normal_tensor({7, 6}, 10);
  const Linearisation tiled = observe->linearise(v.reshaped({6}), directions);
  const Linearisation plain = observe->ObservationOperator::linearise(v.reshaped({6}), directions);
  CHECK(largest_difference(tiled.value, plain.value) <= 1e-12);
  CHECK(largest_difference(tiled.tangents, plain.tangents) <= 1e-12 * 10);
  const Linearisation single = observe->linearise(v.reshaped({6}).to(DType::float32), directions.to(DType::float32));
  CHECK(largest_difference(single.tangents.to(DType::float64), plain.tangents) <= 1e-5 * 20);
  // With the weights on another device.
  models::Surrogate moved = make_surrogate();
  nn::Parameters& weights = moved.net.parameters();
  for (std::size_t i = 0; i < weights.size(); ++i) weights.set(i, weights[i].to(testing::one_lane()));
  const LatentModel elsewhere(moved);
  const Linearisation there = elsewhere.observe(o)->linearise(v, directions.reshaped({1, 7, 6}));
  CHECK(largest_difference(there.tangents.reshaped({7, o.size()}), plain.tangents) <= 1e-11);
  CHECK(largest_difference(elsewhere.observe(o)->predict(v.reshaped({1, 1, 6})).to_vector(), found) <= 1e-12);
}

TEST_CASE("advancing keeps the parameters and composes over whole frames") {
  const models::Surrogate s = make_surrogate();
  const LatentModel model(s);
  const Tensor v = normal_tensor({3, 6}, 11);
  CHECK(testing::same_bits(model.advance(Var(v), 0).value(), v));
  const Var five = model.advance(Var(v), 300);
  CHECK(largest_difference(model.advance(model.advance(Var(v), 120), 180).value(), five.value()) <= 1e-14);
  CHECK(largest_difference(slice(five, 1, 4, 2).value(), slice(Var(v), 1, 4, 2).value()) == 0);
  // A part of a step is one shorter Euler step.
  const autodiff::Vars w = s.net.parameters().constants(DType::float64);
  const Var state = s.net.step(w, slice(Var(v), 1, 4, 2), slice(Var(v), 1, 0, 4), 0.25);
  CHECK(largest_difference(slice(model.advance(Var(v), 15), 1, 0, 4).value(), state.value()) <= 1e-14);
}

TEST_CASE("a place outside the domain is refused") {
  const models::Surrogate s = make_surrogate();
  const LatentModel model(s);
  Observations o;
  o.add(0, 100, 12, 0, 1, 1);
  CHECK_THROWS_WITH_AS(model.observe(o), "observation 0: the place (100, 12) is outside the domain", Error);
}

TEST_CASE("LEVDA on the surrogate: the same bits at 1, 2 and 8 threads, and a stationary point of the exact cost") {
  const models::Surrogate s = make_surrogate();
  const LatentModel model(s);
  Observations o = random_observations(s, 80);
  // Values of a truth with errors: residuals are small enough for Gauss-Newton.
  const std::vector<double> exact = model.observe(o)->predict(normal_tensor({1, 6}, 13)).to_vector();
  for (std::size_t i = 0; i < exact.size(); ++i) o.value[i] = exact[i] + 0.3 * o.value[i];
  const std::vector<double> variance(exact.size(), 0.09);
  const DiagonalCovariance covariance(variance);
  const Ensemble prior(normal_tensor({8, 6}, 12));
  const Problem problem{prior, model, o, covariance, {0, 60, 120, 180, 240, 300}};
  const Levda levda({.starts = 2, .annealing = {10, 1}, .iterations = 200, .tolerance = 1e-14});
  std::vector<Tensor> results;
  for (const std::size_t threads : {1, 2, 8}) {
    const oneapi::tbb::global_control control(oneapi::tbb::global_control::max_allowed_parallelism, threads);
    results.push_back(levda.assimilate(problem).ensembles[0].members());
  }
  CHECK(testing::same_bits(results[0], results[1]));
  CHECK(testing::same_bits(results[0], results[2]));

  // At the minimum v - vb = A A' (dG/dv)' R^-1 (y - G(v)): the right side by one reverse sweep in float64.
  const auto observe = model.observe(o);
  const Tensor values = Tensor::from(std::span<const double>(o.value), {1, o.size()});
  autodiff::Tape tape;
  const Var v = tape.variable(levda.assimilate(problem).ensembles[0].mean().reshaped({1, 6}));
  const Var g = (*observe)(v);
  const Var weighted = covariance.solve(Var(values) - g.detach());
  const Var sensitivity = autodiff::vjp(g, weighted, {v})[0];  // (1, n)
  const Var a(prior.anomalies());
  const Var expected = matmul(matmul(sensitivity, a, false, true), a);
  const Var step = v.detach() - Var(prior.mean());
  // A step that gains 1e-14 of J is 1e-7 of the spread; the iteration contracts well before that.
  CHECK(largest_difference(step.value(), expected.value()) <= 1e-6 * testing::largest(step.value().to_vector()));
  CHECK(testing::largest(step.value().to_vector()) > 0.1);
}

TEST_CASE("a truth has the same bits in a batch and alone") {
  const models::Surrogate s = make_surrogate();
  const LatentModel model(s);
  std::vector<Observations> observations(5, random_observations(s, 40));
  std::vector<Ensemble> priors;
  for (std::size_t k = 0; k < observations.size(); ++k) {
    const Tensor truth = normal_tensor({1, 6}, 20 + k);
    const std::vector<double> exact = model.observe(observations[k])->predict(truth).to_vector();
    for (std::size_t i = 0; i < exact.size(); ++i) observations[k].value[i] = exact[i] + 0.3 * observations[k].value[i];
    priors.emplace_back(normal_tensor({8, 6}, 30 + k));
  }
  const DiagonalCovariance covariance(std::vector<double>(observations[0].value.size(), 0.09));
  std::vector<Problem> problems;
  for (std::size_t k = 0; k < observations.size(); ++k)
    problems.push_back({priors[k], model, observations[k], covariance, {0, 60, 120, 180, 240, 300}});
  const Levda levda({.starts = 2, .annealing = {10, 1}}, {.length = 4, .shift = 3});
  const std::vector<Analysis> together = levda.assimilate_all(problems);
  const std::vector<Analysis> free = FreeRun().assimilate_all(problems);
  std::vector<double> iterations;
  for (std::size_t k = 0; k < problems.size(); ++k) {
    const Analysis alone = levda.assimilate(problems[k]);
    const Analysis free_alone = FreeRun().assimilate(problems[k]);
    CHECK(together[k].diagnostics == alone.diagnostics);
    for (std::size_t t = 0; t < 6; ++t) {
      CHECK(testing::same_bits(together[k].ensembles[t].members(), alone.ensembles[t].members()));
      CHECK(testing::same_bits(free[k].ensembles[t].members(), free_alone.ensembles[t].members()));
    }
    iterations.push_back(alone.diagnostics.at("iterations")[0]);
  }
  // Some end before others, or nothing would have dropped out.
  CHECK(*std::max_element(iterations.begin(), iterations.end()) >
        *std::min_element(iterations.begin(), iterations.end()));
}

TEST_CASE(
    "with the weights on a device of one lane: the same to round-off, in pieces of any size, results on the CPU") {
  const models::Surrogate s = make_surrogate();
  models::Surrogate moved = make_surrogate();
  nn::Parameters& weights = moved.net.parameters();
  for (std::size_t i = 0; i < weights.size(); ++i) weights.set(i, weights[i].to(testing::one_lane()));
  const Observations o = random_observations(s, 60);
  const auto expected = LatentModel(s).observe(o);
  const Tensor v = normal_tensor({3, 4, 6}, 14);
  const Tensor directions = normal_tensor({3, 5, 6}, 15);
  const Tensor points = v.rows(0, 1).reshaped({4, 6}).rows(0, 3);
  const Tensor later = LatentModel(s).forecast(v, 150);
  const Linearisation each = expected->linearise(points, directions);
  const auto close = [](const Tensor& a, const Tensor& b, double tolerance) {
    return a.device() == autodiff::Device::cpu && largest_difference(a, b) <= tolerance;
  };
  // All in one call; whole points; rows of one point; a row and direction at a time.
  for (const std::int64_t most : {models::rows_at_once, std::int64_t{1000}, std::int64_t{100}, std::int64_t{1}}) {
    CAPTURE(most);
    const LatentModel model(moved, most);
    const auto observe = model.observe(o);
    CHECK(close(observe->predict(v), expected->predict(v), 1e-12));
    CHECK(close(observe->predict(points), expected->predict(points), 1e-12));
    const Linearisation found = observe->linearise(points, directions);
    CHECK(close(found.value, each.value, 1e-12));
    CHECK(close(found.tangents, each.tangents, 1e-12 * 10));
    const Linearisation one =
        observe->linearise(points.rows(2, 3).reshaped({6}), directions.rows(2, 3).reshaped({5, 6}));
    CHECK(close(one.tangents, each.tangents.rows(2, 3).reshaped({5, o.size()}), 1e-12 * 10));
    const Tensor single = observe->predict(v.to(DType::float32));
    CHECK(single.dtype() == DType::float32);
    CHECK(close(single.to(DType::float64), expected->predict(v), 1e-5));
    CHECK(close(model.forecast(v, 150), later, 1e-13));
    CHECK(testing::same_bits(model.forecast(v, 0), v));
    // On a tape: where the control vectors lie.
    CHECK(close((*observe)(Var(points)).value(), expected->predict(points), 1e-12));
    CHECK(&(*observe)(Var(points.to(testing::one_lane()))).value().backend() == &testing::one_lane());
  }
}

TEST_CASE("LEVDA of many truths with the weights on a device of one lane finds what it finds on the CPU" *
          doctest::test_suite("long under sanitizers")) {
  const models::Surrogate s = make_surrogate();
  models::Surrogate moved = make_surrogate();
  nn::Parameters& weights = moved.net.parameters();
  for (std::size_t i = 0; i < weights.size(); ++i) weights.set(i, weights[i].to(testing::one_lane()));
  const LatentModel model(s);
  const LatentModel on_device(moved);
  std::vector<Observations> observations(3, random_observations(s, 40));
  std::vector<Ensemble> priors;
  for (std::size_t k = 0; k < observations.size(); ++k) {
    const Tensor truth = normal_tensor({1, 6}, 20 + k);
    const std::vector<double> exact = model.observe(observations[k])->predict(truth).to_vector();
    for (std::size_t i = 0; i < exact.size(); ++i) observations[k].value[i] = exact[i] + 0.3 * observations[k].value[i];
    priors.emplace_back(normal_tensor({8, 6}, 30 + k));
  }
  const DiagonalCovariance covariance(std::vector<double>(observations[0].value.size(), 0.09));
  for (const Minimiser minimiser : {Minimiser::gauss_newton, Minimiser::lbfgs, Minimiser::ensemble}) {
    std::vector<std::vector<Analysis>> found;
    for (const LatentModel* one : {&model, &on_device}) {
      std::vector<Problem> problems;
      for (std::size_t k = 0; k < observations.size(); ++k)
        problems.push_back({priors[k], *one, observations[k], covariance, {0, 60, 120, 180, 240, 300}});
      const Levda levda({.minimiser = minimiser,
                         .starts = 1,
                         .annealing = {10, 1},
                         .iterations = 200,
                         .tolerance = 1e-13,
                         .precision = Precision::float64},
                        {.length = 4, .shift = 3});
      found.push_back(levda.assimilate_all(problems));
    }
    // Gauss-Newton and L-BFGS end when round-off hides a further decrease of J: 1e-13 of J is 1e-6 of the spread.
    for (std::size_t k = 0; k < observations.size(); ++k)
      for (std::size_t t = 0; t < 6; ++t)
        CHECK(largest_difference(found[0][k].ensembles[t].members(), found[1][k].ensembles[t].members()) <=
              (minimiser == Minimiser::ensemble ? 1e-10 : 1e-5));
  }
}

TEST_CASE("L-BFGS on the exact gradient and Gauss-Newton end at the same analysis of a nonlinear problem") {
  const models::Surrogate s = make_surrogate();
  const LatentModel model(s);
  Observations o = random_observations(s, 80);
  const std::vector<double> exact = model.observe(o)->predict(normal_tensor({1, 6}, 13)).to_vector();
  for (std::size_t i = 0; i < exact.size(); ++i) o.value[i] = exact[i] + 0.3 * o.value[i];
  const DiagonalCovariance covariance(std::vector<double>(exact.size(), 0.09));
  const Ensemble prior(normal_tensor({8, 6}, 12));
  const Problem problem{prior, model, o, covariance, {0, 60, 120, 180, 240, 300}};
  std::vector<Ensemble> found;
  std::vector<double> costs;
  for (const Minimiser minimiser : {Minimiser::gauss_newton, Minimiser::lbfgs}) {
    const Levda levda(
        {.minimiser = minimiser, .starts = 2, .annealing = {10, 1}, .iterations = 300, .tolerance = 1e-14});
    const Analysis analysis = levda.assimilate(problem);
    found.push_back(analysis.ensembles[0]);
    costs.push_back(analysis.diagnostics.at("cost")[0]);
    // Nonlinear: the members' own Y is not the tape's.
    CHECK(analysis.diagnostics.at("gradient_difference")[0] > 1e-3);
  }
  CHECK(std::abs(costs[0] - costs[1]) <= 1e-10 * costs[0]);
  // A cost within 1e-10 of the minimum is a point within 1e-5 of its spread.
  CHECK(largest_difference(found[0].members(), found[1].members()) <= 1e-4);
}
