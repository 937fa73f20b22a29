/// One table of cases drives every check of every operation. An operation without a case fails.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "autodiff/check.h"
#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "autodiff/random.h"
#include "tests/autodiff/operation_cases.h"

using namespace levda::autodiff;
using namespace levda::testing;

TEST_CASE("every operation has a case") {
  std::set<std::string> covered;
  for (const Case& c : cases()) covered.insert(c.op);
  for (const Op* op : operations()) CHECK_MESSAGE(covered.count(op->name) == 1, std::string(op->name));
  CHECK(covered.size() == operations().size());
}

TEST_CASE("forward values agree with plain formulas") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    // A few roundings of terms of order one, in sums of at most 15.
    const double tolerance = dtype == DType::float64 ? 1e-14 : 4e-6;
    for (const Case& c : cases()) {
      if (!c.reference) continue;
      CAPTURE(c.op);
      std::vector<std::vector<double>> x;
      Vars vars;
      for (const Tensor& input : inputs_of(c, dtype)) {
        x.push_back(input.to_vector());
        vars.emplace_back(input);
      }
      const std::vector<double> y = c.f(vars).value().to_vector();
      for (std::size_t i = 0; i < y.size(); ++i) {
        const double expected = c.reference(x, i);
        CHECK(std::abs(y[i] - expected) <= tolerance * (1 + std::abs(expected)));
      }
    }
  }
}

TEST_CASE("adjoint dot product and finite differences") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const Case& c : cases()) {
      CAPTURE(c.op);
      const DerivativeCheck check = check_derivatives(c.f, inputs_of(c, dtype));
      INFO(check.text());
      if (c.flat)
        CHECK(check.scale == 0);
      else
        CHECK(check.scale > 0);
      // Round-off of sums of at most 100 terms.
      CHECK(check.adjoint_error() <= (dtype == DType::float64 ? 1e-12 : 2e-5));
      // Differences lose the digits of h; the extrapolation wins back truncation only.
      CHECK(check.finite_difference_error() <= (dtype == DType::float64 ? 1e-9 : 2e-3));
    }
  }
}

TEST_CASE("second derivatives: the gradient of every operation passes the same checks") {
  for (const Case& c : cases()) {
    if (c.flat) continue;
    CAPTURE(c.op);
    const std::vector<Tensor> inputs = inputs_of(c, DType::float64);
    const auto gradient = [&](const Vars& x) {
      Tape own;  // for the plain evaluations inside finite differences
      Vars variables = x;
      if (!x[0].tracked())
        for (Var& v : variables) v = own.variable(v.value());
      const Var y = c.f(variables);
      const Var weighted = sum(y * sin(y));  // so that linear operations have a second derivative
      Vars parts;
      for (const Var& g : vjp(weighted, Tensor::full({}, 1, DType::float64), variables, Graph::keep))
        parts.push_back(reshape(g, {g.shape().size()}));
      return x[0].tracked() ? concat(parts, 0) : concat(parts, 0).detach();
    };
    const DerivativeCheck check = check_derivatives(gradient, inputs);
    INFO(check.text());
    CHECK(check.scale > 0);
    CHECK(check.adjoint_error() <= 1e-12);
    CHECK(check.finite_difference_error() <= 1e-8);
  }
}

