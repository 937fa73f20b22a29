#include "autodiff/custom_op.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/check.h"
#include "autodiff/error.h"
#include "autodiff/random.h"
#include "autodiff/tiled_sum.h"

using namespace levda;
using namespace levda::autodiff;

namespace {

Tensor drawn(const Shape& shape, std::uint64_t seed, DType dtype = DType::float64) {
  Random random(seed);
  std::vector<double> values(static_cast<std::size_t>(shape.size()));
  for (double& value : values) value = 0.5 + random.uniform();
  return Tensor::from(std::span<const double>(values), shape, dtype);
}

/// x / (k + x), both broadcast.
const CustomOp saturation = {.name = "saturation",
                             .value = [](const Vars& x) { return x[0] / (x[0] + x[1]); },
                             .vjp =
                                 [](const Call& n, int i, const Var& w) {
                                   const Var over = w / square(n.inputs[0] + n.inputs[1]);
                                   return unbroadcast(i == 0 ? over * n.inputs[1] : -(over * n.inputs[0]),
                                                      n.inputs[i].shape());
                                 },
                             .jvp =
                                 [](const Call& n, const Vars& v) {
                                   const Var over = square(n.inputs[0] + n.inputs[1]);
                                   return filled(n, v,
                                                 add_tangents(v[0] ? aligned(n, v, 0) * n.inputs[1] / over : Var(),
                                                              v[1] ? -(aligned(n, v, 1) * n.inputs[0] / over) : Var()));
                                 },
                             .shape = [](Inputs x) { return broadcast("saturation", x[0].shape(), x[1].shape()); }};

Var plain(const Vars& x) { return x[0] / (x[0] + x[1]); }

const std::vector<Tensor> inputs{drawn({4, 3}, 1), drawn({3}, 2)};

/// Elements differ by no more than round-off, and there are some.
void check_near(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  REQUIRE(a.size() > 0);
  const std::vector<double> va = a.to_vector();
  const std::vector<double> vb = b.to_vector();
  for (std::size_t i = 0; i < va.size(); ++i) CHECK(std::abs(va[i] - vb[i]) <= 1e-13 * (1 + std::abs(vb[i])));
}

template <typename F>
std::string message(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

/// saturation with one rule replaced, as a function.
Function with_vjp(std::function<Var(const Call&, int, const Var&)> vjp) {
  CustomOp op = saturation;
  op.vjp = std::move(vjp);
  return custom_op(op);
}
Function with_jvp(std::function<Var(const Call&, const Vars&)> jvp) {
  CustomOp op = saturation;
  op.jvp = std::move(jvp);
  return custom_op(op);
}

}  // namespace

TEST_CASE("a custom operation: value and derivatives") {
  const Function f = custom_op(saturation);
  check_near(f({inputs[0], inputs[1]}).value(), plain({inputs[0], inputs[1]}).value());
  const DerivativeCheck check = check_derivatives(f, inputs);
  CHECK(check.adjoint_error() <= 1e-14);
  CHECK(check.finite_difference_error() <= 1e-9);
}

TEST_CASE("a custom operation under hvp, with several directions, checkpoint and tiled_sum") {
  const Function f = custom_op(saturation);
  const auto energy = [](const Function& g) -> Function { return [g](const Vars& x) { return sum(square(g(x))); }; };
  const std::vector<Tensor> directions{drawn({2, 4, 3}, 3), drawn({2, 3}, 4)};
  const std::vector<Tensor> products = hvp(energy(f), inputs, directions);
  const std::vector<Tensor> expected = hvp(energy(plain), inputs, directions);
  for (std::size_t i = 0; i < 2; ++i) check_near(products[i], expected[i]);

  const Function once_more = [f](const Vars& x) { return checkpoint(f, x); };
  const std::vector<Tensor> through = hvp(energy(once_more), inputs, directions);
  for (std::size_t i = 0; i < 2; ++i) check_near(through[i], expected[i]);

  const auto tiles = [&](const Function& g) {
    return value_and_grad(
        [&](const Vars& x) {
          return tiled_sum(
              [g](const Vars& shared, const Vars& rows) {
                return sum(square(g({rows[0], shared[0]})));
              },
              {x[1]}, {x[0]}, 2);
        },
        inputs);
  };
  const ValueAndGrad tiled = tiles(f);
  const ValueAndGrad plainly = tiles(plain);
  CHECK(std::abs(tiled.value - plainly.value) <= 1e-14 * plainly.value);
  for (std::size_t i = 0; i < 2; ++i) check_near(tiled.gradients[i], plainly.gradients[i]);
}

TEST_CASE("a custom operation from host arithmetic has first derivatives") {
  const Function cube =
      custom_op({.name = "cube",
                 .value =
                     [](const Vars& x) {
                       std::vector<double> values = x[0].value().to_vector();
                       for (double& value : values) value = value * value * value;
                       return Var(Tensor::from(std::span<const double>(values), x[0].shape()));
                     },
                 .vjp = [](const Call& n, int, const Var& w) { return 3 * square(n.inputs[0]) * w; }});
  const std::vector<Tensor> x{drawn({5}, 5)};
  const ValueAndGrad result = value_and_grad([&](const Vars& in) { return sum(cube(in)); }, x);
  check_near(result.gradients[0], (3 * square(Var(x[0]))).value());
  CHECK(message([&] { (void)hvp([&](const Vars& in) { return sum(square(cube(in))); }, x, x); }) ==
        "[cube] has no jvp");
}

TEST_CASE("check_derivatives finds wrong rules of a custom operation") {
  const Function wrong_vjp = with_vjp([](const Call& n, int i, const Var& w) { return 2 * saturation.vjp(n, i, w); });
  const DerivativeCheck reverse = check_derivatives(wrong_vjp, inputs);
  CHECK(reverse.adjoint_error() > 1e-3);
  CHECK(reverse.finite_difference_error() <= 1e-9);
  const Function wrong_jvp = with_jvp([](const Call& n, const Vars& v) { return 2 * saturation.jvp(n, v); });
  const DerivativeCheck forward = check_derivatives(wrong_jvp, inputs);
  CHECK(forward.adjoint_error() > 1e-3);
  CHECK(forward.finite_difference_error() > 1e-3);
}

TEST_CASE("a custom operation refuses what its rules return in another shape or type") {
  const auto checked = [](const Function& f) { return message([&] { (void)check_derivatives(f, inputs); }); };
  CHECK(checked(with_vjp([](const Call&, int, const Var& w) { return w; })) ==
        "[saturation] vjp of input 1 returned shape (4, 3), not (3)");
  CHECK(checked(with_vjp([](const Call&, int, const Var&) { return Var(); })) ==
        "[saturation] vjp of input 0 returned no value");
  CHECK(checked(with_vjp(nullptr)) == "[saturation] has no vjp");
  CHECK(checked(with_jvp([](const Call&, const Vars& v) { return v[1]; })) ==
        "[saturation] jvp returned shape (3), not (4, 3)");
  CHECK(checked(with_jvp([](const Call& n, const Vars&) {
          return Var(Tensor::zeros(n.output.shape(), DType::float32));
        })) == "[saturation] jvp returned float32 on cpu, not float64 on cpu");
  CHECK(checked(with_jvp(nullptr)) == "[saturation] has no jvp");
  CHECK(message([] {
          // The extra leading axes of the tangents must not be lost.
          Tape tape;
          const Vars x = tape.variables(inputs);
          const Var y = with_jvp([](const Call& n, const Vars&) { return n.output; })(x);
          (void)jvp(y, x, {drawn({2, 4, 3}, 3), drawn({2, 3}, 4)});
        }) == "[saturation] jvp returned shape (4, 3), not (2, 4, 3)");

  CustomOp op = saturation;
  op.value = [](const Vars& x) { return x[0] + x[0]; };
  CHECK(message([&] {
          (void)custom_op(op)({inputs[1], inputs[0]});
        }) == "[saturation] value returned shape (3), not (4, 3)");
  CHECK(message([&] {
          (void)custom_op(op)({inputs[0], drawn({2}, 1)});
        }) == "[saturation] cannot broadcast (4, 3) and (2)");
  CHECK(message([&] { (void)custom_op(op)({}); }) == "[saturation] no inputs");
  Tape tape;
  const Var captured = tape.variable(drawn({4, 3}, 5));
  op.value = [&](const Vars& x) { return x[0] * captured; };
  CHECK(message([&] {
          (void)custom_op(op)({inputs[0], inputs[1]});
        }) == "[saturation] value uses a variable that is not an input");
  op.value = nullptr;
  CHECK(message([&] { (void)custom_op(op); }) == "[saturation] has no value");
}
