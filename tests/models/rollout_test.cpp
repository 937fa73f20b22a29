#include "models/rollout.h"

#include <doctest/doctest.h>

#include <limits>

#include "autodiff/check.h"
#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "models/ldnet.h"
#include "tests/autodiff/compare.h"
#include "tests/autodiff/one_lane.h"

using namespace levda::autodiff;
using levda::models::Ldnet;
using levda::models::rollout;
using levda::models::rollout_by_steps;
using levda::nn::Hidden;
using levda::nn::Mlp;
using levda::nn::Parameters;
using levda::testing::normal_tensor;
using levda::testing::OneLane;
using levda::testing::same_bits;

namespace {

constexpr double dt = 0.2;

/// Rows, inputs and outputs of every product are 20 or more together: below that Eigen's bits depend on where the
/// result is in memory.
struct Sizes {
  std::int64_t steps = 6;
  std::int64_t rows = 4;
  std::int64_t p = 2;
  std::int64_t d = 3;
  std::int64_t width = 13;
  std::int64_t depth = 3;
  bool own_u = false;  // one per step
  Hidden layers = Hidden::residual_silu;
};

using Way = Var (*)(const Mlp&, Inputs, const Vars&, const Var&, double);

/// Dynamics with biases that are not zero, and a start. The inputs of a trajectory are the weights, the u's and s0.
struct Example {
  Sizes n;
  Mlp f;
  std::vector<Tensor> inputs;
  std::size_t weights;
  std::size_t parameters;  // u's