TEST_CASE("many directions at once are the single directions, for every operation and any subset of inputs") {
  Random random(11);
  for (const Case& c : cases()) {
    CAPTURE(c.op);
    const std::vector<Tensor> inputs = inputs_of(c, DType::float64);
    for (std::size_t mask = 1; mask < (std::size_t{1} << inputs.size()); ++mask) {
      Tape tape;
      Vars x;
      Vars wrt;
      Vars many;
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        const bool varies = mask >> i & 1;
        x.push_back(varies ? tape.variable(inputs[i]) : Var(inputs[i]));
        if (!varies) continue;
        wrt.push_back(x.back());
        const Shape shape = inputs[i].shape().prepend({3});
        std::vector<double> values(static_cast<std::size_t>(shape.size()));
        for (double& value : values) value = random.normal();
        many.emplace_back(Tensor::from(std::span<const double>(values), shape));
      }
      const Var y = c.f(x);
      const Tensor together = jvp(y, wrt, many).value();
      REQUIRE(together.shape() == y.shape().prepend({3}));
      for (std::int64_t k = 0; k < 3; ++k) {
        Vars one;
        for (std::size_t i = 0; i < wrt.size(); ++i)
          one.emplace_back(many[i].value().rows(k, k + 1).reshaped(wrt[i].shape()));
        const std::vector<double> expected = jvp(y, wrt, one).value().to_vector();
        const std::vector<double> found = together.rows(k, k + 1).to_vector();
        for (std::size_t i = 0; i < expected.size(); ++i)
          CHECK(std::abs(found[i] - expected[i]) <= 1e-13 * (1 + std::abs(expected[i])));
      }
    }
  }
}

TEST_CASE("shape, type and tape errors name the operation and both shapes") {
  const Var a(Tensor::zeros({2, 3}));
  const Var b(Tensor::zeros({4, 3}));
  CHECK_THROWS_WITH_AS(a + b, "[add] cannot broadcast (2, 3) and (4, 3)", levda::Error);
  CHECK_THROWS_WITH_AS(matmul(a, b), "[matmul] cannot multiply (2, 3) and (4, 3)", levda::Error);
  CHECK_THROWS_WITH_AS(linear(a, b, b), "[linear] input (2, 3), weight (4, 3) and bias (4, 3) do not fit",
                       levda::Error);
  CHECK_THROWS_WITH_AS(reshape(a, {5}), "[reshape] cannot reshape (2, 3) to (5)", levda::Error);
  CHECK_THROWS_WITH_AS(slice(a, 1, 2, 2), "[slice] 2 elements from 2 on are outside axis -1 of (2, 3)", levda::Error);
  CHECK_THROWS_WITH_AS(concat({a, Var(Tensor::zeros({2}))}, 0), "[concat] cannot join (2, 3) and (2) along axis -2",
                       levda::Error);
  CHECK_THROWS_WITH_AS(sum_to(a, {2}), "[sum_to] cannot sum (2, 3) to (2)", levda::Error);
  CHECK_THROWS_WITH_AS(expand(a, {3, 3}), "[expand] cannot repeat (2, 3) to (3, 3)", levda::Error);
  CHECK_THROWS_WITH_AS(a + Var(Tensor::zeros({2, 3}, DType::float64)),
                       "[add] the inputs have types float32 and float64", levda::Error);
  CHECK_THROWS_WITH_AS(gather(a, 0, index(a)), "[gather] index 2 is outside 2 rows", levda::Error);
  Tape one;
  Tape two;
  CHECK_THROWS_WITH_AS(one.variable(a.value()) * two.variable(a.value()), "[mul] the inputs are on two tapes",
                       levda::Error);
}

TEST_CASE("a value that is not a number comes through every operation") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const DType dtype : {DType::float32, DType::float64}) {
    CAPTURE(std::string(name(dtype)));
    for (const Case& c : cases()) {
      if (c.op == "greater" || c.op == "where") continue;  // nothing is greater than NaN; where has its own test
      CAPTURE(c.op);
      for (std::size_t which = 0; which < c.shapes.size(); ++which) {
        Vars x;
        std::size_t i = 0;
        for (const Tensor& input : inputs_of(c, dtype)) {
          const bool all = i++ == which;
          x.emplace_back(all ? Tensor::full(input.shape(), nan, dtype) : input);
        }
        // Whatever depends on the input: all but pad's and cholesky's zeros, scatter_add's empty row and the other
        // parts of concat.
        const std::vector<double> y = c.f(x).value().to_vector();
        const auto bad =
            static_cast<std::size_t>(std::count_if(y.begin(), y.end(), [](double value) { return std::isnan(value); }));
        if (c.op == "pad" || c.op == "scatter_add" || c.op == "concat" || c.op == "cholesky")
          CHECK(bad > 0);
        else
          CHECK(bad == y.size());
      }
    }
  }
}

