#include "models/lorenz.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"

using namespace levda;
using autodiff::Tensor;
using autodiff::Var;
using models::Lorenz63;
using models::Lorenz96;

namespace {

Tensor row(const std::vector<double>& values) {
  return Tensor::from(std::span<const double>(values), {1, static_cast<std::int64_t>(values.size())});
}

}  // namespace

TEST_CASE("lorenz: tendencies by hand") {
  const std::vector<double> f63 = Lorenz63{}.tendency(Var(row({1, 2, 3}))).value().to_vector();
  CHECK(f63 == std::vector<double>{10, 23, 2 - 8.0});
  // i = 0: (x1 - x3) x4 - x0 + 8 on five places.
  const Lorenz96 system(5);
  const std::vector<double> f96 = system.tendency(Var(row({1, 2, 3, 4, 5})), Var(row({8}))).value().to_vector();
  CHECK(f96[0] == (2 - 4) * 5 - 1 + 8);
  CHECK(f96[2] == (4 - 1) * 2 - 3 + 8);
  CHECK(f96[4] == (1 - 3) * 4 - 5 + 8);
  CHECK_THROWS_AS(Lorenz96(3), Error);
}

TEST_CASE("lorenz: fixed points stay") {
  const double c = std::sqrt(8.0 / 3 * 27);
  const Var fixed(row({c, c, 27}));
  const std::vector<double> after = Lorenz63{}.step(fixed, 0.01).value().to_vector();
  for (std::size_t i = 0; i < 3; ++i) CHECK(std::abs(after[i] - fixed.value().to_vector()[i]) <= 1e-13);
  const Lorenz96 system(6);
  const Var forcing(row({8}));
  const Var uniform(row(std::vector<double>(6, 8.0)));
  for (const double value : system.step(uniform, forcing, 0.05).value().to_vector())
    CHECK(std::abs(value - 8) <= 1e-14);
}

TEST_CASE("lorenz: the scheme is of order 4") {
  const Lorenz63 system;
  const auto after = [&](int steps) {
    Var x(row({-3, 4, 20}));
    for (int k = 0; k < steps; ++k) x = system.step(x, 0.4 / steps);
    return x.value().to_vector();
  };
  const std::vector<double> fine = after(640);
  const auto error = [&](int steps) {
    double sum = 0;
    const std::vector<double> x = after(steps);
    for (std::size_t i = 0; i < 3; ++i) sum += std::abs(x[i] - fine[i]);
    return sum;
  };
  const double order = std::log2(error(40) / error(80));
  CHECK(order >= 3.8);
  CHECK(order <= 4.4);
}

TEST_CASE("lorenz: the advection of Lorenz-96 keeps the energy") {
  // sum x_i (x_{i+1} - x_{i-2}) x_{i-1} = 0, so x . f = F sum x - x . x.
  const std::vector<double> x{0.3, -1.2, 2.5, 4, -0.7, 1.1, 0.2};
  const std::vector<double> f = Lorenz96(7).tendency(Var(row(x)), Var(row({8}))).value().to_vector();
  double power = 0;
  double expected = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    power += x[i] * f[i];
    expected += 8 * x[i] - x[i] * x[i];
  }
  CHECK(std::abs(power - expected) <= 1e-13 * 100);
}

TEST_CASE("lorenz: tangent and adjoint agree") {
  const Lorenz96 system(8);
  autodiff::Tape tape;
  const Var x = tape.variable(row({1, 2, -1, 4, 3, 0.5, -2, 1}));
  const Var forcing = tape.variable(row({8}));
  Var y = x;
  for (int k = 0; k < 5; ++k) y = system.step(y, forcing, 0.05);
  const Tensor dx = row({0.1, 0.3, -0.2, 0.7, 1, 0.4, -0.6, 0.2});
  const Tensor df = row({0.5});
  const Tensor w = row({1, -1, 0.5, 0.2, 0.9, 0.1, -0.3, 2});
  const Tensor tangent = autodiff::jvp(y, {x, forcing}, {Var(dx), Var(df)}).value();
  const autodiff::Vars adjoint = autodiff::vjp(y, Var(w), {x, forcing});
  const double left = dot(Var(w), Var(tangent)).value().item();
  const double right = (dot(adjoint[0], Var(dx)) + dot(adjoint[1], Var(df))).value().item();
  CHECK(std::abs(left - right) <= 1e-12 * std::abs(left));
}
