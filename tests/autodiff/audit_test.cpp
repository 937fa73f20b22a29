#include "autodiff/audit.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "autodiff/tiled_sum.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using levda::testing::normal_tensor;

namespace {

Tensor list(const std::vector<double>& values) {
  return Tensor::from(std::span<const double>(values), {static_cast<std::int64_t>(values.size())});
}

/// The message of the NonFiniteError that f throws; empty when it throws none.
template <typename F>
std::string failure(const F& f) {
  try {
    f();
  } catch (const levda::NonFiniteError& error) {
    return error.what();
  }
  return {};
}

const double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("guard: the first operation that makes a NaN throws, with shapes and ranges") {
  Tape tape;
  tape.guard(true);
  const Var x = tape.variable(list({1, -1, 1}));
  CHECK(failure([&] { return sum(exp(log(x))); }) ==
        "[log] made 1 of 3 numbers NaN or infinite at node 1; result (3) 0 to 0, 1 not "
        "finite; from (3) -1 to 1");
  // It is an Error; finite values pass.
  CHECK_THROWS_AS(log(x), levda::Error);
  CHECK(failure([&] { return exp(x); }).empty());
  // All infinite; the constant among the inputs is shown too.
  const Var zero(list({0, 0, 0}));
  CHECK(failure([&] { return x / zero; }) ==
        "[div] made 3 of 3 numbers NaN or infinite at node 2; result (3) nothing finite, 3 not finite; from (3) -1 to "
        "1; from "
        "(3) 0 to 0");
  // A variable that is not finite shows with the operation that meets it.
  const Var bad = tape.variable(list({1, infinity}));
  CHECK(failure([&] { return 2 * bad; }) ==
        "[scale] made 1 of 2 numbers NaN or infinite at node 3; result (2) 2 to 2, 1 not finite; from (2) 1 to 1, 1 "
        "not finite");
}

TEST_CASE("guard: off, and for constants, nothing is checked") {
  Tape tape;
  const Var x = tape.variable(list({-1}));
  CHECK_FALSE(tape.guarded());
  CHECK(std::isnan(log(x).value().item()));
  tape.guard(true);
  CHECK(std::isnan(log(Var(x.value())).value().item()));
  tape.guard(false);
  CHECK(std::isnan(log(x).value().item()));
}

TEST_CASE("guard: sweeps name the operation whose derivative fails") {
  Tape tape;
  tape.guard(true);
  const Var x = tape.variable(list({4, 0}));
  const Var y = sum(sqrt(x));
  const Tensor one = Tensor::full({}, 1, DType::float64);
  const Tensor v = list({1, 1});
  CHECK(failure([&] { return vjp(y, one, {x}); }) ==
        "[sqrt] vjp made 1 of 2 numbers NaN or infinite at node 1; result (2) 0.25 to 0.25, 1 not finite; from (2) 0 "
        "to 4; from "
        "(2) 1 to 1");
  CHECK(failure([&] { return jvp(y, {x}, {v}); }) ==
        "[sqrt] jvp made 1 of 2 numbers NaN or infinite at node 1; result (2) 0.25 to 0.25, 1 not finite; from (2) 0 "
        "to 4; from "
        "(2) 1 to 1");
  // A recorded sweep is made of operations itself. It names the one whose rule it is, then the one in the rule.
  CHECK(failure([&] { return vjp(y, one, {x}, Graph::keep); }).starts_with("[sqrt] vjp of node 1: [div] made 1 of 2"));
  CHECK(failure([&] { return jvp(y, {x}, {v}, Graph::keep); }).starts_with("[sqrt] jvp of node 1: [div] made 1 of 2"));
  // Cotangents that are finite alone and overflow together.
  const Var z = tape.variable(list({0.5}));
  const Var large = sum(1e308 * z + 1e308 * z);
  CHECK(failure([&] { return vjp(large, one, {z}); }).starts_with("[scale] vjp made 1 of 1"));
}

TEST_CASE("guard: inside tiles, checkpoints and value_and_grad") {
  const auto f = [](const Vars& s, const Vars& r) { return sum(log(s[0] * r[0])); };
  const std::vector<Tensor> good{list({1}), list({1, 1, 1, 4, 1})};
  const std::vector<Tensor> bad{list({1}), list({1, 1, 1, -4, 1})};
  const auto tiled = [&](const Vars& x) { return tiled_sum(f, {x[0]}, {x[1]}, 2); };
  CHECK(failure([&] { return value_and_grad(tiled, good, true); }).empty());
  CHECK(failure([&] { return value_and_grad(tiled, bad); }).empty());
  CHECK(failure([&] { return value_and_grad(tiled, bad, true); }) ==
        "tile 1 (rows 2 to 3): [log] made 1 of 2 numbers NaN or infinite at node 3; result (2) 0 to 0, 1 not finite; "
        "from (2) -4 to 1");
  const auto again = [&](const Vars& x) { return checkpoint([&](const Vars& z) { return f({z[0]}, {z[1]}); }, x); };
  CHECK(failure([&] { return value_and_grad(again, good, true); }).empty());
  CHECK(failure([&] { return value_and_grad(again, bad, true); }).starts_with("[log] made 1 of 5"));
  // A derivative within the rerun.
  const std::vector<Tensor> zero{list({0})};
  const auto root = [](const Vars& x) { return checkpoint([](const Vars& z) { return sum(sqrt(z[0])); }, x); };
  CHECK(failure([&] {
          return value_and_grad(root, zero, true);
        }).starts_with("[checkpoint] vjp of node 1: [sqrt] vjp made 1 of 1"));
  // The name is that of the function which was called, not of the operation behind it.
  CHECK(failure([&] {
          return value_and_grad([](const Vars& x) { return mean(x[0], {0}); }, {Tensor::zeros({0})}, true);
        }).starts_with("[mean] made 1 of 1"));
  CHECK(failure([&] {
          return value_and_grad([](const Vars& x) { return dot(x[0], x[0]); }, {list({1e200})}, true);
        }).starts_with("[dot] made 1 of 1"));
}

TEST_CASE("audit: nodes and bytes by operation; views cost nothing, constants count once") {
  Tape tape;
  CHECK(audit(tape).nodes == 0);
  CHECK(tape.bytes() == 0);
  const Var x = tape.variable(normal_tensor({10, 4}, 1));
  const Var c(normal_tensor({4}, 2));
  const Var y = silu(reshape(x * c, {40})) + sum(x * c);
  const TapeUse use = audit(tape);
  CHECK(use.nodes == 7);
  CHECK(use.nodes == tape.size());
  CHECK(use.bytes == tape.bytes());
  const auto of = [&](const std::string& name) {
    for (const OperationUse& one : use.operations)
      if (one.operation == name) return one;
    return OperationUse{};
  };
  // The bookkeeping of a node, and the blocks of memory that begin with it.
  const auto node = [](std::int64_t inputs) {
    return static_cast<std::int64_t>(sizeof(Node)) + inputs * static_cast<std::int64_t>(sizeof(Var));
  };
  const auto block = [](std::size_t bytes) {
    return static_cast<std::int64_t>(cpu().footprint(bytes) + sizeof(Storage) + 16);
  };
  CHECK(cpu().footprint(320) == 320);
  CHECK(cpu().footprint(8) == 64);
  CHECK(of("variable").nodes == 1);
  CHECK(of("variable").bytes == node(0) + block(320));
  CHECK(of("mul").nodes == 2);
  CHECK(of("mul").bytes == 2 * node(2) + 2 * block(320) + block(32));
  CHECK(of("reshape").nodes == 1);
  CHECK(of("reshape").bytes == node(1));
  CHECK(of("silu").bytes == node(1) + 2 * block(320));  // and its slope
  CHECK(of("sum").bytes == node(1) + block(8));
  CHECK(of("add").bytes == node(2) + block(320));
  CHECK(use.operations[0].bytes >= use.operations[1].bytes);
  CHECK(use.memory.live >= 6 * 320 + 32 + 8);
  CHECK(use.memory.peak >= use.memory.live);
  CHECK(use.text().find("reshape") != std::string::npos);
  CHECK(y.tracked());
  tape.rewind(1);
  CHECK(tape.bytes() == node(0) + block(320));
}

TEST_CASE("audit: the graph as JSON and in Graphviz' language") {
  Tape tape;
  const Var x = tape.variable(Tensor::full({2}, 1, DType::float32));
  const Var y = x * exp(x);
  CHECK(y.id() == 2);
  // The bytes of a node: its bookkeeping, that of its inputs, and one block.
  const auto with_bytes = [](std::string text) {
    for (std::size_t inputs = 0; inputs < 3; ++inputs) {
      const std::string mark = "BYTES" + std::to_string(inputs);
      const std::size_t bytes = sizeof(Node) + inputs * sizeof(Var) + 64 + sizeof(Storage) + 16;
      text.replace(text.find(mark), mark.size(), std::to_string(bytes));
    }
    return text;
  };
  CHECK(to_json(tape) == with_bytes(R"({
  "nodes": [
    {"id": 0, "operation": "variable", "shape": [2], "dtype": "float32", "bytes": BYTES0},
    {"id": 1, "operation": "exp", "shape": [2], "dtype": "float32", "bytes": BYTES1},
    {"id": 2, "operation": "mul", "shape": [2], "dtype": "float32", "bytes": BYTES2}
  ],
  "edges": [[0, 1], [0, 2], [1, 2]]
}
)"));
  CHECK(to_dot(tape) == with_bytes(R"(digraph tape {
  node [shape=box];
  n0 [label="0: variable\nfloat32 (2)\nBYTES0 bytes"];
  n1 [label="1: exp\nfloat32 (2)\nBYTES1 bytes"];
  n2 [label="2: mul\nfloat32 (2)\nBYTES2 bytes"];
  n0 -> n1;
  n0 -> n2;
  n1 -> n2;
}
)"));
}

TEST_CASE("audit: the first value that is not finite") {
  Tape tape;
  const Var x = tape.variable(list({1, 0}));
  const Var y = log(x);
  const Var z = y * y;
  const std::optional<NonFinite> first = first_nonfinite(tape);
  REQUIRE(first.has_value());
  CHECK(first->node == y.id());
  CHECK(first->text ==
        "[log] made 1 of 2 numbers NaN or infinite at node 1; result (2) 0 to 0, 1 not finite; "
        "from (2) 0 to 1");
  CHECK(z.tracked());
  tape.rewind(1);
  CHECK_FALSE(first_nonfinite(tape).has_value());
  const Var bad = tape.variable(list({infinity}));
  CHECK(first_nonfinite(tape)->node == bad.id());
}
