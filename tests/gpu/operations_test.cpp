/// The table of operations on both backends.

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/check.h"
#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "tests/autodiff/compare.h"
#include "tests/autodiff/operation_cases.h"

using namespace levda::autodiff;
using namespace levda::testing;

namespace {

/// Everything that a case computes: value, cotangents, tangent, and in float64 the gradient of a function of its
/// gradient.
std::vector<std::vector<double>> results(const Case& c, DType dtype, Backend& backend) {
  Tape tape;
  const Vars x = tape.variables(inputs_of(c, dtype, backend));
  const Var y = c.f(x);
  const auto fixed = [&](const Shape& shape, std::uint64_t seed) {
    return Var(normal_tensor(shape, seed, dtype).to(backend));
  };
  std::vector<std::vector<double>> all{y.value().to_vector()};
  for (const Var& g : vjp(y, fixed(y.shape(), 1), x)) all.push_back(g.value().to_vector());
  Vars v;
  for (std::size_t i = 0; i < x.size(); ++i) v.push_back(fixed(x[i].shape().prepend({2}), 2 + i));
  all.push_back(jvp(y, x, v).value().to_vector());
  if (dtype == DType::float32 || c.flat) return all;
  const Var weighted = sum(y * sin(y));
  const Vars g = vjp(weighted, Tensor::full({}, 1, dtype, backend), x, Graph::keep);
  Var total = sum(square(g[0]));
  for (std::size_t i = 1; i < g.size(); ++i) total = total + sum(square(g[i]));
  for (const Var& h : vjp(total, Tensor::full({}, 1, dtype, backend), x)) all.push_back(h.value().to_vector());
  return all;
}

}  // namespace

TEST_CASE("gpu: every operation and its derivatives are the CPU's") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    CAPTURE(std::string(name(dtype)));
    // float32: sums of up to 100 products, and functions that are off by a few units in the last place.
    const double tolerance = dtype == DType::float64 ? 1e-12 : 128 * 0x1p-24;
    for (const Case& c : cases()) {
      CAPTURE(c.op);
      const auto expected = results(c, dtype, cpu());
      const auto found = results(c, dtype, cuda());
      REQUIRE(found.size() == expected.size());
      for (std::size_t i = 0; i < found.size(); ++i) {
        CAPTURE(i);
        CHECK(largest_difference(found[i], expected[i]) <= tolerance * (1 + largest(expected[i])));
      }
    }
  }
}

TEST_CASE("gpu: the same bits every time") {
  for (const DType dtype : {DType::float32, DType::float64})
    for (const Case& c : cases()) {
      CAPTURE(c.op);
      CHECK(results(c, dtype, cuda()) == results(c, dtype, cuda()));
    }
}

TEST_CASE("gpu: adjoint dot product and finite differences") {
  for (const Case& c : cases()) {
    CAPTURE(c.op);
    const DerivativeCheck check = check_derivatives(c.f, inputs_of(c, DType::float64, cuda()));
    INFO(check.text());
    CHECK(check.adjoint_error() <= 1e-12);
    CHECK(check.finite_difference_error() <= 1e-9);
  }
}

TEST_CASE("gpu: the error of float32 sums does not grow with their length") {
  // Numbers of one sign. Sums are in double: they are rounded once, and each of n terms is off by 2^-53.
#ifdef LEVDA_CUDA_STAND_IN
  const std::int64_t n = 40000;  // a running sum in float32 is off by 1e-5 here, a hundred times the bound
#else
  const std::int64_t n = 20000000;
#endif
  const double terms = static_cast<double>(n);
  const double exact = terms * static_cast<double>(0.1F);
  const auto check = [&](const Var& found) {
    for (const double value : found.value().to_vector())
      CHECK(std::abs(value - exact) <= (0x1p-24 + terms * 0x1p-53) * exact);
  };
  const auto tenths = [](const Shape& shape) { return Var(Tensor::full(shape, 0.1, DType::float32, cuda())); };
  check(sum_to(tenths({n, 2}), {2}));
  check(sum_to(tenths({2, n}), {2, 1}));
  check(sum_to(tenths({2, n, 2}), {2, 1, 2}));
  check(sum(tenths({n})));
  check(scatter_add(tenths({n, 2}), 0,
                    Tensor::indices(std::vector<std::int64_t>(static_cast<std::size_t>(n))).to(cuda()), 1));
  Tape tape;
  const Var weight = tape.variable(Tensor::zeros({1, 2}, DType::float32, cuda()));
  const Var bias = tape.variable(Tensor::zeros({2}, DType::float32, cuda()));
  const Var y = linear(tenths({n, 1}), weight, bias);
  check(vjp(y, tenths({n, 2}), {bias})[0]);
}

TEST_CASE("gpu: arrays without elements") {
  const auto none = [](const Shape& shape) { return Var(Tensor::zeros(shape, DType::float32, cuda())); };
  CHECK((none({0, 3}) + none({3})).shape() == Shape{0, 3});
  CHECK(sum(none({0, 3})).value().item() == 0);
  CHECK(sum_to(none({0, 3}), {1, 3}).value().to_vector() == std::vector<double>(3, 0.0));
  CHECK(matmul(none({0, 3}), none({0, 3}), true, false).value().to_vector() == std::vector<double>(9, 0.0));
  CHECK(linear(none({0, 3}), none({3, 2}), none({2})).shape() == Shape{0, 2});
  CHECK(linear(none({2, 0}), none({0, 2}), Var(Tensor::full({2}, 3, DType::float32, cuda()))).value().to_vector() ==
        std::vector<double>(4, 3.0));
  CHECK(solve(none({0, 0}), none({0, 3})).shape() == Shape{0, 3});
  CHECK(cholesky(none({0, 0})).shape() == Shape{0, 0});
  CHECK(gather(none({4}), 0, Tensor::indices({}, cuda())).shape() == Shape{0});
  CHECK(scatter_add(none({0}), 0, Tensor::indices({}, cuda()), 3).value().to_vector() == std::vector<double>(3, 0.0));
  CHECK(none({0, 3}).value().to(cpu()).shape() == Shape{0, 3});
  CHECK(logsumexp(none({2, 0}), {1}).value().to_vector() ==
        std::vector<double>(2, -std::numeric_limits<double>::infinity()));
}

TEST_CASE("gpu: a value that is not a number comes through, and large arguments saturate") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Var x = Tensor::from(std::vector<double>{-1000, 1000, -infinity, infinity, nan}, {5}, dtype, cuda());
    const auto at = [&](Var (*f)(const Var&)) { return f(x).value().to_vector(); };
    for (const auto f : {sigmoid, silu, tanh, relu, softplus, exp, abs, sign, gelu, erf, square, neg})
      CHECK(std::isnan(at(f)[4]));
    CHECK(at(sigmoid)[1] == 1);
    CHECK(at(sigmoid)[2] == 0);
    CHECK(at(tanh)[0] == -1);
    CHECK(at(relu)[3] == infinity);
    CHECK(at(softplus)[1] == 1000);
    CHECK(at(erf)[3] == 1);
    const Var zero = Tensor::zeros({5}, dtype, cuda());
    CHECK(std::isnan(maximum(x, zero).value().to_vector()[4]));
    CHECK(std::isnan(maximum(zero, x).value().to_vector()[4]));
    CHECK(std::isnan(minimum(x, zero).value().to_vector()[4]));
    CHECK(std::isnan(logsumexp(x, {0}).value().item()));
    const Range range = cuda().range(x.value());
    CHECK(range.least == -1000);
    CHECK(range.greatest == 1000);
    CHECK(range.nonfinite == 3);
  }
}
