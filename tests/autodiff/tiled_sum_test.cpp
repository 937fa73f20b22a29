#include "autodiff/tiled_sum.h"

#include <doctest/doctest.h>

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

#include <cmath>
#include <limits>

#include "autodiff/check.h"
#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using levda::testing::largest_difference;
using levda::testing::normal_tensor;
using levda::testing::same_bits;

namespace {

constexpr double u = 0x1p-53;    // round-off unit of float64
constexpr std::int64_t n = 103;  // not a multiple of any tile
constexpr std::size_t weights = 4;

/// Sum of squared errors of a network with one hidden layer; shared: its weights, rows: inputs (n, 3),
/// targets (n, 2).
Var network(const Vars& w, const Vars& rows) {
  return sum(square(linear(silu(linear(rows[0], w[0], w[1])), w[2], w[3]) - rows[1]));
}

/// Weights, then inputs and targets.
std::vector<Tensor> problem(DType dtype = DType::float64) {
  return {normal_tensor({3, 5}, 1, dtype), normal_tensor({5}, 2, dtype),    normal_tensor({5, 2}, 3, dtype),
          normal_tensor({2}, 4, dtype),    normal_tensor({n, 3}, 5, dtype), normal_tensor({n, 2}, 6, dtype)};
}

Vars shared_of(const Vars& x) { return {x.begin(), x.begin() + weights}; }
Vars rows_of(const Vars& x) { return {x.begin() + weights, x.end()}; }

std::function<Var(const Vars&)> untiled() {
  return [](const Vars& x) { return network(shared_of(x), rows_of(x)); };
}
std::function<Var(const Vars&)> tiled(std::int64_t tile) {
  return [tile](const Vars& x) { return tiled_sum(network, shared_of(x), rows_of(x), tile); };
}

/// Sum over rows of |gradient of the row|, the scale of round-off in a sum over rows.
std::vector<std::vector<double>> gradient_scales(const std::vector<Tensor>& x) {
  std::vector<std::vector<double>> scales;
  for (std::size_t i = 0; i < weights; ++i) scales.emplace_back(static_cast<std::size_t>(x[i].size()), 0.0);
  for (std::int64_t row = 0; row < n; ++row) {
    std::vector<Tensor> one = x;
    for (std::size_t i = weights; i < x.size(); ++i) one[i] = x[i].rows(row, row + 1);
    const ValueAndGrad result = value_and_grad(untiled(), one);
    for (std::size_t i = 0; i < weights; ++i) {
      const std::vector<double> g = result.gradients[i].to_vector();
      for (std::size_t k = 0; k < g.size(); ++k) scales[i][k] += std::abs(g[k]);
    }
  }
  return scales;
}

template <typename F>
auto with_threads(int threads, F f) {
  const oneapi::tbb::global_control limit(oneapi::tbb::global_control::max_allowed_parallelism,
                                          static_cast<std::size_t>(threads));
  oneapi::tbb::task_arena arena(threads);
  return arena.execute(f);
}

}  // namespace

TEST_CASE("tiled_sum: value and gradients are the untiled ones, whatever the tile") {
  const std::vector<Tensor> x = problem();
  const ValueAndGrad whole = value_and_grad(untiled(), x);
  const std::vector<std::vector<double>> scales = gradient_scales(x);
  for (const std::int64_t tile : {1, 2, 7, 32, 102, 103, 104, 100000}) {
    CAPTURE(tile);
    const ValueAndGrad parts = value_and_grad(tiled(tile), x);
    // A sum of 2 n squares in any order: 2 n units relative to itself, since all are positive.
    CHECK(std::abs(parts.value - whole.value) <= 2 * static_cast<double>(n) * u * whole.value);
    REQUIRE(parts.gradients.size() == x.size());
    for (std::size_t i = 0; i < weights; ++i) {
      CAPTURE(i);
      REQUIRE(parts.gradients[i].shape() == x[i].shape());
      const std::vector<double> a = parts.gradients[i].to_vector();
      const std::vector<double> b = whole.gradients[i].to_vector();
      // Any order of n terms, each of a few dozen operations.
      for (std::size_t k = 0; k < a.size(); ++k)
        CHECK(std::abs(a[k] - b[k]) <= (static_cast<double>(n) + 50) * u * scales[i][k]);
    }
    // Rows do not mix: only kernels for other shapes may round otherwise.
    for (std::size_t i = weights; i < x.size(); ++i)
      CHECK(largest_difference(parts.gradients[i], whole.gradients[i]) <=
            50 * u * levda::testing::largest(whole.gradients[i].to_vector()));
  }
}

