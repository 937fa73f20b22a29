#include <doctest/doctest.h>

#include "autodiff/check.h"
#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "autodiff/tiled_sum.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using levda::testing::largest_difference;
using levda::testing::normal_tensor;
using levda::testing::same_bits;

namespace {

constexpr double u = 0x1p-53;
constexpr int steps = 10;

/// Inputs: state (rows, 3), weights (3, 4), (4), (4, 3). Every weight is used in every step, the state twice.
Var step(const Vars& x) { return x[0] + 0.1 * matmul(silu(linear(x[0], x[1], x[2])), x[3]); }

using Step = std::function<Var(const Vars&)>;

/// Sum of squares along a rollout.
Step rollout(const Step& one) {
  return [one](const Vars& x) {
    Vars at = x;
    Var total = 0.5 * sum(square(x[0]));
    for (int k = 0; k < steps; ++k) {
      at[0] = one(at);
      total = total + 0.5 * sum(square(at[0]));
    }
    return total;
  };
}
Step kept() { return rollout(step); }
Step rerun() {
  return rollout([](const Vars& x) { return checkpoint(step, x); });
}

std::vector<Tensor> point(DType dtype = DType::float64) {
  return {normal_tensor({5, 3}, 1, dtype), normal_tensor({3, 4}, 2, dtype), normal_tensor({4}, 3, dtype),
          normal_tensor({4, 3}, 4, dtype)};
}

std::vector<Tensor> direction() {
  return {normal_tensor({5, 3}, 11), normal_tensor({3, 4}, 12), normal_tensor({4}, 13), normal_tensor({4, 3}, 14)};
}

}  // namespace

TEST_CASE("checkpoint: value, gradient and tangent have the bits of the computation without it") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const std::vector<Tensor> x = point(dtype);
    const ValueAndGrad without = value_and_grad(kept(), x);
    const ValueAndGrad with = value_and_grad(rerun(), x);
    CHECK(with.value == without.value);
    REQUIRE(with.gradients.size() == x.size());
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(same_bits(with.gradients[i], without.gradients[i]));

    Tape tape;
    const Vars variables = tape.variables(x);
    Vars v;
    for (const Tensor& one : x) v.emplace_back(normal_tensor(one.shape().prepend({2}), 7, dtype));
    CHECK(same_bits(jvp(rerun()(variables), variables, v).value(), jvp(kept()(variables), variables, v).value()));
  }
}

TEST_CASE("checkpoint: any inputs tracked, one input given twice, one inside another") {
  const Step twice = [](const Vars& x) { return sum(x[0] * sin(x[1]) + exp(x[0]) * x[2]); };
  const Step without = [twice](const Vars& x) { return twice({x[0], x[0], x[1]}) + sum(x[0]); };
  const Step with = [twice](const Vars& x) { return checkpoint(twice, {x[0], x[0], x[1]}) + sum(x[0]); };
  const Step nested = [twice](const Vars& x) {
    return checkpoint([twice](const Vars& z) { return 2 * checkpoint(twice, {z[0], z[0], z[1]}); }, x);
  };
  const std::vector<Tensor> x{normal_tensor({6}, 1), normal_tensor({6}, 2)};
  const ValueAndGrad a = value_and_grad(without, x);
  const ValueAndGrad b = value_and_grad(with, x);
  const ValueAndGrad c = value_and_grad([twice](const Vars& v) { return 2 * twice({v[0], v[0], v[1]}); }, x);
  const ValueAndGrad d = value_and_grad(nested, x);
  CHECK(a.value == b.value);
  CHECK(c.value == d.value);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(same_bits(a.gradients[i], b.gradients[i]));
    CHECK(same_bits(c.gradients[i], d.gradients[i]));
    const Step only = [&, i](const Vars& v) { return with(i == 0 ? Vars{v[0], x[1]} : Vars{x[0], v[0]}); };
    CHECK(same_bits(value_and_grad(only, std::vector<Tensor>{x[i]}).gradients[0], a.gradients[i]));
  }
  CHECK_FALSE(checkpoint(twice, {x[0], x[0], x[1]}).tracked());
  const DerivativeCheck check = check_derivatives(nested, x);
  CHECK(check.adjoint_error() <= 1e-13);
  CHECK(check.finite_difference_error() <= 1e-9);
}

