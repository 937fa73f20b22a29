#include "autodiff/derivatives.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "autodiff/error.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using levda::testing::largest;
using levda::testing::largest_difference;
using levda::testing::normal_tensor;
using levda::testing::same_bits;

namespace {

constexpr double u = 0x1p-53;  // round-off unit of float64

Var one() { return Tensor::full({}, 1, DType::float64); }

Tensor vector_of(const std::vector<double>& values) {
  return Tensor::from(std::span<const double>(values), {static_cast<std::int64_t>(values.size())});
}

/// sum_i 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2 (Rosenbrock).
Var rosenbrock(const Var& x) {
  const std::int64_t n = x.shape()[0];
  const Var head = slice(x, 0, 0, n - 1);
  const Var tail = slice(x, 0, 1, n - 1);
  return sum(100 * square(tail - square(head)) + square(1 - head));
}

std::vector<double> rosenbrock_gradient(const std::vector<double>& x) {
  std::vector<double> g(x.size(), 0.0);
  for (std::size_t i = 0; i + 1 < x.size(); ++i) {
    const double r = x[i + 1] - x[i] * x[i];
    g[i] += -400 * x[i] * r - 2 * (1 - x[i]);
    g[i + 1] += 200 * r;
  }
  return g;
}

std::vector<double> rosenbrock_hessian_times(const std::vector<double>& x, const std::vector<double>& v) {
  std::vector<double> y(x.size(), 0.0);
  for (std::size_t i = 0; i + 1 < x.size(); ++i) {
    y[i] += (1200 * x[i] * x[i] - 400 * x[i + 1] + 2) * v[i] - 400 * x[i] * v[i + 1];
    y[i + 1] += -400 * x[i] * v[i] + 200 * v[i + 1];
  }
  return y;
}

const std::vector<double> point{-1.2, 1.0, 0.7, -0.4, 1.9};
const std::vector<double> direction{0.3, -1.1, 0.8, 2.0, -0.6};

}  // namespace

TEST_CASE("value_and_grad: sum of sin(a) exp(b)") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Tensor a = normal_tensor({4, 3}, 1, dtype);
    const Tensor b = normal_tensor({3}, 2, dtype);
    const ValueAndGrad result =
        value_and_grad([](const Vars& x) { return sum(sin(x[0]) * exp(x[1])); }, std::vector<Tensor>{a, b});
    const std::vector<double> va = a.to_vector();
    const std::vector<double> vb = b.to_vector();
    double value = 0;
    std::vector<double> ga(12);
    std::vector<double> gb(3, 0.0);
    for (std::size_t i = 0; i < 12; ++i) {
      value += std::sin(va[i]) * std::exp(vb[i % 3]);
      ga[i] = std::cos(va[i]) * std::exp(vb[i % 3]);
      gb[i % 3] += std::sin(va[i]) * std::exp(vb[i % 3]);
    }
    // At most 12 terms below e^3 = 20, each of a few roundings.
    const double tolerance = (dtype == DType::float64 ? u : 0x1p-24) * 12 * 20 * 4;
    CHECK(std::abs(result.value - value) <= tolerance);
    REQUIRE(result.gradients.size() == 2);
    CHECK(result.gradients[0].dtype() == dtype);
    CHECK(result.gradients[0].shape() == a.shape());
    CHECK(result.gradients[1].shape() == b.shape());
    CHECK(largest_difference(result.gradients[0].to_vector(), ga) <= tolerance);
    CHECK(largest_difference(result.gradients[1].to_vector(), gb) <= tolerance);
  }
}

TEST_CASE("value_and_grad: Rosenbrock's function and a quadratic form") {
  const ValueAndGrad r =
      value_and_grad([](const Vars& x) { return rosenbrock(x[0]); }, std::vector<Tensor>{vector_of(point)});
  // Terms up to 400 x^3 = 3000, ten roundings.
  CHECK(largest_difference(r.gradients[0].to_vector(), rosenbrock_gradient(point)) <= 10 * u * 3000);
  const ValueAndGrad least = value_and_grad([](const Vars& x) { return rosenbrock(x[0]); },
                                            std::vector<Tensor>{Tensor::full({5}, 1, DType::float64)});
  CHECK(least.value == 0);
  CHECK(least.gradients[0].to_vector() == std::vector<double>(5, 0.0));

  // 1/2 x' A x has the gradient (A + A') x / 2.
  const Tensor a = normal_tensor({6, 6}, 3);
  const Tensor x = normal_tensor({6, 1}, 4);
  const ValueAndGrad q = value_and_grad(
      [&](const Vars& v) { return 0.5 * sum(matmul(v[0], matmul(Var(a), v[0]), true)); }, std::vector<Tensor>{x});
  const Tensor expected = (0.5 * (matmul(Var(a), Var(x)) + matmul(Var(a), Var(x), true))).value();
  CHECK(largest_difference(q.gradients[0], expected) <= 20 * u * 6 * 9);  // sums of 6 products below 9
}

