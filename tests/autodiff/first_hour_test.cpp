/// What a first hour with the library needs: numbers in formulas, one axis, lists in braces, printing.

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <sstream>

#include "autodiff/audit.h"
#include "autodiff/check.h"
#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using levda::testing::normal_tensor;
using levda::testing::same_bits;

namespace {

const Tensor value = normal_tensor({2, 3}, 1);
Var number(double x) { return Tensor::full({}, x, DType::float64); }
bool same(const Var& a, const Var& b) { return same_bits(a.value(), b.value()); }

}  // namespace

TEST_CASE("numbers are operands, with the derivatives of constants") {
  const Var x(value);
  CHECK(same(x / 3.0, x / number(3)));
  CHECK(same(3.0 / x, number(3) / x));
  CHECK(same(maximum(x, 0.1), maximum(x, number(0.1))));
  CHECK(same(maximum(0.1, x), maximum(x, number(0.1))));
  CHECK(same(minimum(x, 0.1), minimum(x, number(0.1))));
  CHECK(same(minimum(0.1, x), minimum(x, number(0.1))));
  CHECK(same(greater(x, 0.1), greater(x, number(0.1))));
  CHECK(same(greater(0.1, x), greater(number(0.1), x)));
  CHECK(same(less(x, 0.1), greater(number(0.1), x)));
  CHECK(same(less(0.1, x), greater(x, number(0.1))));
  CHECK(same(less(x, -x), greater(-x, x)));
  CHECK(same(where(greater(x, 0.0), x, 2), where(greater(x, 0.0), x, number(2))));
  CHECK(same(where(greater(x, 0.0), 2, x), where(greater(x, 0.0), number(2), x)));
  for (const double base : {0.5, 2.0}) {
    const std::vector<double> powers = pow(base, x).value().to_vector();
    for (std::size_t i = 0; i < powers.size(); ++i)  // exp of a product: its rounding times an exponent below 3
      CHECK(std::abs(powers[i] - std::pow(base, value.to_vector()[i])) <= 8 * 0x1p-53 * powers[i]);
  }
  const auto f = [](const Vars& v) { return pow(2.0, v[0]) / 3.0 + 1.0 / (2 + square(v[0])); };
  const DerivativeCheck check = check_derivatives(f, {value});
  CHECK(check.adjoint_error() <= 1e-14);
  CHECK(check.finite_difference_error() <= 1e-9);
}

TEST_CASE("one axis without braces, an extent of -1, lists of tensors in braces") {
  const Var x(value);
  CHECK(same(sum(x, 0), sum(x, Axes{0})));
  CHECK(same(mean(x, -1, true), mean(x, Axes{1}, true)));
  CHECK(same(logsumexp(x, 1), logsumexp(x, Axes{1})));
  CHECK(same(sum(x, {}), x));  // no axis
  CHECK(same(reshape(x, {-1}), reshape(x, Shape{6})));
  CHECK(same(reshape(x, {3, -1}), reshape(x, Shape{3, 2})));
  CHECK(same_bits(value.reshaped({-1, 2}), value.reshaped(Shape{3, 2})));
  const auto square_sum = [](const Vars& v) { return sum(square(v[0])); };
  CHECK(same(value_and_grad(square_sum, {value}).gradients[0], 2 * x));
  CHECK(same(hvp(square_sum, {value}, {value})[0], 2 * x));
  Tape tape;
  CHECK(tape.variables({value, value}).size() == 2);
}

TEST_CASE("tensors print with type, shape and numbers") {
  CHECK(text(Tensor::from(std::vector<double>{1, 2.5, -3, 4}, {2, 2})) == "float64 (2, 2) [[1, 2.5], [-3, 4]]");
  CHECK(text(Tensor::full({}, 0.5)) == "float32 () 0.5");
  CHECK(text(Tensor::zeros({0})) == "float32 (0) []");
  std::vector<std::int64_t> many(20);
  for (std::int64_t i = 0; i < 20; ++i) many[i] = i;
  std::ostringstream out;
  out << Tensor::indices(many) << ' ' << Shape{2, 3};
  CHECK(out.str() == "int64 (20) [0, 1, 2, .., 17, 18, 19] (2, 3)");
}

TEST_CASE("a sweep costs what lies between result and variables") {
  // Bounds are wide, because the machine may be busy.
  const auto seconds = [](const auto& f) {
    const auto begin = std::chrono::steady_clock::now();
    f();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  const auto step = [](const Vars& z) { return z[0] + 0.01 * sin(z[0]); };
  const auto chain = [&](bool again) {
    return [&step, again](const Vars& x) {
      Var s = x[0];
      for (int k = 0; k < 2000; ++k) s = again ? checkpoint(step, {s}) : step({s});
      return sum(square(s));
    };
  };
  const std::vector<Tensor> x{normal_tensor({10}, 1)};
  const double plain = seconds([&] { (void)hvp(chain(false), x, x); });
  const double again = seconds([&] { (void)hvp(chain(true), x, x); });
  CHECK(again <= 10 * plain);  // 1.5 on an idle machine; 60 when each sweep scans the tape

  Tape tape;
  Var early = tape.variable(x[0]);
  for (int k = 0; k < 100'000; ++k) early = sin(early);
  const Var late = tape.variable(x[0]);
  const Var y = sum(square(late));
  const Tensor one = Tensor::full({}, 1, DType::float64);
  const double all = seconds([&] { (void)vjp(sum(early), one, {tape.var(0)}); });
  const double few = seconds([&] { (void)vjp(y, one, {late}); });
  CHECK(few <= all / 100);
}

TEST_CASE("a cache that is not needed goes back to the system") {
  { const Tensor some = Tensor::zeros({1000}); }
  cpu().release_cache();
  const Tensor again = Tensor::full({1000}, 2);
  CHECK(again.to_vector()[999] == 2);
}