  explicit Example(const Sizes& sizes, DType dtype = DType::float64) : n(sizes) {
    Parameters list;
    Random random(3);
    f = Mlp::make(list, "f", n.p + n.d, n.width, n.depth, n.d, random, n.layers);
    for (std::size_t i = 0; i < list.size(); ++i)
      inputs.push_back(list[i].shape().rank() == 2 ? list[i].to(dtype) : normal_tensor(list[i].shape(), 50 + i, dtype));
    weights = inputs.size();
    parameters = n.own_u ? static_cast<std::size_t>(n.steps) : 1;
    for (std::size_t i = 0; i < parameters; ++i) inputs.push_back(normal_tensor({n.rows, n.p}, 70 + i, dtype));
    inputs.push_back(normal_tensor({n.rows, n.d}, 60, dtype));
  }
  Var run(Way way, const Vars& x) const {
    Vars u(x.begin() + static_cast<std::ptrdiff_t>(weights), x.end() - 1);
    u.resize(static_cast<std::size_t>(n.steps), u[0]);
    return way(f, Inputs(x).first(weights), u, x.back(), dt);
  }
  Function with(Way way) const {
    return [this, way](const Vars& x) { return run(way, x); };
  }
  Vars constants() const { return {inputs.begin(), inputs.end()}; }
  Tensor cotangent() const { return normal_tensor({n.steps, n.rows, n.d}, 90, inputs[0].dtype()); }
  std::vector<Tensor> gradient(Way way) const {
    Tape tape;
    const Vars x = tape.variables(inputs);
    std::vector<Tensor> values;
    for (const Var& g : vjp(run(way, x), cotangent(), x)) values.push_back(g.value());
    return values;
  }
};

std::vector<Sizes> many_sizes() {
  return {{},
          {.own_u = true},
          {.steps = 1},
          {.steps = 1, .own_u = true},
          {.rows = 1, .width = 17, .depth = 1},
          {.rows = 9, .p = 1, .d = 2, .width = 16, .depth = 4, .own_u = true},
          {.steps = 2, .rows = 0, .width = 17},
          {.steps = 2, .rows = 0, .width = 17, .own_u = true},
          {.layers = Hidden::relu},
          {.rows = 9, .width = 16, .depth = 4, .own_u = true, .layers = Hidden::relu},
          {.width = 17, .depth = 1, .layers = Hidden::relu}};
}

/// What the gradient would be if all that is multiplied on the way were positive. A computed gradient is off by at most
/// n u / (1 - n u) times that, n the roundings on the longest way from the last state's cotangent to it (Higham,
/// Accuracy and Stability of Numerical Algorithms, 2002, section 3.1), in whatever order sums are made.
std::vector<Tensor> magnitudes(const Example& e) {
  const Vars x = e.constants();
  const auto wide = [](const Var& y) { return Var(abs(y).value().to(DType::float64)); };
  const auto& [n, f, inputs, weights, parameters] = e;
  const auto u = [&](std::int64_t k) { return weights + (n.own_u ? static_cast<std::size_t>(k) : 0); };
  std::vector<Vars> ins(n.steps);  // of each layer
  std::vector<Vars> slopes(n.steps);
  Var s = x.back();
  for (std::int64_t k = 0; k < n.steps; ++k) {
    Var h = concat({x[u(k)], s}, -1);
    for (std::size_t j = 0; j < f.hidden.size(); ++j) {
      ins[k].push_back(wide(h));
      const Var z = linear(h, x[f.hidden[j].weight], x[f.hidden[j].bias]);
      const bool plain = n.layers == Hidden::relu;
      slopes[k].push_back(wide(plain ? greater(z, Var(Tensor::zeros({}, z.dtype()))) : silu_derivative(z)));
      h = plain ? relu(z) : j == 0 ? silu(z) : h + silu(z);
    }
    ins[k].push_back(wide(h));
    s = s + dt * linear(h, x[f.output.weight], x[f.output.bias]);
  }
  Vars sums;
  for (const Var& one : x) sums.emplace_back(Tensor::zeros(one.shape(), DType::float64));
  const auto add = [&](std::size_t i, const Var& term) { sums[i] = sums[i] + term; };
  const Var w = wide(Var(e.cotangent()));
  Var of_s(Tensor::zeros({n.rows, n.d}, DType::float64));
  for (std::int64_t k = n.steps - 1; k >= 0; --k) {
    of_s = of_s + reshape(slice(w, 0, k, 1), of_s.shape());
    const auto layer = [&](const levda::nn::Linear& at, const Var& in, const Var& z) {
      add(at.weight, matmul(in, z, true));
      add(at.bias, sum_to(z, x[at.bias].shape()));
      return matmul(z, wide(x[at.weight]), false, true);
    };
    Var of_h = layer(f.output, ins[k].back(), dt * of_s);
    for (std::size_t j = f.hidden.size(); j-- > 0;) {
      const Var through = layer(f.hidden[j], ins[k][j], of_h * slopes[k][j]);
      of_h = j == 0 || n.layers == Hidden::relu ? through : of_h + through;
    }
    add(u(k), slice(of_h, 1, 0, n.p));
    of_s = of_s + slice(of_h, 1, n.p, n.d);
  }
  add(sums.size() - 1, of_s);
  std::vector<Tensor> values;
  for (const Var& sum : sums) values.push_back(sum.value());
  return values;
}

/// Whether two gradients are the same to round-off.
void check_gradients(const Example& e, const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  const double unit = e.inputs[0].dtype() == DType::float32 ? 0x1p-24 : 0x1p-53;
  // Per step: products with all matrices, slope and residual in each layer, dt, two terms of the state. Then the sum.
  const std::int64_t step = e.n.d + e.n.width * (e.n.depth + 1) + 2 * e.n.depth + 3;
  const double n = static_cast<double>(e.n.steps * step + e.n.steps * e.n.rows + 2) * unit;
  const std::vector<Tensor> magnitude = magnitudes(e);
  REQUIRE(a.size() == magnitude.size());
  REQUIRE(b.size() == magnitude.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    CAPTURE(i);
    REQUIRE(a[i].shape() == magnitude[i].shape());
    REQUIRE(b[i].shape() == magnitude[i].shape());
    const std::vector<double> va = a[i].to_vector();
    const std::vector<double> vb = b[i].to_vector();
    const std::vector<double> size = magnitude[i].to_vector();
    int outside = 0;
    for (std::size_t k = 0; k < size.size(); ++k)
      if (!(std::abs(va[k] - vb[k]) <= 2 * n / (1 - 2 * n) * size[k])) ++outside;
    CHECK(outside == 0);
  }
}

}  // namespace