TEST_CASE("vjp: a variable that is used many times gathers all its cotangents") {
  Tape tape;
  const Var x = tape.variable(normal_tensor({7}, 1));
  const Tensor before = x.value().clone();
  const Var y = x + x + x * x - x;  // derivative 1 + 2 x
  const Tensor w = normal_tensor({7}, 2);
  const Tensor w_before = w.clone();
  const Tensor first = vjp(y, w, {x})[0].value();
  CHECK(largest_difference(first, (Var(w) * (1 + 2 * Var(x.value()))).value()) <= 8 * u * 3 * 7);
  // Sums in place must not change tensors of the caller.
  CHECK(same_bits(w, w_before));
  CHECK(same_bits(x.value(), before));
  CHECK(same_bits(vjp(y, w, {x})[0].value(), first));
}

TEST_CASE("vjp: a cotangent that two variables share is not summed into in place") {
  // The sum hands the caller's w to a and b as it is; after that a receives its part from sin.
  Tape tape;
  const Var a = tape.variable(normal_tensor({7}, 1));
  const Var b = tape.variable(normal_tensor({7}, 2));
  const Var wave = sin(a);
  const Var y = (a + b) + wave;
  const Tensor w = normal_tensor({7}, 3);
  const Tensor w_before = w.clone();
  const Vars g = vjp(y, w, {a, b});
  CHECK(same_bits(w, w_before));
  CHECK(same_bits(g[1].value(), w_before));
  CHECK(largest_difference(g[0].value(), (Var(w_before) * (1 + cos(a.detach()))).value()) <= 4 * u * 6);

  // Nobody else holds the shared cotangent here.
  const Var scaled = 3 * y;
  const Vars h = vjp(scaled, w, {a, b});
  CHECK(same_bits(h[1].value(), (3 * Var(w_before)).value()));
  // In the forward sweep: the tangent v of the caller, given twice, is only read.
  const Tensor v = normal_tensor({7}, 4);
  const Tensor v_before = v.clone();
  const Tensor twice = jvp(y, {b, b}, {v, v}).value();
  CHECK(same_bits(v, v_before));
  CHECK(largest_difference(twice, (2 * Var(v_before)).value()) <= 4 * u * 6);
}

TEST_CASE("vjp and jvp: a variable that does not matter gives zeros") {
  Tape tape;
  const Var x = tape.variable(normal_tensor({3}, 1));
  const Var unused = tape.variable(normal_tensor({2, 2}, 2));
  const Var y = sum(square(x));
  const Var later = tape.variable(normal_tensor({4}, 3));
  const Vars g = vjp(y, one(), {x, unused, later});
  REQUIRE(g.size() == 3);
  CHECK(g[1].shape() == unused.shape());
  CHECK(g[1].value().to_vector() == std::vector<double>(4, 0.0));
  CHECK(g[2].value().to_vector() == std::vector<double>(4, 0.0));
  CHECK(largest_difference(g[0].value(), (2 * Var(x.value())).value()) == 0);

  CHECK(jvp(y, {unused, later}, {normal_tensor({2, 2}, 4), normal_tensor({4}, 5)}).value().item() == 0);
  const Var many = jvp(y, {unused}, {normal_tensor({5, 2, 2}, 4)});
  CHECK(many.shape() == Shape{5});
  CHECK(many.value().to_vector() == std::vector<double>(5, 0.0));
  CHECK(same_bits(vjp(x, x.value(), {x})[0].value(), x.value()));
}

TEST_CASE("vjp: cotangents of intermediate results") {
  Tape tape;
  const Var x = tape.variable(normal_tensor({3}, 1));
  const Var h = exp(x);
  const Var y = sum(square(h));
  const Tensor by_h = vjp(y, one(), {h})[0].value();
  CHECK(largest_difference(by_h, (2 * Var(h.value())).value()) == 0);
  CHECK(same_bits(vjp(y, one(), {x})[0].value(), (Var(by_h) * Var(h.value())).value()));
  // Together, x acts only past h: not at all.
  const Vars g = vjp(y, one(), {x, h});
  CHECK(same_bits(g[1].value(), by_h));
  CHECK(largest(g[0].value().to_vector()) == 0);
}