TEST_CASE("checkpoint: Hessian times vector, by every way") {
  const std::vector<Tensor> x = point();
  const std::vector<Tensor> v = direction();
  const std::vector<Tensor> expected = hvp(kept(), x, v);
  const std::vector<Tensor> found = hvp(rerun(), x, v);
  Tape tape;
  const Vars variables = tape.variables(x);
  const Vars tangents(v.begin(), v.end());
  const Var slope = jvp(rerun()(variables), variables, tangents, Graph::keep);
  const Vars reverse_of_forward = vjp(slope, Tensor::full({}, 1, DType::float64), variables);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double scale = levda::testing::largest(expected[i].to_vector());
    CHECK(scale > 0);
    CHECK(largest_difference(found[i], expected[i]) <= 1000 * u * scale);
    CHECK(largest_difference(reverse_of_forward[i].value(), expected[i]) <= 1000 * u * scale);
  }
}

TEST_CASE("hvp through a rollout of ten steps: differences of the gradient") {
  const std::vector<Tensor> x = point();
  const std::vector<Tensor> v = direction();
  const std::vector<Tensor> differences = levda::testing::gradient_differences(kept(), x, v, 1e-3);
  const std::vector<Tensor> found = hvp(kept(), x, v);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double scale = levda::testing::largest(found[i].to_vector());
    // Truncation of fourth order with steps of 1e-3, and the digits lost to them.
    CHECK(largest_difference(found[i], differences[i]) <= 1e-8 * scale);
  }
}

TEST_CASE("checkpoint: over a rollout with tiled_sum inside") {
  const std::vector<Tensor> x{normal_tensor({4}, 1), normal_tensor({20, 4}, 2)};
  const auto misfit = [](const Vars& s, const Vars& r) { return sum(square(sin(r[0] * s[0]))); };
  const Step plain = [misfit](const Vars& z) { return tiled_sum(misfit, {z[0]}, {z[1]}, 3); };
  const Step outside = [plain](const Vars& z) { return square(checkpoint(plain, z)); };
  const Step without = [plain](const Vars& z) { return square(plain(z)); };
  const std::vector<Tensor> v{normal_tensor({4}, 3), normal_tensor({20, 4}, 4)};
  const ValueAndGrad a = value_and_grad(outside, x);
  const ValueAndGrad b = value_and_grad(without, x);
  const std::vector<Tensor> ha = hvp(outside, x, v);
  const std::vector<Tensor> hb = hvp(without, x, v);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(same_bits(a.gradients[i], b.gradients[i]));
    CHECK(largest_difference(ha[i], hb[i]) <= 1000 * u * levda::testing::largest(hb[i].to_vector()));
  }
}

TEST_CASE("checkpoint: one node on the tape, and the memory of one step") {
  Tape tape;
  const Vars x = tape.variables(point());
  const Var y = checkpoint(step, x);
  CHECK(tape.size() == 5);
  CHECK(std::string(tape.node(y.id()).op->name) == "checkpoint");
  const std::int64_t before = tape.bytes();
  const Var z = checkpoint([](const Vars& v) { return silu(silu(silu(v[0]))); }, {y});
  const std::size_t bytes = sizeof(Node) + sizeof(Var) + cpu().footprint(5 * 3 * 8) + sizeof(Storage) + 16;
  CHECK(tape.bytes() - before == static_cast<std::int64_t>(bytes));
}

TEST_CASE("checkpoint: errors") {
  Tape tape;
  const Var x = tape.variable(normal_tensor({3}, 1));
  const Var other = tape.variable(normal_tensor({3}, 2));
  CHECK_THROWS_WITH_AS(checkpoint([&](const Vars& v) { return v[0] * other; }, {x}),
                       "[checkpoint] the function computes with a tracked variable that is not among its inputs",
                       levda::Error);
  // A function that ignores its inputs has zero derivatives.
  const Var y = checkpoint([](const Vars& v) { return v[0].detach(); }, {x});
  const Tensor w = normal_tensor({3}, 3);
  CHECK(vjp(y, w, {x})[0].value().to_vector() == std::vector<double>(3, 0.0));
  CHECK(jvp(y, {x}, {w}).value().to_vector() == std::vector<double>(3, 0.0));
}