TEST_CASE("rollout: the states have the bits of the steps") {
  for (const DType dtype : {DType::float32, DType::float64})
    for (const Sizes& n : many_sizes()) {
      CAPTURE(n.rows);
      CAPTURE(n.depth);
      CAPTURE(n.steps);
      const Example e(n, dtype);
      const Var steps = e.run(rollout_by_steps, e.constants());
      const Var plain = e.run(rollout, e.constants());
      CHECK(steps.shape() == Shape{n.steps, n.rows, n.d});
      CHECK_FALSE(plain.tracked());
      CHECK(same_bits(plain.value(), steps.value()));
      Tape tape;
      const Var kept = e.run(rollout, tape.variables(e.inputs));
      CHECK(same_bits(kept.value(), steps.value()));
      CHECK(tape.size() == static_cast<std::int64_t>(e.inputs.size()) + 1);
    }
}

TEST_CASE("rollout: the gradient is that of the steps, to round-off") {
  for (const DType dtype : {DType::float32, DType::float64})
    for (const Sizes& n : many_sizes()) {
      CAPTURE(n.rows);
      CAPTURE(n.depth);
      CAPTURE(n.steps);
      const Example e(n, dtype);
      check_gradients(e, e.gradient(rollout), e.gradient(rollout_by_steps));
    }
}

TEST_CASE("rollout: adjoint and differences, and tangents with the bits of the steps") {
  for (const bool own_u : {false, true}) {
    const Example e({.own_u = own_u});
    const DerivativeCheck check = check_derivatives(e.with(rollout), e.inputs);
    INFO(check.text());
    CHECK(check.scale > 0);
    // Some 400 roundings on the way, of terms that cancel to a few digits less.
    CHECK(check.adjoint_error() <= 1e-12);
    CHECK(check.finite_difference_error() <= 1e-8);
    for (std::size_t i = 0; i < e.inputs.size(); ++i) {
      CAPTURE(i);
      const DerivativeCheck alone = check_derivatives(
          [&](const Vars& v) {
            Vars all = e.constants();
            all[i] = v[0];
            return e.run(rollout, all);
          },
          std::vector<Tensor>{e.inputs[i]});
      INFO(alone.text());
      CHECK(alone.scale > 0);
      CHECK(alone.adjoint_error() <= 1e-12);
      CHECK(alone.finite_difference_error() <= 1e-8);
    }
    Tape tape;
    const Vars x = tape.variables(e.inputs);
    Vars v;
    for (std::size_t i = 0; i < x.size(); ++i) v.emplace_back(normal_tensor(x[i].shape().prepend({2}), 7 + i));
    const Tensor expected = jvp(e.run(rollout_by_steps, x), x, v).value();
    CHECK(expected.shape() == Shape{2, e.n.steps, e.n.rows, e.n.d});
    CHECK(same_bits(jvp(e.run(rollout, x), x, v).value(), expected));
  }
}

TEST_CASE("rollout: sweeps that are recorded have the bits of the steps") {
  const Example e({.steps = 4, .own_u = true});
  std::vector<Tensor> v;
  for (std::size_t i = 0; i < e.inputs.size(); ++i) v.push_back(normal_tensor(e.inputs[i].shape(), 30 + i));
  const auto loss = [&](Way way) {
    return [&e, way](const Vars& x) { return sum(square(e.run(way, x))) + sum(x[0] * x[0]); };
  };
  const std::vector<Tensor> expected = hvp(loss(rollout_by_steps), e.inputs, v);
  const std::vector<Tensor> found = hvp(loss(rollout), e.inputs, v);
  const auto reverse_of_forward = [&](Way way) {
    Tape tape;
    const Vars x = tape.variables(e.inputs);
    const Var slope = jvp(loss(way)(x), x, Vars(v.begin(), v.end()), Graph::keep);
    return vjp(slope, Tensor::full({}, 1, DType::float64), x);
  };
  const Vars expected_reverse = reverse_of_forward(rollout_by_steps);
  const Vars found_reverse = reverse_of_forward(rollout);
  for (std::size_t i = 0; i < e.inputs.size(); ++i) {
    CAPTURE(i);
    CHECK(levda::testing::largest(expected[i].to_vector()) > 0);
    CHECK(same_bits(found[i], expected[i]));
    // The sweep over the tangents is not recorded: it is the operation's own. Some 500 roundings on the way, of terms
    // that cancel to a digit less.
    const double scale = levda::testing::largest(expected_reverse[i].value().to_vector());
    CHECK(levda::testing::largest_difference(found_reverse[i].value(), expected_reverse[i].value()) <=
          3000 * 0x1p-53 * scale);
  }
}