TEST_CASE("an element's value depends neither on its place nor on its neighbours") {
  // 37 elements: whole registers and a rest. The reference is each element alone.
  Random random(5);
  std::vector<double> values(37);
  for (double& value : values) value = 0.1 + random.uniform();
  using F = Var (*)(const Var&);
  for (const F f : {F{neg}, F{sin}, F{cos}, F{exp}, F{sqrt}, F{square}, F{sigmoid}, F{silu}, F{silu_derivative},
                    F{tanh}, F{relu}, F{gelu}, F{erf}, F{softplus}, F{log}, F{abs}, F{sign}})
    for (const DType dtype : {DType::float32, DType::float64}) {
      const Tensor x = Tensor::from(std::span<const double>(values), {37}, dtype);
      const std::vector<double> together = f(Var(x)).value().to_vector();
      for (std::int64_t i = 0; i < 37; ++i)
        CHECK(f(Var(x.rows(i, i + 1))).value().to_vector()[0] == together[static_cast<std::size_t>(i)]);
    }
}

TEST_CASE("functions of large arguments saturate") {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Var x = Tensor::from(std::vector<double>{-1000, 1000, -infinity, infinity}, {4}, dtype);
    const std::vector<double> e = exp(x).value().to_vector();
    const std::vector<double> s = sigmoid(x).value().to_vector();
    const std::vector<double> y = silu(slice(x, 0, 0, 2)).value().to_vector();
    const std::vector<double> d = silu_derivative(slice(x, 0, 0, 2)).value().to_vector();
    // The least normal number of the type: vector code may stop there, and not at 0.
    const double tiny = dtype == DType::float32 ? 0x1p-126 : 0x1p-1022;
    CHECK(e[0] >= 0);
    CHECK(e[0] <= tiny);
    CHECK(e[1] == infinity);
    CHECK(e[2] >= 0);
    CHECK(e[2] <= tiny);
    CHECK(e[3] == infinity);
    CHECK(s[0] >= 0);
    CHECK(s[0] <= tiny);
    CHECK(s[1] == 1);
    CHECK(s[2] >= 0);
    CHECK(s[2] <= tiny);
    CHECK(s[3] == 1);
    CHECK(std::abs(y[0]) <= 1000 * tiny);
    CHECK(y[1] == 1000);
    CHECK(std::abs(d[0]) <= 1000 * tiny);
    CHECK(d[1] == 1);
  }
}

TEST_CASE("tanh in float32 is the rounded tanh") {
  std::vector<double> at;
  for (int k = -1200; k <= 1200; ++k) at.push_back(std::copysign(std::pow(2.0, std::abs(k) / 64.0 - 15), k));
  const Var x = Tensor::from(at, {static_cast<std::int64_t>(at.size())}, DType::float32);
  const std::vector<double> in = x.value().to_vector();
  const std::vector<double> t = tanh(x).value().to_vector();
  for (std::size_t i = 0; i < t.size(); ++i) {
    const double truth = std::tanh(in[i]);
    // Half a unit in the last place, and the neglected x^2 / 3 below 1e-4.
    CHECK(std::abs(t[i] - truth) <= (0x1p-24 + 1e-8 / 3) * std::abs(truth));
  }
  CHECK(std::isnan(tanh(Tensor::full({}, std::nan(""), DType::float32)).value().item()));
}