TEST_CASE("jvp: many directions at once are the columns of the Jacobian") {
  // y = A sin(x): J = A diag(cos x); the unit vectors as directions give its columns.
  Tape tape;
  const Tensor a = normal_tensor({4, 3}, 1);
  const Var x = tape.variable(normal_tensor({3, 1}, 2));
  const Var y = matmul(Var(a), sin(x));
  std::vector<double> unit(9, 0.0);
  for (std::size_t i = 0; i < 3; ++i) unit[4 * i] = 1;
  const Tensor columns = jvp(y, {x}, {Tensor::from(std::span<const double>(unit), {3, 3, 1})}).value();
  REQUIRE(columns.shape() == Shape{3, 4, 1});
  for (std::size_t column = 0; column < 3; ++column)
    for (std::size_t row = 0; row < 4; ++row) {
      const double expected = a.to_vector()[row * 3 + column] * std::cos(x.value().to_vector()[column]);
      CHECK(std::abs(columns.to_vector()[column * 4 + row] - expected) <= 8 * u * 3);
    }
}

TEST_CASE("Hessian times vector: vjp of <gradient, v>, jvp of the gradient and the formula agree") {
  Tape tape;
  const Var x = tape.variable(vector_of(point));
  const Var v = vector_of(direction);
  const Var y = rosenbrock(x);
  const Var gradient = vjp(y, one(), {x}, Graph::keep)[0];
  REQUIRE(gradient.tracked());
  const Tensor reverse = vjp(dot(gradient, v), one(), {x})[0].value();
  const Tensor forward = jvp(gradient, {x}, {v}).value();
  const Var slope = jvp(y, {x}, {v}, Graph::keep);
  const Tensor reverse_of_forward = vjp(slope, one(), {x})[0].value();
  const std::vector<double> expected = rosenbrock_hessian_times(point, direction);
  const double tolerance = 20 * u * 5000;  // terms up to 1200 x^2 v = 5000, twenty roundings
  CHECK(largest_difference(reverse.to_vector(), expected) <= tolerance);
  CHECK(largest_difference(forward.to_vector(), expected) <= tolerance);
  CHECK(largest_difference(reverse_of_forward.to_vector(), expected) <= tolerance);
}

TEST_CASE("Hessian times vector through a small network with broadcasting") {
  // No formula here: the three ways and the symmetry <w, H v> = <v, H w> check each other.
  Tape tape;
  const Var x(normal_tensor({9, 3}, 1));
  const Vars p{tape.variable(normal_tensor({3, 4}, 2)), tape.variable(normal_tensor({4}, 3)),
               tape.variable(normal_tensor({4, 1}, 4))};
  const Var y = sum(square(matmul(silu(linear(x, p[0], p[1])), p[2]) /
                           (2 + square(p[1]) * Var(normal_tensor({9, 1}, 5)) * Var(normal_tensor({9, 1}, 5)))));
  const Vars gradient = vjp(y, one(), p, Graph::keep);
  const auto random_direction = [&](std::uint64_t seed) {
    Vars v;
    for (const Var& part : p) v.emplace_back(normal_tensor(part.shape(), seed++));
    return v;
  };
  const Vars v = random_direction(10);
  const Vars w = random_direction(20);
  const auto inner = [](const Vars& a, const Vars& b) {
    Var total = dot(a[0], b[0]);
    for (std::size_t i = 1; i < a.size(); ++i) total = total + dot(a[i], b[i]);
    return total;
  };
  const Vars hv = vjp(inner(gradient, v), one(), p);
  const Vars hw = vjp(inner(gradient, w), one(), p);
  Vars hv_forward;
  for (const Var& part : gradient) hv_forward.push_back(jvp(part, p, v));
  double scale = 0;
  for (std::size_t i = 0; i < p.size(); ++i)
    scale = std::max(scale, levda::testing::largest(hv[i].value().to_vector()));
  CHECK(scale > 0);
  // Sums over 9 x 4 x 3 terms that may cancel to the scale: a thousand units.
  for (std::size_t i = 0; i < p.size(); ++i)
    CHECK(largest_difference(hv[i].value(), hv_forward[i].value()) <= 1000 * u * scale);
  const double wHv = inner(hv, w).value().item();
  const double vHw = inner(hw, v).value().item();
  CHECK(std::abs(wHv - vHw) <= 1000 * u * scale * 20);
}