TEST_CASE("rollout: part of the gradient has the bits of the whole") {
  for (const bool own_u : {false, true}) {
    const Example e({.own_u = own_u});
    const std::vector<Tensor> whole = e.gradient(rollout);
    const std::size_t count = e.inputs.size();
    std::vector<std::vector<std::size_t>> parts;  // each alone, all weights, all u, u and s0
    for (std::size_t i = 0; i < count; ++i) parts.push_back({i});
    const auto range = [&](std::size_t begin, std::size_t end) {
      std::vector<std::size_t> some;
      for (std::size_t i = begin; i < end; ++i) some.push_back(i);
      parts.push_back(some);
    };
    range(0, e.weights);
    range(e.weights, e.weights + e.parameters);
    range(e.weights, count);
    for (const auto& part : parts) {
      CAPTURE(part.front());
      CAPTURE(part.size());
      Tape tape;
      Vars x = e.constants();
      Vars variables;
      for (const std::size_t i : part) variables.push_back(x[i] = tape.variable(e.inputs[i]));
      const Vars g = vjp(e.run(rollout, x), e.cotangent(), variables);
      for (std::size_t k = 0; k < part.size(); ++k) CHECK(same_bits(g[k].value(), whole[part[k]]));
    }
  }
}

TEST_CASE("rollout: a variable in two places, and elsewhere") {
  // p = d, so that u can be s0, and layers 1 and 2 have weights of one shape.
  const Example e({.p = 3, .d = 3, .depth = 3});
  const std::size_t one = e.f.hidden[1].weight;
  const std::size_t two = e.f.hidden[2].weight;
  const std::size_t u = e.weights;
  std::vector<Tensor> inputs = e.inputs;
  inputs[two] = inputs[one];
  inputs.back() = inputs[u];
  const auto gradient = [&](bool shared) {
    return value_and_grad(
        [&, shared](const Vars& x) {
          Vars all = x;
          if (shared) all[two] = all[one];
          if (shared) all.back() = all[u];
          return sum(square(e.run(rollout, all))) + 3 * sum(x[0]);
        },
        inputs);
  };
  const ValueAndGrad apart = gradient(false);
  const ValueAndGrad shared = gradient(true);
  CHECK(shared.value == apart.value);
  const auto both = [&](std::size_t i, std::size_t k) {
    return (Var(apart.gradients[i]) + Var(apart.gradients[k])).value();
  };
  CHECK(same_bits(shared.gradients[one], both(one, two)));
  CHECK(same_bits(shared.gradients[u], both(u, inputs.size() - 1)));
  CHECK(same_bits(shared.gradients[0], apart.gradients[0]));
  const ValueAndGrad alone = value_and_grad([&](const Vars& x) { return sum(square(e.run(rollout, x))); }, inputs);
  CHECK(same_bits((Var(alone.gradients[0]) + 3.0).value(), apart.gradients[0]));

  // u comes back after another one.
  Tape tape;
  const Var a = tape.variable(normal_tensor({4, 3}, 1));
  const Var b = tape.variable(normal_tensor({4, 3}, 2));
  const Vars w(e.inputs.begin(), e.inputs.begin() + static_cast<std::ptrdiff_t>(e.weights));
  const Vars own = tape.variables(std::vector<Tensor>{a.value(), b.value(), b.value(), a.value()});
  const Tensor cotangent = normal_tensor({4, 4, 3}, 3);
  const Vars together = vjp(rollout(e.f, w, {a, b, b, a}, Var(inputs[u]), dt), cotangent, {a, b});
  const Vars each = vjp(rollout(e.f, w, own, Var(inputs[u]), dt), cotangent, own);
  CHECK(same_bits(together[0].value(), (each[0] + each[3]).value()));
  CHECK(same_bits(together[1].value(), (each[1] + each[2]).value()));
}

