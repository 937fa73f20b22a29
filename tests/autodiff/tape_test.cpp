#include "autodiff/tape.h"

#include <doctest/doctest.h>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "autodiff/op.h"
#include "autodiff/tiled_sum.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using levda::testing::normal_tensor;
using levda::testing::same_bits;

TEST_CASE("tape: one node per operation on a tracked input, none for constants") {
  Tape tape;
  const Var x = tape.variable(normal_tensor({3}, 1));
  CHECK(x.tracked());
  CHECK(x.tape() == &tape);
  CHECK(x.id() == 0);
  CHECK(tape.node(0).op == nullptr);
  const Var constant(normal_tensor({3}, 2));
  CHECK_FALSE(constant.tracked());
  CHECK(constant.id() == -1);

  const Var unrecorded = constant * constant + sin(constant);
  CHECK_FALSE(unrecorded.tracked());
  CHECK(tape.size() == 1);
  const Var y = x * unrecorded;
  CHECK(y.tracked());
  CHECK(y.id() == 1);
  CHECK(tape.size() == 2);
  CHECK(std::string(tape.node(1).op->name) == "mul");
  CHECK(tape.node(1).inputs.size() == 2);
  CHECK(same_bits(tape.var(1).value(), y.value()));
  CHECK(sum(y).id() == 2);

  const Var detached = y.detach();
  CHECK_FALSE(detached.tracked());
  CHECK(same_bits(detached.value(), y.value()));
  CHECK_FALSE(Var());
}

TEST_CASE("tape: variables keep the order of their values") {
  Tape tape;
  const std::vector<Tensor> values{normal_tensor({2}, 1), normal_tensor({3, 4}, 2), normal_tensor({}, 3)};
  const Vars x = tape.variables(values);
  REQUIRE(x.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(x[i].id() == static_cast<std::int64_t>(i));
    CHECK(same_bits(x[i].value(), values[i]));
  }
}

TEST_CASE("tape: rewind forgets the nodes from a mark on, and what is before stays usable") {
  Tape tape;
  const Var x = tape.variable(normal_tensor({5}, 1));
  const Var y = sin(x);
  const std::int64_t mark = tape.size();
  const Var one = Tensor::full({}, 1, DType::float64);
  const auto gradient = [&] {
    const Var z = sum(square(y) * exp(x));
    const Tensor g = vjp(z, one, {x})[0].value();
    tape.rewind(mark);
    return g;
  };
  const Tensor first = gradient();
  CHECK(tape.size() == mark);
  CHECK(same_bits(gradient(), first));
  CHECK(cos(y).id() == mark);
  tape.rewind(0);
  CHECK(tape.size() == 0);
}

TEST_CASE("tape: rewind frees what only the nodes held") {
  const std::int64_t before = cpu().memory().live;
  {
    Tape tape;
    const Var x = tape.variable(normal_tensor({100, 100}, 1));
    const std::int64_t with_x = cpu().memory().live;
    const std::int64_t mark = tape.size();
    Tensor kept;
    {
      const Var y = silu(x);
      kept = (y * y).value();
    }
    CHECK(cpu().memory().live - with_x > 2 * 80000);
    tape.rewind(mark);
    // The product is still held here: one block, at most a quarter larger than its contents.
    CHECK(cpu().memory().live - with_x >= 80000);
    CHECK(cpu().memory().live - with_x <= 100000 + 64);
    CHECK(kept.to_vector().size() == 10000);
  }
  CHECK(cpu().memory().live == before);
}

TEST_CASE("tape: memory use returns to the start after every one of many training steps") {
  const Tensor x = normal_tensor({300, 20}, 1, DType::float32);
  std::vector<Tensor> weights{normal_tensor({20, 20}, 2, DType::float32), normal_tensor({20}, 3, DType::float32)};
  Tape tape;
  const std::int64_t before = cpu().memory().live;
  std::int64_t within = 0;
  for (int step = 0; step < 300; ++step) {
    {
      const Vars w = tape.variables(weights);
      Var h(x);
      for (int layer = 0; layer < 4; ++layer) h = h + silu(linear(h, w[0], w[1]));
      const Var loss = sum(square(h));
      const Vars gradients = vjp(loss, Tensor::full({}, 1), w);
      CHECK(gradients[0].shape() == weights[0].shape());
      const std::int64_t use = cpu().memory().live - before;
      if (step == 0) within = use;
      CHECK(use == within);
    }
    tape.rewind(0);
    REQUIRE(cpu().memory().live == before);
  }
  CHECK(within > 4 * 3 * 300 * 20 * 4);  // linear, silu, its slope and the sum of each layer are on the tape
}

TEST_CASE("tape: a thousand steps of training hold memory flat, with tiles, checkpoints and Hessian products") {
  std::vector<Tensor> weights{normal_tensor({3, 5}, 2, DType::float32), normal_tensor({5}, 3, DType::float32)};
  const Tensor rows = normal_tensor({20, 3}, 1, DType::float32);
  const auto loss = [&](const Vars& w) {
    const Var start = checkpoint([](const Vars& x) { return sin(x[0]); }, {w[0]});
    return tiled_sum([](const Vars& s, const Vars& r) { return sum(square(silu(linear(r[0], s[0], s[1])))); },
                     {start, w[1]}, {Var(rows)}, 4);
  };
  const std::int64_t before = cpu().memory().live;
  std::int64_t peak = 0;
  for (int step = 0; step < 1000; ++step) {
    {
      const std::vector<Tensor> gradients = value_and_grad(loss, weights).gradients;
      if (step % 10 == 0) hvp(loss, weights, gradients);
      for (std::size_t i = 0; i < weights.size(); ++i)
        weights[i] = (Var(weights[i]) - 1e-3 * Var(gradients[i])).value();
    }
    REQUIRE(cpu().memory().live == before);
    // Blocks go round in the pool: after the first round of everything there is no new peak.
    if (step == 10) peak = cpu().memory().peak;
  }
  // Threads report in batches of 1 MiB each.
  CHECK(cpu().memory().peak - peak <= 4 << 20);
}

TEST_CASE("tape: errors") {
  Tape tape;
  CHECK_THROWS_WITH_AS(tape.variable(Tensor::indices(std::vector<std::int64_t>{1})),
                       "an int64 tensor cannot be an independent variable", levda::Error);
  CHECK(tape.size() == 0);
  const Var x = tape.variable(Tensor::zeros({2}));
  CHECK_THROWS_WITH_AS(tape.rewind(2), "rewind to a mark that is not on the tape", levda::Error);
  CHECK_THROWS_WITH_AS(tape.rewind(-1), "rewind to a mark that is not on the tape", levda::Error);
  CHECK_THROWS_WITH_AS(x + Var(), "[add] an input has no value", levda::Error);
  CHECK(tape.size() == 1);
}