TEST_CASE("tiled_sum: the same bits for any number of threads") {
  const std::vector<Tensor> x = problem(DType::float32);
  Vars tangents;
  for (const Tensor& input : x) tangents.emplace_back(normal_tensor(input.shape(), 9, DType::float32));
  struct Result {
    ValueAndGrad sweep;
    Tensor tangent;
  };
  const auto run = [&] {
    Tape tape;
    const Vars v = tape.variables(x);
    return Result{value_and_grad(tiled(3), x), jvp(tiled(3)(v), v, tangents).value()};  // 35 tiles in 16 slots
  };
  const Result one = with_threads(1, run);
  for (const int threads : {2, 4})
    for (int repetition = 0; repetition < 20; ++repetition) {
      const Result many = with_threads(threads, run);
      REQUIRE(many.sweep.value == one.sweep.value);
      for (std::size_t i = 0; i < x.size(); ++i) REQUIRE(same_bits(many.sweep.gradients[i], one.sweep.gradients[i]));
      REQUIRE(same_bits(many.tangent, one.tangent));
    }
}

TEST_CASE("tiled_sum: the adjoint dot product, finite differences and the factor from above") {
  const auto within = [](const Vars& x) {  // weights computed upstream, the sum used twice downstream
    Vars v = x;
    v[0] = sin(x[0]);
    v[2] = x[2] * x[2];
    const Var y = tiled(10)(v);
    return -0.3 * y + 1e-3 * square(y);
  };
  const auto plain = [](const Vars& x) {
    Vars v = x;
    v[0] = sin(x[0]);
    v[2] = x[2] * x[2];
    const Var y = untiled()(v);
    return -0.3 * y + 1e-3 * square(y);
  };
  const DerivativeCheck check = check_derivatives(within, problem());
  INFO(check.text());
  CHECK(check.scale > 0);
  CHECK(check.adjoint_error() <= 1e-12);
  CHECK(check.finite_difference_error() <= 1e-8);
  CHECK(std::abs(check.by_jvp - check_derivatives(plain, problem()).by_jvp) <= 1e-12 * check.scale);
}

TEST_CASE("tiled_sum: jvp is the untiled one, for one and for many directions, and any inputs tracked") {
  const std::vector<Tensor> values = problem();
  for (const std::size_t mask : {0b111111U, 0b000001U, 0b001010U, 0b010000U, 0b110100U})
    for (const std::int64_t directions : {0, 3}) {
      CAPTURE(mask);
      CAPTURE(directions);
      Tape tape;
      Vars x;
      Vars wrt;
      Vars v;
      for (std::size_t i = 0; i < values.size(); ++i) {
        const bool varies = mask >> i & 1;
        x.push_back(varies ? tape.variable(values[i]) : Var(values[i]));
        if (!varies) continue;
        wrt.push_back(x.back());
        const Shape lead = directions > 0 ? Shape{directions} : Shape{};
        v.emplace_back(normal_tensor(values[i].shape().prepend(lead), 20 + i));
      }
      const Tensor expected = jvp(untiled()(x), wrt, v).value();
      const Tensor found = jvp(tiled(13)(x), wrt, v).value();
      // Sums of 2 n terms of a hundred or less, in another order.
      CHECK(largest_difference(found, expected) <= 2 * n * u * 2 * n * 100);
      CHECK(std::abs(expected.to_vector()[0]) > 1);

      const Tensor one = Tensor::full({}, 1, DType::float64);
      const Vars g = vjp(tiled(13)(x), one, wrt);
      const Vars g_expected = vjp(untiled()(x), one, wrt);
      for (std::size_t i = 0; i < wrt.size(); ++i)
        CHECK(largest_difference(g[i].value(), g_expected[i].value()) <= 2 * n * u * 2 * n * 100);
    }
}