TEST_CASE("derivatives of derivatives: the fourth of sin is sin") {
  Tape tape;
  const Var x = tape.variable(vector_of({-2.0, -0.3, 0.0, 0.9, 3.0}));
  Var y = sin(x);
  const Var ones(Tensor::full({5}, 1, DType::float64));
  for (int order = 0; order < 4; ++order)
    y = order % 2 == 0 ? vjp(y, ones, {x}, Graph::keep)[0] : jvp(y, {x}, {ones}, Graph::keep);
  CHECK(largest_difference(y.value(), sin(x.detach()).value()) <= 4 * u);
}

TEST_CASE("a sweep is recorded only when asked") {
  Tape tape;
  const Var x = tape.variable(normal_tensor({3}, 1));
  const Var y = sum(exp(x) * x);
  const std::int64_t size = tape.size();
  CHECK_FALSE(vjp(y, one(), {x})[0].tracked());
  CHECK_FALSE(jvp(y, {x}, {normal_tensor({3}, 2)}).tracked());
  CHECK(tape.size() == size);
  const Var kept = vjp(y, one(), {x}, Graph::keep)[0];
  CHECK(kept.tracked());
  CHECK(tape.size() > size);
  CHECK(same_bits(kept.value(), vjp(y, one(), {x})[0].value()));
}

TEST_CASE("derivatives: errors name the sweep") {
  Tape tape;
  Tape other;
  const Var x = tape.variable(normal_tensor({3}, 1));
  const Var y = square(x);
  const Var foreign = other.variable(normal_tensor({3}, 1));
  const Var constant(normal_tensor({3}, 1));
  CHECK_THROWS_WITH_AS(vjp(y, constant, {foreign}), "[vjp] a variable is not on the result's tape", levda::Error);
  CHECK_THROWS_WITH_AS(jvp(y, {foreign}, {constant}), "[jvp] a variable is not on the result's tape", levda::Error);
  CHECK_THROWS_WITH_AS(vjp(y, one(), {x}), "[vjp] the cotangent has shape (), not (3)", levda::Error);
  CHECK_THROWS_WITH_AS(jvp(y, {x}, {}), "[jvp] 0 tangents for 1 variables", levda::Error);
  CHECK_THROWS_WITH_AS(jvp(y, {x}, {Var(normal_tensor({2}, 1))}), "[jvp] a tangent has shape (2), its variable (3)",
                       levda::Error);
  CHECK_THROWS_WITH_AS(jvp(y, {x}, {Var(normal_tensor({3, 2}, 1))}),
                       "[jvp] a tangent has shape (3, 2), its variable (3)", levda::Error);
  CHECK_THROWS_WITH_AS(value_and_grad([](const Vars& v) { return square(v[0]); }, std::vector<Tensor>{x.value()}),
                       "[value_and_grad] the result of the function has shape (3) and is not a scalar", levda::Error);
}

TEST_CASE("derivatives of constants are zero") {
  Tape tape;
  const Var x = tape.variable(normal_tensor({3}, 1));
  const Var constant(normal_tensor({3}, 1));
  const Tensor zero = Tensor::zeros({3}, DType::float64);
  CHECK(same_bits(vjp(constant, constant, {x})[0].value(), zero));
  CHECK(same_bits(vjp(square(x), constant, {constant})[0].value(), zero));
  CHECK(same_bits(jvp(constant, {x}, {constant}).value(), zero));
  CHECK(same_bits(jvp(square(x), {constant}, {constant}).value(), zero));
  CHECK(same_bits(jvp(square(x), {x}, {Var()}).value(), zero));  // an empty tangent is zero
  const ValueAndGrad result = value_and_grad([](const Vars&) { return one(); }, {x.value()});
  CHECK(result.value == 1);
  CHECK(same_bits(result.gradients[0], zero));
  CHECK(same_bits(hvp([](const Vars&) { return one(); }, {x.value()}, {x.value()})[0], zero));
}

TEST_CASE("a variable computed from another one counts as independent: vjp and jvp stay adjoint") {
  Tape tape;
  const Var x = tape.variable(normal_tensor({3}, 1));
  const Var h = exp(x);
  const Var y = sum(x * h * h);
  const Var vx(normal_tensor({3}, 2));
  const Var vh(normal_tensor({3}, 3));
  const Vars g = vjp(y, Tensor::full({}, 1, DType::float64), {x, h});
  const double by_vjp = (dot(g[0], vx) + dot(g[1], vh)).value().item();
  const double by_jvp = jvp(y, {x, h}, {vx, vh}).value().item();
  CHECK(std::abs(by_vjp - by_jvp) <= 1e-13 * std::abs(by_jvp) * 10);
  CHECK(largest_difference(g[0].value(), square(h).value()) <= 1e-14 * largest(g[0].value().to_vector()));
}

