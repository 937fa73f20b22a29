#include "autodiff/check.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using levda::testing::normal_tensor;

namespace {

/// x^3 with derivative rules that are off by the given factors.
std::function<Var(const Vars&)> cube(double vjp_factor, double jvp_factor) {
  auto op = std::make_shared<Op>();
  op->name = "cube";
  op->shape = [](Inputs x, const Attributes&) { return x[0].shape(); };
  op->forward = [](Backend&, Inputs x, Attributes&, Tensor& y) {
    const Var plain = x[0].detach();
    y = (plain * square(plain)).value();
  };
  op->vjp = [vjp_factor](const Call& n, int, const Var& w) { return w * (3 * vjp_factor * square(n.inputs[0])); };
  op->jvp = [jvp_factor](const Call& n, const Vars& v) { return v[0] * (3 * jvp_factor * square(n.inputs[0])); };
  return [op](const Vars& x) { return evaluate(op, {x[0]}); };
}

DerivativeCheck check_cube(double vjp_factor, double jvp_factor, DType dtype = DType::float64) {
  return check_derivatives(cube(vjp_factor, jvp_factor), std::vector<Tensor>{normal_tensor({6}, 1, dtype)});
}

}  // namespace

TEST_CASE("check: right derivatives pass") {
  const DerivativeCheck check = check_cube(1, 1);
  CHECK(check.scale > 0);
  CHECK(check.adjoint_error() <= 1e-14);            // six terms
  CHECK(check.finite_difference_error() <= 1e-11);  // exact but for the digits lost to steps of 0.02 and less
  CHECK(check.difference_error <= 1e-9 * check.scale);
}

TEST_CASE("check: a wrong vjp fails against the jvp, and only there") {
  const DerivativeCheck check = check_cube(1.01, 1);
  CHECK_FALSE(check.adjoint_error() <= 1e-3 * std::abs(check.by_jvp) / check.scale);
  CHECK(check.finite_difference_error() <= 1e-11);
}

TEST_CASE("check: a wrong jvp fails both") {
  const DerivativeCheck check = check_cube(1, 0.99);
  CHECK_FALSE(check.adjoint_error() <= 1e-3 * std::abs(check.by_jvp) / check.scale);
  CHECK_FALSE(check.finite_difference_error() <= 1e-3 * std::abs(check.by_jvp) / check.scale);
}

TEST_CASE("check: rules that are wrong alike fail against finite differences") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const DerivativeCheck check = check_cube(1.05, 1.05, dtype);
    CHECK(check.adjoint_error() <= 1e-6);
    CHECK_FALSE(check.finite_difference_error() <= 1e-2 * std::abs(check.by_jvp) / check.scale);
  }
}

TEST_CASE("check: derivatives that are not numbers fail") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_FALSE(check_cube(nan, 1).adjoint_error() <= 1e300);
  CHECK_FALSE(check_cube(1, nan).finite_difference_error() <= 1e300);
}

TEST_CASE("check: a derivative of zero is right when all say so") {
  const DerivativeCheck check =
      check_derivatives([](const Vars& x) { return 0 * x[0]; }, std::vector<Tensor>{normal_tensor({3}, 1)});
  CHECK(check.scale == 0);
  CHECK(check.adjoint_error() == 0);
  CHECK(check.finite_difference_error() == 0);
}

TEST_CASE("check: the seed gives the direction, the table shows all three numbers") {
  const std::vector<Tensor> inputs{normal_tensor({6}, 1)};
  const DerivativeCheck a = check_derivatives(cube(1, 1), inputs, 1);
  CHECK(check_derivatives(cube(1, 1), inputs, 1).by_jvp == a.by_jvp);
  CHECK(check_derivatives(cube(1, 1), inputs, 2).by_jvp != a.by_jvp);
  CHECK(a.text().find("<w, J v>") != std::string::npos);
  CHECK(a.text().find("<J' w, v>") != std::string::npos);
  CHECK(a.text().find("finite differences") != std::string::npos);
}
