#include "da/bounded_model.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/error.h"
#include "da/levda.h"
#include "da/step_model.h"
#include "tests/autodiff/compare.h"
#include "tests/da/linear_model.h"

using namespace levda;
using namespace levda::da;
using autodiff::Random;
using autodiff::Tensor;
using autodiff::Var;

namespace {

/// [x; a, b]: x gains a b / 10 in every step; a and b stay.
StepModel growing() {
  return {3, 1, [](const Var& v) {
            const Var x = slice(v, 1, 0, 1);
            const Var a = slice(v, 1, 1, 1);
            const Var b = slice(v, 1, 2, 1);
            return autodiff::concat({x + 0.1 * (a * b), a, b}, 1);
          }};
}

const std::vector<Bounds> some_bounds{{}, {.lower = 0, .upper = 2}, {.lower = 0.5}};

Tensor row(const std::vector<double>& v) {
  return Tensor::from(std::span<const double>(v), {1, static_cast<std::int64_t>(v.size())});
}

double largest(const Tensor& a, const Tensor& b) { return (matrix_of(a) - matrix_of(b)).cwiseAbs().maxCoeff(); }

}  // namespace

TEST_CASE("bounded model: there and back, within the bounds") {
  const StepModel inner = growing();
  const BoundedModel model(inner, some_bounds);
  const std::vector<double> x{3, 0.1, 0.6, -2, 1.9, 7, 0, 1, 1.5};
  const Ensemble ensemble(Tensor::from(std::span<const double>(x), {3, 3}));
  const Ensemble z = model.unbounded(ensemble);
  CHECK(std::abs(z.members().to_vector()[1] - std::log(0.1 / 1.9)) <= 1e-15 * 10);
  CHECK(std::abs(z.members().to_vector()[2] - std::log(0.1)) <= 1e-14);
  CHECK(largest(model.bounded(z).members(), ensemble.members()) <= 1e-14);
  // Whatever a method makes of z.
  const std::vector<double> wild = model.bounded(Var(row({1e300, 800, 30}))).value().to_vector();
  CHECK(wild[1] <= 2);
  CHECK(model.bounded(Var(row({0, -800, -800}))).value().to_vector()[2] >= 0.5);
  const BoundedModel upper(inner, {{}, {.upper = 1}, {}});
  CHECK(std::abs(upper.bounded(Var(row({0, 0, 0}))).value().to_vector()[1]) <= 1e-15);
  CHECK(std::abs(upper.unbounded(Var(row({0, -1, 0}))).value().to_vector()[1] - std::log(2.0)) <= 1e-15);
}

TEST_CASE("bounded model: parameters keep their bits, free controls are the inner model's") {
  const StepModel inner = growing();
  const BoundedModel model(inner, some_bounds);
  const std::vector<double> z = {1.5, 0.3, -1.1};
  const std::vector<double> later = model.advance(Var(row(z)), 3).value().to_vector();
  CHECK(later[1] == z[1]);
  CHECK(later[2] == z[2]);
  const std::vector<double> x = model.bounded(Var(row(z))).value().to_vector();
  CHECK(later[0] == inner.advance(Var(row(x)), 3).value().to_vector()[0]);
  // Where sigmoid and exp have reached the bound, too.
  const std::vector<double> edge = model.advance(Var(row({0, 60, -800})), 2).value().to_vector();
  CHECK(edge[1] == 60);
  CHECK(edge[2] == -800);
  // A bounded control that does move.
  const StepModel decay(1, 1, [](const Var& v) { return 0.5 * v; });
  const BoundedModel positive(decay, {{.lower = 0}});
  CHECK(std::abs(positive.advance(Var(row({2})), 1).value().item() - (2 + std::log(0.5))) <= 1e-14);
  // Without bounds it is the inner model.
  const BoundedModel none(inner, {{}, {}, {}});
  CHECK(testing::same_bits(none.advance(Var(row(z)), 4).value(), inner.advance(Var(row(z)), 4).value()));
}