TEST_CASE("tiled_sum: the tape sees one node, holds the gradients only, and gives them back") {
  const std::vector<Tensor> x = problem();
  const std::int64_t before = cpu().memory().live;
  {
    Tape tape;
    const Vars v = tape.variables(x);
    const Var y = tiled(10)(v);
    CHECK(tape.size() == static_cast<std::int64_t>(x.size()) + 1);
    std::int64_t gradients = 64;                                                          // and the sum
    for (const Tensor& input : x) gradients += input.size() * 8 + input.size() * 2 + 64;  // blocks: a quarter over
    CHECK(cpu().memory().live - before <= gradients);
    tape.rewind(0);
  }
  CHECK(cpu().memory().live == before);
}

TEST_CASE("tiled_sum: constants record nothing and give the same value") {
  const std::vector<Tensor> x = problem();
  const Vars constants(x.begin(), x.end());
  const Var y = tiled(10)(constants);
  CHECK_FALSE(y.tracked());
  CHECK(y.value().item() == value_and_grad(tiled(10), x).value);
}

TEST_CASE("tiled_sum: a function that ignores its tracked inputs has zero gradients") {
  const std::vector<Tensor> x{normal_tensor({2}, 1), normal_tensor({5, 2}, 2)};
  const ValueAndGrad result = value_and_grad(
      [](const Vars& v) {
        return tiled_sum([](const Vars&, const Vars& rows) { return sum(rows[0].detach()); }, {v[0]}, {v[1]}, 2);
      },
      x);
  CHECK(std::abs(result.value - sum(Var(x[1])).value().item()) <= 10 * 10 * u * 3);
  CHECK(result.gradients[0].to_vector() == std::vector<double>(2, 0.0));
  CHECK(result.gradients[1].to_vector() == std::vector<double>(10, 0.0));
}

TEST_CASE("tiled_sum: inputs whose gradients are one array in every tile are summed apart") {
  // The rule of the sum hands one cotangent to both; slots of several tiles add to it in place.
  const std::vector<Tensor> x{normal_tensor({2}, 1), normal_tensor({2}, 2), normal_tensor({100, 2}, 3)};
  const ValueAndGrad result = value_and_grad(
      [](const Vars& v) {
        return tiled_sum(
            [](const Vars& shared, const Vars& rows) { return dot(shared[0] + shared[1], sum_to(rows[0], {2})); },
            {v[0], v[1]}, {v[2]}, 1);
      },
      x);
  const Tensor expected = sum_to(Var(x[2]), {2}).value();
  // A hundred terms below 4 in another order.
  CHECK(largest_difference(result.gradients[0], expected) <= 100 * u * 400);
  CHECK(largest_difference(result.gradients[1], expected) <= 100 * u * 400);
}

TEST_CASE("tiled_sum: errors") {
  const Vars w{Var(Tensor::zeros({2}))};
  const Var x(Tensor::zeros({5, 2}));
  const TileFunction f = [](const Vars& shared, const Vars& rows) { return sum(shared[0] * rows[0]); };
  CHECK_THROWS_WITH_AS(tiled_sum(f, w, {x}, 0), "[tiled_sum] a tile has 0 rows, not at least 1", levda::Error);
  CHECK_THROWS_WITH_AS(tiled_sum(f, w, {x}, -3), "[tiled_sum] a tile has -3 rows, not at least 1", levda::Error);
  CHECK_THROWS_WITH_AS(tiled_sum(f, w, {}, 2), "[tiled_sum] no rows", levda::Error);
  CHECK_THROWS_WITH_AS(tiled_sum(f, w, {x, Var(Tensor::zeros({4}))}, 2), "[tiled_sum] rows of shapes (5, 2) and (4)",
                       levda::Error);
  CHECK_THROWS_WITH_AS(tiled_sum(f, w, {Var(Tensor::zeros({}))}, 2), "[tiled_sum] rows of shapes () and ()",
                       levda::Error);
  CHECK_THROWS_WITH_AS(tiled_sum([](const Vars&, const Vars& rows) { return rows[0]; }, w, {x}, 2),
                       "[tiled_sum] the result for a tile has shape (2, 2) and is not a scalar", levda::Error);
  CHECK_THROWS_WITH_AS(tiled_sum(f, {Var(Tensor::zeros({2}, DType::float64))}, {x}, 2),
                       "[tiled_sum] the inputs have types float64 and float32", levda::Error);
  // An error inside a tile reaches the caller, and leaves the tape as it was.
  Tape tape;
  const Var v = tape.variable(Tensor::zeros({3}));
  CHECK_THROWS_WITH_AS(tiled_sum(f, {v}, {x}, 2), "[mul] cannot broadcast (3) and (2, 2)", levda::Error);
  CHECK(tape.size() == 1);
}

