/// Random graphs to third order: nested sweeps against each other and against differences of the order below.

#include <doctest/doctest.h>

#include "autodiff/check.h"
#include "autodiff/derivatives.h"
#include "autodiff/random.h"
#include "autodiff/tiled_sum.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using levda::testing::normal_tensor;

namespace {

constexpr std::int64_t n = 3;  // every value is an n x n matrix, so that every operation fits every other

Var unit() {
  std::vector<double> values(n * n, 0.0);
  for (std::int64_t i = 0; i < n; ++i) values[i * (n + 1)] = 1;
  return Tensor::from(std::span<const double>(values), {n, n});
}

/// a a' / 9 + 2: positive definite, and far from singular.
Var definite(const Var& a) { return matmul(a, a, false, true) / 9.0 + 2 * unit(); }

using Rule = Var (*)(const Var& a, const Var& b);

/// Smooth operations, at arguments where no derivative of theirs is large.
const Rule rules[] = {
    [](const Var& a, const Var& b) { return a + b; },
    [](const Var& a, const Var& b) { return 0.5 * a - b; },
    [](const Var& a, const Var& b) { return a * tanh(b); },
    [](const Var& a, const Var& b) { return a / (2 + square(b)); },
    [](const Var& a, const Var&) { return -sin(a); },
    [](const Var& a, const Var& b) { return cos(a + b); },
    [](const Var& a, const Var&) { return exp(tanh(a)); },
    [](const Var& a, const Var& b) { return sqrt(1 + square(a)) * sigmoid(b); },
    [](const Var& a, const Var&) { return log(2 + square(a)); },
    [](const Var& a, const Var&) { return pow(1 + square(a), -0.7); },
    [](const Var& a, const Var&) { return pow(2.0, sigmoid(a)); },
    [](const Var& a, const Var& b) { return silu(a) + softplus(b); },
    [](const Var& a, const Var& b) { return gelu(a) - erf(b); },
    [](const Var& a, const Var& b) { return silu_derivative(a) / 2.0 + b; },
    [](const Var& a, const Var& b) { return matmul(a, b) / 3.0; },
    [](const Var& a, const Var& b) { return matmul(tanh(a), b, true, true); },
    [](const Var& a, const Var& b) { return linear(a, b, slice(reshape(b, {-1}), 0, 2, n)); },
    [](const Var& a, const Var& b) { return linear_silu(a, b, sum(a, 0)); },
    [](const Var& a, const Var& b) { return solve(definite(a), b); },
    [](const Var& a, const Var& b) { return solve(definite(a), b, true); },
    [](const Var& a, const Var&) { return cholesky(definite(a)); },
    [](const Var& a, const Var& b) { return a + mean(b, 1, true); },
    [](const Var& a, const Var& b) { return a - logsumexp(b, 0, true); },
    [](const Var& a, const Var& b) {
      return expand(sum_to(a, {1, n}), {n, n}) * b / 3.0;
    },
    [](const Var& a, const Var& b) { return transpose(a) + dot(a, b) / 9.0; },
    [](const Var& a, const Var& b) {
      return concat({slice(a, 0, 0, 1), slice(b, 0, 1, 2)}, 0);
    },
    [](const Var& a, const Var& b) { return pad(slice(a, 1, 1, 2), 1, 0, n) + b; },
    [](const Var& a, const Var& b) {
      return sum(stack({a, sin(b)}, 1), 1);
    },
    [](const Var& a, const Var& b) {
      const Tensor index = Tensor::indices(std::vector<std::int64_t>{2, 0, 2});
      return scatter_add(gather(a, 0, index), 1, index, n) + b;
    },
    [](const Var& a, const Var& b) {
      return checkpoint([](const Vars& x) { return x[0] * sin(x[1]); }, {a, b});
    },
    [](const Var& a, const Var& b) {
      return b +
             tiled_sum([](const Vars& s, const Vars& r) { return sum(tanh(matmul(r[0], s[0]))) / 9.0; }, {b}, {a}, 2);
    },
};

/// A scalar function of two matrices: 3 to 9 random operations on them and on earlier results.
Function random_graph(std::uint64_t seed) {
  return [seed](const Vars& x) {
    Random random(seed);
    Vars values = x;
    for (std::int64_t left = 3 + random.below(7); left > 0; --left) {
      const auto pick = [&] { return values[static_cast<std::size_t>(random.below(std::ssize(values)))]; };
      const Var a = pick();
      const Var b = pick();
      values.push_back(rules[static_cast<std::size_t>(random.below(std::ssize(rules)))](a, b));
    }
    return sum(sin(values.back()) + values[values.size() - 2] / 3.0);
  };
}

/// f's second derivative along u and v, in one of three nestings, as a function that can be differentiated again.
template <typename Second>
Function second_derivative(const Function& f, const Second& second) {
  return [f, second](const Vars& x) {
    if (x[0].tracked()) return second(f(x), x);
    Tape own;
    const Vars on_tape = own.variables({x[0].value(), x[1].value()});
    return second(f(on_tape), on_tape).detach();
  };
}

Var inner(const Vars& a, const Vars& b) { return dot(a[0], b[0]) + dot(a[1], b[1]); }

}  // namespace

TEST_SUITE("random graphs, long under sanitizers") {
  TEST_CASE("random graphs: three nestings of sweeps agree to third order, and with differences of the second") {
    const Var one(Tensor::full({}, 1, DType::float64));
    for (std::uint64_t seed = 0; seed < 500; ++seed) {
      CAPTURE(seed);
      const Function f = random_graph(seed);
      const std::vector<Tensor> x{normal_tensor({n, n}, 4 * seed), normal_tensor({n, n}, 4 * seed + 1)};
      const Vars u{normal_tensor({n, n}, 4 * seed + 2), normal_tensor({n, n}, 4 * seed + 3)};
      const Vars v{normal_tensor({n, n}, 4 * seed + 3), normal_tensor({n, n}, 4 * seed + 2)};
      const Function nestings[] = {
          second_derivative(
              f, [&](const Var& y, const Vars& at) { return jvp(jvp(y, at, u, Graph::keep), at, v, Graph::keep); }),
          second_derivative(f,
                            [&](const Var& y, const Vars& at) {
                              return inner(jvp(vjp(y, one, at, Graph::keep), at, u, Graph::keep), v);
                            }),
          second_derivative(f,
                            [&](const Var& y, const Vars& at) {
                              return inner(vjp(inner(vjp(y, one, at, Graph::keep), u), one, at, Graph::keep), v);
                            }),
      };
      double third = 0;
      double size = 0;
      for (std::size_t k = 0; k < 3; ++k) {
        CAPTURE(k);
        const DerivativeCheck check = check_derivatives(nestings[k], x, seed);
        INFO(check.text());
        if (k == 0) {
          third = check.by_jvp;
          // Terms cancel in a third derivative, so errors are measured by the greatest number on the way.
          size = std::max({1.0, std::abs(third), std::abs(nestings[0](Vars(x.begin(), x.end())).value().item())});
        }
        // Some thousand roundings.
        CHECK(std::abs(check.by_jvp - check.by_vjp) <= 1e-11 * size);
        CHECK(std::abs(check.by_jvp - third) <= 1e-11 * size);
        // Differences lose at least half of the digits; their own estimate says when they lose more.
        CHECK(std::abs(check.by_jvp - check.by_differences) <= 1e-7 * size + 10 * check.difference_error);
        CHECK(check.difference_error <= 1e-2 * size);
      }
    }
  }
}