TEST_CASE("activations and their like of large arguments saturate") {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Var x = Tensor::from(std::vector<double>{-1000, 1000, -infinity, infinity, -20}, {5}, dtype);
    const std::vector<double> t = tanh(x).value().to_vector();
    const std::vector<double> r = relu(x).value().to_vector();
    const std::vector<double> p = softplus(x).value().to_vector();
    const std::vector<double> e = erf(x).value().to_vector();
    const std::vector<double> g = gelu(slice(x, 0, 0, 2)).value().to_vector();
    CHECK(t == std::vector<double>{-1, 1, -1, 1, -1});
    CHECK(r == std::vector<double>{0, 1000, 0, infinity, 0});
    CHECK(e == std::vector<double>{-1, 1, -1, 1, -1});
    CHECK(std::abs(p[0]) <= 1e-30);
    CHECK(p[1] == 1000);
    CHECK(std::abs(p[2]) <= 1e-30);
    CHECK(p[3] == infinity);
    CHECK(std::abs(p[4] - std::exp(-20)) <= 1e-6 * std::exp(-20));  // where log(1 + exp(x)) in float32 is 0
    CHECK(std::abs(g[0]) <= 1e-30);
    CHECK(g[1] == 1000);
    CHECK(sign(x).value().to_vector() == std::vector<double>{-1, 1, -1, 1, -1});
  }
}

namespace {

struct Edge {
  double value;
  double slope;
};

/// Value and derivative of f at one number; the derivative by both sweeps, which must agree.
Edge edge(const std::function<Var(const Var&)>& f, double at, DType dtype) {
  Tape tape;
  const Var x = tape.variable(Tensor::full({1}, at, dtype));
  const Var y = f(x);
  const Tensor one = Tensor::full({1}, 1, dtype);
  const double by_vjp = vjp(y, one, {x})[0].value().item();
  const double by_jvp = jvp(y, {x}, {one}).value().item();
  CHECK((by_vjp == by_jvp || (std::isnan(by_vjp) && std::isnan(by_jvp))));
  return {y.value().item(), by_vjp};
}

}  // namespace

TEST_CASE("values and derivatives at the edges are the documented ones") {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const DType dtype : {DType::float32, DType::float64}) {
    const auto check = [&](const std::function<Var(const Var&)>& f, double at, double value, double slope) {
      const Edge found = edge(f, at, dtype);
      CHECK(found.value == value);
      CHECK(found.slope == slope);
    };
    check([](const Var& x) { return sqrt(x); }, 0, 0, infinity);
    check([](const Var& x) { return pow(x, 0); }, 0, 1, 0);
    check([](const Var& x) { return pow(x, 0.5); }, 0, 0, infinity);
    check([](const Var& x) { return pow(x, 1); }, 0, 0, 1);
    check([](const Var& x) { return pow(x, 2); }, 0, 0, 0);
    check([](const Var& x) { return log(x); }, 0, -infinity, infinity);
    check([](const Var& x) { return abs(x); }, 0, 0, 0);
    check([](const Var& x) { return relu(x); }, 0, 0, 0);
    check([](const Var& x) { return sign(x); }, 0, 0, 0);
    check([](const Var& x) { return maximum(x, Var(x.value())); }, 3, 3, 0.5);
    check([](const Var& x) { return minimum(Var(x.value()), x); }, 3, 3, 0.5);
    check([](const Var& x) { return maximum(x, x); }, 3, 3, 1);
    check([](const Var& x) { return maximum(x, Var(x.value())); }, infinity, infinity, 0.5);
    check([](const Var& x) { return maximum(x, Var(Tensor::full({}, 0, x.dtype()))); }, 0, 0, 0.5);
    const Edge indefinite = edge([](const Var& x) { return x / (2 * x); }, 0, dtype);
    CHECK(std::isnan(indefinite.value));
    CHECK(std::isnan(indefinite.slope));
    // The second derivatives of powers end, and do not become 0 times infinity.
    check([](const Var& x) { return vjp(pow(x, 1), Var(Tensor::full({1}, 1, x.dtype())), {x}, Graph::keep)[0]; }, 0, 1,
          0);
    check([](const Var& x) { return vjp(pow(x, 2), Var(Tensor::full({1}, 1, x.dtype())), {x}, Graph::keep)[0]; }, 0, 0,
          2);
  }
  CHECK(std::isnan(edge([](const Var& x) { return maximum(x, Var(Tensor::full({1}, 1, x.dtype()))); },
                        std::numeric_limits<double>::quiet_NaN(), DType::float64)
                       .value));
}