TEST_CASE("tiled_sum: all derivatives of a cube, in every order of sweeps") {
  // x^3 + x^2 at 2: slope 16, second derivative 14, third 6, fourth 0. All numbers are small and whole: exact.
  const Tensor one = Tensor::full({}, 1, DType::float64);
  const Tensor ones = Tensor::full({4}, 1, DType::float64);
  const auto cube = [](const Vars&, const Vars& r) { return sum(r[0] * square(r[0])); };
  for (unsigned order = 0; order < 16; ++order) {  // bit k: the k-th derivative forward, or reverse
    CAPTURE(order);
    Tape tape;
    const Var x = tape.variable(Tensor::full({4}, 2, DType::float64));
    Var y = tiled_sum(cube, {}, {x}, 2) + sum(square(x));
    const double expected[] = {16, 14, 6, 0};
    for (unsigned k = 0; k < 4; ++k) {
      y = order >> k & 1 ? jvp(y, {x}, {ones}, Graph::keep) : sum(vjp(y, one, {x}, Graph::keep)[0]);
      CHECK(y.value().item() == 4 * expected[k]);
      if (!y.tracked()) break;
    }
  }
}

namespace {

/// Weights computed upstream, the sum used twice downstream.
template <typename F>
auto within(const F& f) {
  return [f](const Vars& x) {
    Vars v = x;
    v[0] = sin(x[0]);
    v[2] = x[2] * x[2];
    const Var y = f(v);
    return -0.3 * y + 1e-3 * square(y);
  };
}

std::vector<Tensor> directions_of(const std::vector<Tensor>& x, const Shape& lead, std::uint64_t seed) {
  std::vector<Tensor> v;
  for (const Tensor& one : x) v.push_back(normal_tensor(one.shape().prepend(lead), seed++, one.dtype()));
  return v;
}

}  // namespace

TEST_CASE("tiled_sum: hvp is the untiled one, and differences of the gradient") {
  const std::vector<Tensor> x = problem();
  const std::vector<Tensor> v = directions_of(x, {}, 30);
  const std::vector<Tensor> expected = hvp(within(untiled()), x, v);
  const std::vector<Tensor> differences = levda::testing::gradient_differences(within(tiled(10)), x, v, 1e-3);
  for (const std::int64_t tile : {1, 10, 1000}) {
    CAPTURE(tile);
    const std::vector<Tensor> found = hvp(within(tiled(tile)), x, v);
    REQUIRE(found.size() == x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      CAPTURE(i);
      const double scale = levda::testing::largest(expected[i].to_vector());
      CHECK(scale > 0);
      // Sums of n terms that may cancel to a hundredth.
      CHECK(largest_difference(found[i], expected[i]) <= 100 * n * u * scale);
      // Steps of 1e-3 in a fourth-order formula, and the digits lost to them.
      CHECK(largest_difference(found[i], differences[i]) <= 1e-8 * scale);
    }
  }
}