TEST_CASE("rollout: parameters that are views of one block are their own") {
  const Example e({.steps = 3, .rows = 1, .width = 17});
  const Tensor block = normal_tensor({3, 2}, 4);
  Vars u;
  for (std::int64_t k = 0; k < 3; ++k) u.emplace_back(block.rows(k, k + 1));
  const Vars x = e.constants();
  CHECK(same_bits(rollout(e.f, x, u, x.back(), dt).value(), rollout_by_steps(e.f, x, u, x.back(), dt).value()));
}

TEST_CASE("rollout: under guard the step's operation is named, and derivatives are those of the steps") {
  const Example e({});
  const auto loss = [&](Way way) { return [&e, way](const Vars& x) { return sum(square(e.run(way, x))); }; };
  const ValueAndGrad guarded = value_and_grad(loss(rollout), e.inputs, true);
  const ValueAndGrad steps = value_and_grad(loss(rollout_by_steps), e.inputs, true);
  CHECK(guarded.value == steps.value);
  for (std::size_t i = 0; i < e.inputs.size(); ++i) CHECK(same_bits(guarded.gradients[i], steps.gradients[i]));

  std::vector<Tensor> broken = e.inputs;
  broken[e.f.output.bias] = Tensor::full({e.n.d}, std::numeric_limits<double>::infinity(), DType::float64);
  std::string message;
  try {
    value_and_grad(loss(rollout), broken, true);
  } catch (const levda::NonFiniteError& error) {
    message = error.what();
  }
  CHECK(message.starts_with("[linear] "));
}

TEST_CASE("rollout: errors") {
  const Example e({});
  const Vars x = e.constants();
  const Var u = x[e.weights];
  const Var s0 = x.back();
  const auto run = [&](const Vars& w, const Vars& own, const Var& s) { return rollout(e.f, w, own, s, dt); };
  CHECK_THROWS_WITH_AS(run(x, {}, s0), "[rollout] no steps", levda::Error);
  const Var fewer(normal_tensor({3, 2}, 1));
  CHECK_THROWS_WITH_AS(run(x, {u, fewer}, s0), "[rollout] parameters (3, 2) for a state (4, 3)", levda::Error);
  CHECK_THROWS_WITH_AS(run(x, {fewer}, s0), "[rollout] parameters (3, 2) for a state (4, 3)", levda::Error);
  Vars other = x;
  other[e.f.hidden[1].weight] = normal_tensor({5, 4}, 1);
  CHECK_THROWS_WITH_AS(run(other, {u}, s0), "[rollout] weight (5, 4), bias (13) for 13 inputs and 13 outputs",
                       levda::Error);
  CHECK_THROWS_WITH_AS(run(x, {u}, Var(normal_tensor({4, 2}, 1))),
                       "[rollout] weight (5, 13), bias (13) for 4 inputs and 13 outputs", levda::Error);
}