TEST_CASE("logsumexp of infinities") {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const DType dtype : {DType::float32, DType::float64}) {
    const std::vector<double> rows{-infinity, -infinity, -infinity, 1, infinity, 1, 1000, 1000, -1000, -1000};
    Tape tape;
    const Var x = tape.variable(Tensor::from(std::span<const double>(rows), {5, 2}, dtype));
    const Var y = logsumexp(x, {1});
    const std::vector<double> found = y.value().to_vector();
    CHECK(found[0] == -infinity);
    CHECK(found[1] == 1);
    CHECK(found[2] == infinity);
    const double unit = dtype == DType::float64 ? 0x1p-53 : 0x1p-24;
    CHECK(std::abs(found[3] - (1000 + std::log(2))) <= 2 * unit * 1000);
    CHECK(std::abs(found[4] - (std::log(2) - 1000)) <= 2 * unit * 1000);
    const std::vector<double> slope = vjp(y, Tensor::full({5}, 1, dtype), {x})[0].value().to_vector();
    CHECK(slope[0] == 0);
    CHECK(slope[1] == 0);
    CHECK(slope[2] == 0);
    CHECK(slope[3] == 1);
    for (std::size_t i = 6; i < 10; ++i) CHECK(std::abs(slope[i] - 0.5) <= 4 * unit * 1000);
    // Nothing to sum.
    CHECK(logsumexp(Var(Tensor::zeros({2, 0}, dtype)), {1}).value().to_vector() == std::vector<double>(2, -infinity));
  }
}

TEST_CASE("linear_silu is silu of linear to the bit, and so are its derivatives") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    Random random(9);
    const auto normal = [&](const Shape& shape) {
      std::vector<double> values(static_cast<std::size_t>(shape.size()));
      for (double& value : values) value = random.normal();
      return Tensor::from(std::span<const double>(values), shape, dtype);
    };
    Tape tape;
    const Vars x = tape.variables(std::vector<Tensor>{normal({70, 20}), normal({20, 33}), normal({33})});
    const Var w(normal({70, 33}));
    const Vars v{normal({70, 20}), normal({20, 33}), normal({33})};
    const Var fused = linear_silu(x[0], x[1], x[2]);
    const Var plain = silu(linear(x[0], x[1], x[2]));
    const auto same = [](const Var& a, const Var& b) { return a.value().to_vector() == b.value().to_vector(); };
    CHECK(same(fused, plain));
    CHECK(same(jvp(fused, x, v), jvp(plain, x, v)));
    for (const Graph graph : {Graph::discard, Graph::keep}) {
      const Vars a = vjp(fused, w, x, graph);
      const Vars b = vjp(plain, w, x, graph);
      for (std::size_t i = 0; i < 3; ++i) CHECK(same(a[i], b[i]));
    }
  }
}