TEST_CASE("bounded model: derivatives of observations against differences, by either way") {
  const StepModel inner = growing();
  const BoundedModel model(inner, some_bounds);
  Observations o;
  o.add(4, 0, 0, 0, 0, 1);
  o.add(2, 0, 0, 1, 0, 1);
  const auto observe = model.observe(o);
  const std::vector<double> z = {1.5, 0.3, -1.1};
  const Tensor point = Tensor::from(std::span<const double>(z), {3});
  const std::vector<double> d{0.2, -1, 0.7, 1, 0.4, 0.1};
  const Tensor directions = Tensor::from(std::span<const double>(d), {2, 3});
  const Linearisation one = observe->linearise(point, directions);
  const Linearisation tape = observe->ObservationOperator::linearise(point, directions);
  CHECK(largest(one.tangents, tape.tangents) <= 1e-14);
  CHECK(testing::same_bits(one.value, tape.value));
  const Linearisation each = observe->linearise(point.reshaped({1, 3}), directions.reshaped({1, 2, 3}));
  CHECK(testing::same_bits(each.tangents.reshaped({2, 2}), one.tangents));
  constexpr double h = 1e-5;
  for (std::size_t k = 0; k < 2; ++k) {
    std::vector<double> up = z;
    std::vector<double> down = z;
    for (std::size_t i = 0; i < 3; ++i) {
      up[i] += h * d[3 * k + i];
      down[i] -= h * d[3 * k + i];
    }
    const std::vector<double> a = observe->predict(row(up)).to_vector();
    const std::vector<double> b = observe->predict(row(down)).to_vector();
    // Third derivatives of order 1 times h^2 / 6, round-off 1e-16 / h.
    for (std::size_t i = 0; i < 2; ++i)
      CHECK(std::abs((a[i] - b[i]) / (2 * h) - one.tangents.to_vector()[2 * k + i]) <= 1e-9);
  }
}

TEST_CASE("bounded model: estimates stay within, where free ones leave") {
  const StepModel inner = growing();
  const BoundedModel model(inner, {{}, {.lower = 0, .upper = 2}, {.lower = 0}});
  Random random(4);
  std::vector<double> x;
  for (int k = 0; k < 15; ++k) {
    x.push_back(0.1 * random.normal());
    x.push_back(0.1 + 1.8 * random.uniform());
    x.push_back(0.05 + 0.3 * random.uniform());
  }
  const Ensemble prior(Tensor::from(std::span<const double>(x), {15, 3}));
  // b = 0.02 in truth, at the bound; noise pulls beyond it.
  Observations o;
  std::vector<double> variance;
  for (int t = 0; t < 10; ++t) {
    o.add(t, 0, 0, 0, 0.1 * t * 1.0 * 0.02 - 0.06 * t, 0.05);
    variance.push_back(0.0025);
  }
  const DiagonalCovariance covariance(variance);
  const Levda method({.starts = 0, .annealing = {10, 1}});
  const auto members = [&](const ForwardModel& forward, const Ensemble& start) {
    return method.assimilate({start, forward, o, covariance, {0}}).ensembles[0];
  };
  const std::vector<double> free = members(inner, prior).members().to_vector();
  const std::vector<double> within = model.bounded(members(model, model.unbounded(prior))).members().to_vector();
  bool left = false;
  for (std::size_t i = 0; i < within.size(); i += 3) {
    CHECK(within[i + 1] > 0);
    CHECK(within[i + 1] < 2);
    CHECK(within[i + 2] > 0);
    left = left || free[i + 1] <= 0 || free[i + 2] <= 0;
  }
  CHECK(left);
}

TEST_CASE("bounded model: bad input") {
  const StepModel inner = growing();
  CHECK_THROWS_AS(BoundedModel(inner, {{}, {}}), Error);
  CHECK_THROWS_AS(BoundedModel(inner, {{}, {.lower = 1, .upper = 1}, {}}), Error);
  CHECK_THROWS_AS(BoundedModel(inner, {{}, {.lower = std::nan("")}, {}}), Error);
  const BoundedModel model(inner, some_bounds);
  const std::vector<double> x{0, 1, 1, 0, 2, 1};
  CHECK_THROWS_WITH_AS(model.unbounded(Ensemble(Tensor::from(std::span<const double>(x), {2, 3}))),
                       "control 1 of a member is 2, not between 0 and 2", Error);
}