TEST_CASE("rollout: what it holds, and one product per weight") {
  OneLane device;
  const Example e({});
  std::vector<Tensor> inputs;
  for (const Tensor& input : e.inputs) inputs.push_back(input.to(device));
  const std::int64_t before = device.bytes;
  const std::int64_t states = e.n.steps * e.n.rows * e.n.d * 8;
  const std::int64_t layers = e.n.depth + 1;
  {
    const Var y = e.run(rollout, {inputs.begin(), inputs.end()});
    CHECK(device.bytes - before == states);
  }
  Tape tape;
  const Vars x = tape.variables(inputs);
  const std::int64_t variables = tape.bytes();
  device.matmuls = device.starts = 0;
  const Var y = e.run(rollout, x);
  CHECK(device.matmuls == e.n.steps * layers);
  CHECK(device.starts == e.n.steps * (3 * e.n.depth + 3) + 1);
  const std::int64_t saved = e.n.steps * e.n.rows * (e.n.p + e.n.d + 2 * e.n.depth * e.n.width) * 8;
  CHECK(device.bytes - before == states + saved);
  CHECK(tape.bytes() - variables >= states + saved);
  CHECK(tape.bytes() - variables <= states + saved + 4096);  // and the bookkeeping of one node
  const Var w(e.cotangent().to(device));
  device.matmuls = device.starts = 0;
  const Vars gradient = vjp(y, w, x);
  // Cotangents in every step, then a product for each weight and one for u.
  CHECK(device.matmuls == e.n.steps * layers + layers + 1);
  // Then also a sum for each bias and one for u, dt in the output's two; at first the output's weight times dt, and the
  // states' cotangents, which are added to in all steps but the first.
  CHECK(device.starts == e.n.steps * (3 * e.n.depth + 2) - 1 + 2 * layers + 2 + 2 + 2);
  const std::vector<Tensor> expected = e.gradient(rollout);
  for (std::size_t i = 0; i < inputs.size(); ++i) CHECK(same_bits(gradient[i].value().to(cpu()), expected[i]));
}

TEST_CASE(
    "trajectory: the steps where there are many lanes, the operation where there is one, with nothing read back") {
  const Ldnet net({.latent = 3, .parameters = 2, .latent_dt = 0.3, .dynamics_depth = 2, .dynamics_width = 16}, 5);
  const std::vector<Tensor> parameters{normal_tensor({4, 2}, 1, DType::float32),
                                       normal_tensor({4, 2}, 2, DType::float32)};
  const Tensor s0 = normal_tensor({4, 3}, 3, DType::float32);
  const Tensor cotangent = normal_tensor({2, 4, 3}, 4, DType::float32);

  Tape tape;
  const Vars w = net.parameters().on(tape);
  Vars trainable;
  for (const Var& weight : w)
    if (weight.tracked()) trainable.push_back(weight);
  const Vars u(parameters.begin(), parameters.end());
  const Var by_steps = net.trajectory(w, u, Var(s0));
  Vars states = net.rollout(w, u, Var(s0));
  states.erase(states.begin());
  const Var joined = concat(states, 0);
  CHECK(same_bits(by_steps.value(), joined.value().reshaped({2, 4, 3})));
  const Vars g = vjp(by_steps, cotangent, trainable);
  const Vars g_joined = vjp(joined, cotangent.reshaped({8, 3}), trainable);
  for (std::size_t i = 0; i < trainable.size(); ++i) CHECK(same_bits(g[i].value(), g_joined[i].value()));

  OneLane device;
  const auto there = [&](const std::vector<Tensor>& list) {
    std::vector<Tensor> moved;
    for (const Tensor& x : list) moved.push_back(x.to(device));
    return moved;
  };
  std::vector<Tensor> weights;
  for (const Var& weight : w) weights.push_back(weight.value());
  weights = there(weights);
  std::vector<Tensor> others = there({parameters[0], parameters[1], s0, cotangent});
  Vars gradient;
  Tensor value;
  const auto step = [&] {
    Tape own;
    const Vars x = own.variables(weights);
    const Var y = net.trajectory(x, {others[0], others[1]}, Var(others[2]));
    CHECK(std::string(own.node(y.id()).op->name) == "rollout");
    value = y.value();
    gradient = vjp(y, Var(others[3]), x);
  };
  device.downloads = 0;
  const auto recording = device.record(step);
  recording->run();
  CHECK(device.downloads == 0);
  CHECK(same_bits(value.to(cpu()), by_steps.value()));
  // Other numbers in the same places.
  const std::vector<float> moved = normal_tensor({4, 3}, 8, DType::float32).to_floats();
  others[2].set(std::span<const float>(moved));
  recording->run();
  const Var start(Tensor::from(std::span<const float>(moved), {4, 3}));
  CHECK(same_bits(value.to(cpu()), net.trajectory(net.parameters().constants(), u, start).value()));
}