TEST_CASE("where selects: a NaN that is not taken does not leak, nor does its tangent or cotangent") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Tape tape;
  const Var mask = Tensor::from(std::vector<double>{1, 0, 1}, {3});
  const Var a = tape.variable(Tensor::from(std::vector<double>{1, nan, 3}, {3}));
  const Var b = tape.variable(Tensor::from(std::vector<double>{nan, 5, nan}, {3}));
  const Var y = where(mask, a, b);
  CHECK(y.value().to_vector() == std::vector<double>{1, 5, 3});
  const Vars g = vjp(square(y), Tensor::full({3}, 1, DType::float64), {a, b});
  CHECK(g[0].value().to_vector() == std::vector<double>{2, 0, 6});
  CHECK(g[1].value().to_vector() == std::vector<double>{0, 10, 0});
  CHECK(jvp(y, {a, b}, {a.value(), b.value()}).value().to_vector() == std::vector<double>{1, 5, 3});
  // Any number but 0 takes the first, NaN too; the mask is a constant.
  const Var m = tape.variable(Tensor::from(std::vector<double>{-2, 0, nan}, {3}));
  const Var z = where(m, Var(a.value()), Var(b.value()));
  CHECK_FALSE(z.tracked());
  CHECK(z.value().to_vector() == std::vector<double>{1, 5, 3});
}

TEST_CASE("errors of the dense systems, sums over axes, stack and transpose") {
  const Var a(Tensor::zeros({2, 3}));
  const Var singular = Tensor::from(std::vector<double>{1, 2, 2, 4}, {2, 2});
  const Var b(Tensor::zeros({2, 1}, DType::float64));
  CHECK_THROWS_WITH_AS(solve(singular, b), "[solve] singular matrix in (2, 2)", levda::Error);
  CHECK_THROWS_WITH_AS(solve(a, a), "[solve] the matrix (2, 3) is not square", levda::Error);
  CHECK_THROWS_WITH_AS(solve(singular, Var(Tensor::zeros({3, 1}, DType::float64))),
                       "[solve] matrix (2, 2) and right side (3, 1) do not fit", levda::Error);
  CHECK_THROWS_WITH_AS(cholesky(singular - diagonal(1, 2, singular)),
                       "[cholesky] not positive definite: a matrix in (2, 2)", levda::Error);
  CHECK_THROWS_WITH_AS(cholesky(a), "[cholesky] the matrix (2, 3) is not square", levda::Error);
  CHECK_THROWS_WITH_AS(sum(a, {0, -2}), "[sum] axis -2 of (2, 3) is given twice", levda::Error);
  CHECK_THROWS_WITH_AS(mean(a, {2}), "axis 2 is outside shape (2, 3)", levda::Error);
  CHECK_THROWS_WITH_AS(logsumexp(a, {1, 1}), "[logsumexp] axis 1 of (2, 3) is given twice", levda::Error);
  CHECK_THROWS_WITH_AS(stack({}, 0), "[stack] nothing to join", levda::Error);
  CHECK_THROWS_WITH_AS(stack({a, Var(Tensor::zeros({3}))}, 0), "[stack] cannot stack (2, 3) and (3)", levda::Error);
  CHECK_THROWS_WITH_AS(transpose(a, {0}), "[transpose] axes (0) are not a permutation for (2, 3)", levda::Error);
  CHECK_THROWS_WITH_AS(transpose(a, {1, 1}), "[transpose] axes (1, 1) are not a permutation for (2, 3)", levda::Error);
  CHECK_THROWS_WITH_AS(transpose(Var(Tensor::zeros({3}))), "[transpose] shape (3) does not have two axes",
                       levda::Error);
  CHECK_THROWS_WITH_AS(maximum(a, Var(Tensor::zeros({2}))), "[maximum] cannot broadcast (2, 3) and (2)", levda::Error);
}

TEST_CASE("solve and cholesky of larger matrices satisfy their equations") {
  Random random(3);
  const std::int64_t n = 40;  // beyond the factorisations' blocks
  std::vector<double> values(static_cast<std::size_t>(2 * n * n));
  for (double& value : values) value = random.normal();
  const Var x = Tensor::from(std::span<const double>(values), {2, n, n});
  const Var a = matmul(x, x, false, true) + diagonal(static_cast<double>(n), n, x);
  const Var l = cholesky(a);
  // Entries of a up to 200, sums of n terms.
  const double tolerance = 40 * 0x1p-53 * 200;
  const auto largest = [](const Var& y) {
    double most = 0;
    for (const double value : y.value().to_vector()) most = std::max(most, std::abs(value));
    return most;
  };
  CHECK(largest(matmul(l, l, false, true) - a) <= tolerance);
  const Var y = solve(x + diagonal(20, n, x), x);
  const double condition = 100;  // of normal matrices shifted by three times their spectral radius
  CHECK(largest(matmul(x + diagonal(20, n, x), y) - x) <= tolerance * condition);
}