TEST_CASE("hvp: Rosenbrock's Hessian, one product and all columns at once") {
  const auto f = [](const Vars& x) { return rosenbrock(x[0]); };
  const std::vector<Tensor> x{vector_of(point)};
  const double tolerance = 20 * u * 5000;
  const std::vector<Tensor> product = hvp(f, x, std::vector<Tensor>{vector_of(direction)});
  REQUIRE(product.size() == 1);
  CHECK(largest_difference(product[0].to_vector(), rosenbrock_hessian_times(point, direction)) <= tolerance);
  std::vector<double> unit(25, 0.0);
  for (std::size_t i = 0; i < 5; ++i) unit[6 * i] = 1;
  const std::vector<Tensor> hessian =
      hvp(f, x, std::vector<Tensor>{Tensor::from(std::span<const double>(unit), {5, 5})});
  REQUIRE(hessian[0].shape() == Shape{5, 5});
  for (std::int64_t i = 0; i < 5; ++i) {
    std::vector<double> e(5, 0.0);
    e[static_cast<std::size_t>(i)] = 1;
    CHECK(largest_difference(hessian[0].rows(i, i + 1).to_vector(), rosenbrock_hessian_times(point, e)) <= tolerance);
  }
}

TEST_CASE("hvp: a quadratic form, a linear function, an input that does not matter, errors") {
  const Tensor a = normal_tensor({6, 6}, 3);
  const std::vector<Tensor> x{normal_tensor({6, 1}, 4), normal_tensor({2}, 5)};
  const std::vector<Tensor> v{normal_tensor({6, 1}, 6), normal_tensor({2}, 7)};
  const std::vector<Tensor> q =
      hvp([&](const Vars& z) { return 0.5 * sum(matmul(z[0], matmul(Var(a), z[0]), true)); }, x, v);
  const Tensor expected = (0.5 * (matmul(Var(a), Var(v[0])) + matmul(Var(a), Var(v[0]), true))).value();
  CHECK(largest_difference(q[0], expected) <= 20 * u * 6 * 9);
  CHECK(q[1].to_vector() == std::vector<double>(2, 0.0));
  const std::vector<Tensor> linear_function = hvp([](const Vars& z) { return sum(z[0]) + sum(z[1]); }, x, v);
  CHECK(linear_function[0].to_vector() == std::vector<double>(6, 0.0));
  CHECK(linear_function[1].to_vector() == std::vector<double>(2, 0.0));
  CHECK_THROWS_WITH_AS(hvp([](const Vars& z) { return square(z[0]); }, x, v),
                       "[hvp] the result of the function has shape (6, 1) and is not a scalar", levda::Error);
  CHECK_THROWS_WITH_AS(hvp([](const Vars& z) { return sum(z[0]); }, x, std::vector<Tensor>{v[0]}),
                       "[jvp] 1 tangents for 2 variables", levda::Error);
}

TEST_CASE("jvp of several results is the single ones, in one sweep that visits only what they need") {
  Tape tape;
  const Var x = tape.variable(normal_tensor({3}, 1));
  const Var y = tape.variable(normal_tensor({3}, 2));
  const Var a = sin(x) * y;
  const Var unneeded = exp(a);
  const Var b = sum(square(a));
  const Vars v{normal_tensor({3}, 3), normal_tensor({3}, 4)};
  const Vars both = jvp(Vars{b, a, x, Var(normal_tensor({2}, 5))}, {x, y}, v);
  REQUIRE(both.size() == 4);
  CHECK(same_bits(both[0].value(), jvp(b, {x, y}, v).value()));
  CHECK(same_bits(both[1].value(), jvp(a, {x, y}, v).value()));
  CHECK(same_bits(both[2].value(), v[0].value()));
  CHECK(both[3].value().to_vector() == std::vector<double>(2, 0.0));
  const std::int64_t before = tape.size();
  jvp(b, {x, y}, v, Graph::keep);
  // sin: cos and a product; mul: two products, a sum; square: twice a, a product; sum: a sum, a reshape. No exp.
  CHECK(tape.size() - before == 9);
  CHECK(unneeded.tracked());
}