TEST_CASE("tiled_sum: many Hessian products at once are the single ones; reverse twice gives the same") {
  const std::vector<Tensor> x = problem();
  const std::vector<Tensor> many = directions_of(x, {3}, 40);
  const std::vector<Tensor> together = hvp(within(tiled(13)), x, many);
  for (std::int64_t k = 0; k < 3; ++k) {
    Vars v;
    std::vector<Tensor> values;
    for (std::size_t i = 0; i < x.size(); ++i) {
      values.push_back(many[i].rows(k, k + 1).reshaped(x[i].shape()));
      v.emplace_back(values.back());
    }
    const std::vector<Tensor> single = hvp(within(tiled(13)), x, values);
    Tape tape;
    const Vars variables = tape.variables(x);
    const Var y = within(tiled(13))(variables);
    const Tensor one = Tensor::full({}, 1, DType::float64);
    const Vars g = vjp(y, one, variables, Graph::keep);
    Var product = dot(g[0], v[0]);
    for (std::size_t i = 1; i < x.size(); ++i) product = product + dot(g[i], v[i]);
    const Vars reverse = vjp(product, one, variables);
    const Vars reverse_of_forward = vjp(jvp(y, variables, v, Graph::keep), one, variables);
    for (std::size_t i = 0; i < x.size(); ++i) {
      CAPTURE(i);
      const double tolerance = 100 * n * u * levda::testing::largest(single[i].to_vector());
      CHECK(largest_difference(together[i].rows(k, k + 1).reshaped(x[i].shape()), single[i]) <= tolerance);
      CHECK(largest_difference(reverse[i].value(), single[i]) <= tolerance);
      CHECK(largest_difference(reverse_of_forward[i].value(), single[i]) <= tolerance);
    }
  }
}

TEST_CASE("tiled_sum: the gradient passes the checks of any function, with many directions in a recorded jvp") {
  const auto gradient = [](const Vars& x) {
    Tape own;
    Vars variables = x;
    if (!x[0].tracked())
      for (Var& v : variables) v = own.variable(v.value());
    Vars parts;
    for (const Var& g : vjp(within(tiled(25))(variables), Tensor::full({}, 1, DType::float64), variables, Graph::keep))
      parts.push_back(reshape(g, {g.shape().size()}));
    const Var all = concat(parts, 0);
    return x[0].tracked() ? all : all.detach();
  };
  const DerivativeCheck check = check_derivatives(gradient, problem());
  INFO(check.text());
  CHECK(check.scale > 0);
  CHECK(check.adjoint_error() <= 1e-12);
  CHECK(check.finite_difference_error() <= 1e-8);

  Tape tape;
  const Vars x = tape.variables(problem());
  const std::vector<Tensor> many = directions_of(problem(), {3}, 50);
  const Vars v(many.begin(), many.end());
  const Var y = tiled(25)(x);
  const Var recorded = jvp(y, x, v, Graph::keep);
  CHECK(recorded.tracked());
  REQUIRE(recorded.shape() == Shape{3});
  CHECK(largest_difference(recorded.value(), jvp(y, x, v).value()) <= 2 * n * u * 2 * n * 100);
}

TEST_CASE("tiled_sum: Hessian products have the same bits for any number of threads") {
  const std::vector<Tensor> x = problem(DType::float32);
  const std::vector<Tensor> v = directions_of(x, {}, 60);
  const auto run = [&] { return hvp(tiled(3), x, v); };
  const std::vector<Tensor> one = with_threads(1, run);
  for (const int threads : {2, 4})
    for (int repetition = 0; repetition < 10; ++repetition) {
      const std::vector<Tensor> many = with_threads(threads, run);
      for (std::size_t i = 0; i < x.size(); ++i) REQUIRE(same_bits(many[i], one[i]));
    }
}

TEST_CASE("tiled_sum: what it cannot do is refused, not done wrong") {
  Tape tape;
  const Var x = tape.variable(Tensor::full({4}, 2, DType::float64));
  const auto cube = [](const Vars&, const Vars& r) { return sum(r[0] * square(r[0])); };
  CHECK_THROWS_WITH_AS(tiled_sum(cube, {}, {Var(Tensor::zeros({0, 3}))}, 4), "[tiled_sum] no rows", levda::Error);
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  CHECK(tiled_sum(cube, {}, {x}, huge).value().item() == 32);
  const Var w = tape.variable(normal_tensor({2}, 1));
  const Var rows = tape.variable(normal_tensor({6, 2}, 2));
  const Var z = tiled_sum([](const Vars& s, const Vars& r) { return sum(s[0] * r[0]); }, {w}, {rows}, 2);
  CHECK_THROWS_WITH_AS(jvp(z, {w, rows}, {normal_tensor({4, 2}, 3), normal_tensor({6, 2}, 4)}),
                       "[jvp] tangents with leading axes (4) and ()", levda::Error);
}