TEST_CASE("arrays without elements") {
  const Var none(Tensor::zeros({0, 3}));
  CHECK(std::isnan(mean(none).value().item()));
  CHECK(transpose(none).shape() == Shape{3, 0});
  CHECK(maximum(none, Var(Tensor::zeros({3}))).shape() == Shape{0, 3});
  CHECK(where(none, none, none).shape() == Shape{0, 3});
  CHECK(solve(Var(Tensor::zeros({0, 0})), none).shape() == Shape{0, 3});
  CHECK(cholesky(Var(Tensor::zeros({0, 0}))).shape() == Shape{0, 0});
  CHECK(sum(none).value().item() == 0);
  CHECK(sum_to(none, {1, 3}).value().to_vector() == std::vector<double>(3, 0.0));
  CHECK((none + Var(Tensor::zeros({3}))).shape() == Shape{0, 3});
  CHECK(silu(none).shape() == Shape{0, 3});
  CHECK(linear(none, Var(Tensor::zeros({3, 2})), Var(Tensor::zeros({2}))).shape() == Shape{0, 2});
  // A sum over an empty inner axis is 0.
  CHECK(matmul(none, none, true, false).value().to_vector() == std::vector<double>(9, 0.0));
  CHECK(concat({none, Var(Tensor::full({1, 3}, 2))}, 0).value().to_vector() == std::vector<double>(3, 2.0));
  CHECK(slice(Var(Tensor::zeros({4})), 0, 4, 0).shape() == Shape{0});
  CHECK(gather(Var(Tensor::zeros({4})), 0, Tensor::indices({})).shape() == Shape{0});
}

TEST_CASE("sums of many float32 numbers keep float32's accuracy") {
  // 10^6 times 0.1: a running sum in float32 is off by 1 in 100. Blocks of 1024 lose at most 1024 roundings each.
  const double exact = 1e6 * static_cast<double>(0.1F);
  const double found = sum(Var(Tensor::full({1000000}, 0.1))).value().item();
  CHECK(std::abs(found - exact) <= 1024 * 0x1p-24 * exact);
}

TEST_CASE("indices are checked before anything is read") {
  const Var x(Tensor::zeros({3, 2}));
  const auto indices = [](std::int64_t k) { return Tensor::indices(std::vector<std::int64_t>{0, k, 1}); };
  CHECK_THROWS_WITH_AS(gather(x, 0, indices(-1)), "[gather] index -1 is outside 3 rows", levda::Error);
  CHECK_THROWS_WITH_AS(gather(x, 0, x.value()), "[gather] the index must be a list of int64", levda::Error);
  CHECK_THROWS_WITH_AS(gather(x, 2, indices(0)), "axis 2 is outside shape (3, 2)", levda::Error);
  CHECK_THROWS_WITH_AS(scatter_add(x, 0, indices(4), 4), "[scatter_add] index 4 is outside 4 rows", levda::Error);
  CHECK_THROWS_WITH_AS(scatter_add(x, 1, indices(0), 4), "[scatter_add] 3 indices for axis -1 of (3, 2)", levda::Error);
  CHECK_THROWS_WITH_AS(pad(x, 0, 2, 4), "[pad] 3 elements from 2 on are outside axis -2 of (4, 2)", levda::Error);
  CHECK_THROWS_WITH_AS(concat({}, 0), "[concat] nothing to join", levda::Error);
}
