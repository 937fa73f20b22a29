/// Every way to use a function wrongly ends in levda::Error: no signal, no wrong number.

#include <doctest/doctest.h>
#include <oneapi/tbb/parallel_for.h>

#include <atomic>
#include <cstdlib>
#include <limits>
#include <memory>
#include <optional>

#include "autodiff/audit.h"
#include "autodiff/check.h"
#include "autodiff/custom_op.h"
#include "autodiff/error.h"
#include "autodiff/tiled_sum.h"
#include "tests/autodiff/compare.h"
#include "tests/autodiff/one_lane.h"
#include "tests/autodiff/operation_cases.h"

using levda::testing::Case;
using levda::testing::cases;
using levda::testing::normal_tensor;
using levda::testing::same_bits;
using namespace levda::autodiff;

namespace {

template <typename F>
std::string error_of(const F& f) {
  try {
    f();
  } catch (const levda::Error& error) {
    return error.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

Vars constants(const Case& c, DType dtype = DType::float64) {
  Vars x;
  for (std::size_t i = 0; i < c.shapes.size(); ++i)
    x.emplace_back((Var(normal_tensor(c.shapes[i], i)) + (3.0 + static_cast<double>(i))).value().to(dtype));
  return x;
}

/// A variable whose tape is gone.
Var dead(const Tensor& value) {
  Tape tape;
  return tape.variable(value);
}

const Tensor small = Tensor::full({3}, 0.5, DType::float64);
const Tensor one = Tensor::full({}, 1, DType::float64);

}  // namespace

TEST_CASE("misuse: every operation refuses inputs without value, of other types, devices and tapes") {
  for (const Case& c : cases()) {
    CAPTURE(c.op);
    const Vars good = constants(c);
    Tape tape;
    for (std::size_t i = 0; i < good.size(); ++i) {
      const auto with = [&](const Var& input) {
        Vars x = good;
        x[i] = input;
        return error_of([&] { (void)c.f(x); });
      };
      CHECK(with(Var()) != "no error");
      CHECK(contains(with(dead(good[i].value())), "no longer exists"));
      const std::int64_t mark = tape.size();
      const Var gone = tape.variable(good[i].value());
      tape.rewind(mark);
      CHECK(contains(with(gone), "a rewind removed"));
      (void)tape.variable(good[i].value());  // another node at the same place
      CHECK(contains(with(gone), "a rewind removed"));
      std::vector<std::int64_t> integers(static_cast<std::size_t>(good[i].shape().size()), 1);
      CHECK(contains(with(Tensor::indices(integers).reshaped(good[i].shape())), "int64"));
      if (good.size() == 1) continue;
      CHECK(contains(with(good[i].value().to(DType::float32)), "types"));
      CHECK(contains(with(good[i].value().to(levda::testing::one_lane())), "devices"));
    }
    if (good.size() == 1) continue;
    Tape other;
    Vars x = good;
    x[0] = tape.variable(good[0].value());
    x[1] = other.variable(good[1].value());
    CHECK(contains(error_of([&] { (void)c.f(x); }), "two tapes"));
  }
}

TEST_CASE("misuse: a variable of another tape, or of a tape at the same address, is not taken for a node of this one") {
  std::optional<Tape> tape(std::in_place);
  const Var old = tape->variable(small);
  const Var y = sum(square(old));
  tape.reset();
  tape.emplace();  // at the same address
  const Var x = tape->variable(normal_tensor({3}, 1));
  const Var z = sum(x * x * x);
  CHECK(error_of([&] { (void)(old + x); }) == "[add] a variable of a tape that no longer exists");
  CHECK(error_of([&] { (void)vjp(y, one, {old}); }) == "[vjp] a variable of a tape that no longer exists");
  CHECK(error_of([&] { (void)vjp(z, one, {old}); }) == "[vjp] a variable of a tape that no longer exists");
  CHECK(error_of([&] { (void)jvp(z, {x}, {old}); }) == "[jvp] a variable of a tape that no longer exists");
  CHECK(error_of([&] { (void)vjp(z, y, {x}); }) == "[vjp] a variable of a tape that no longer exists");
  CHECK(error_of([&] { (void)old.tape(); }) == "[tape] a variable of a tape that no longer exists");
  CHECK(old.tracked());
  CHECK(same_bits(old.detach().value(), small));
  tape->rewind(1);
  CHECK(error_of([&] { (void)vjp(z, one, {x}); }) == "[vjp] a variable that a rewind removed from its tape");
  (void)sum(x);  // takes the place of z's node
  CHECK(error_of([&] { (void)exp(z); }) == "[exp] a variable that a rewind removed from its tape");
}

TEST_CASE("misuse: functions that run on tapes of their own refuse variables that they captured") {
  Tape tape;
  const Var captured = tape.variable(small);
  const Var sum_of_captured = sum(captured);
  const Var rows = tape.variable(normal_tensor({50, 3}, 1));
  const auto tile = [&](const Vars&, const Vars& r) { return sum(captured) + sum(r[0]); };
  const auto alone = [&](const Vars&, const Vars&) { return sum(square(captured)); };
  const std::string what = "a variable that is not among the inputs of the function of tiled_sum";
  CHECK(contains(error_of([&] { (void)tiled_sum(tile, {}, {rows}, 4); }), what));
  CHECK(contains(error_of([&] { (void)tiled_sum(alone, {}, {rows}, 4); }), what));
  CHECK(contains(error_of([&] { (void)tiled_sum(alone, {}, {Var(rows.value())}, 4); }), what));
  CHECK(contains(error_of([&] { (void)tiled_sum(alone, {}, {rows}, 1000); }), what));
  const auto f = [&](const Vars& x) { return sum(x[0]) + sum(square(captured)); };
  CHECK(contains(error_of([&] { (void)value_and_grad(f, {small}); }), "two tapes"));
  CHECK(contains(error_of([&] { (void)hvp(f, {small}, {small}); }), "two tapes"));
  CHECK(contains(error_of([&] { (void)check_derivatives(f, {small}); }), "two tapes"));
  CHECK(contains(error_of([&] { (void)checkpoint(f, {Var(small)}); }), "[checkpoint]"));
  const auto returned = [&](const Vars&, const Vars&) { return sum_of_captured; };
  CHECK(contains(error_of([&] { (void)tiled_sum(returned, {}, {Var(rows.value())}, 4); }),
                 "[tiled_sum] a variable that"));
  const auto swept = [&](const Vars&, const Vars&) { return sum(vjp(sum_of_captured, one, {captured})[0]); };
  CHECK(contains(error_of([&] { (void)tiled_sum(swept, {}, {Var(rows.value())}, 4); }), "[vjp] a variable that"));
  const auto rewound = [&](const Vars&, const Vars& r) {
    tape.rewind(1);
    return sum(r[0]);
  };
  CHECK(contains(error_of([&] { (void)tiled_sum(rewound, {}, {rows}, 4); }), "[rewind] a variable that"));
  CHECK(value_and_grad([&](const Vars&) { return Var(one); }, {small}).gradients[0].to_vector()[0] == 0);
  CHECK(error_of([&] { (void)value_and_grad([&](const Vars&) { return sum_of_captured; }, {small}); }) != "no error");
  // Tapes that begin inside are welcome, and so are captured constants.
  const Var constant(small);
  const auto nested = [&](const Vars&, const Vars& r) {
    const ValueAndGrad at = value_and_grad([&](const Vars& x) { return dot(x[0], constant); }, {small});
    return sum(r[0]) * at.value;
  };
  const Var y = tiled_sum(nested, {}, {rows}, 4);
  CHECK(std::abs(vjp(y, one, {rows})[0].value().to_vector()[7] - 0.75) <= 1e-15);
}

TEST_CASE("misuse: cotangents and tangents have the type, device and shape of what they belong to") {
  Tape tape;
  const Var x = tape.variable(small);
  const Var y = square(x);
  CHECK(contains(error_of([&] { (void)vjp(y, small.to(DType::float32), {x}); }), "[vjp] the cotangent has float32"));
  CHECK(contains(error_of([&] { (void)jvp(y, {x}, {small.to(DType::float32)}); }), "[jvp] a tangent has float32"));
  CHECK(
      contains(error_of([&] { (void)vjp(y, small.to(levda::testing::one_lane()), {x}); }), "[vjp] the cotangent has"));
  CHECK(contains(error_of([&] { (void)jvp(y, {x}, {small.to(levda::testing::one_lane())}); }), "[jvp] a tangent has"));
  CHECK(contains(error_of([&] { (void)vjp(y, Var(), {x}); }), "[vjp] the cotangent has no value"));
  CHECK(contains(error_of([&] { (void)vjp(Var(), small, {x}); }), "[vjp] a result has no value"));
  CHECK(contains(error_of([&] { (void)vjp(y, small, {Var()}); }), "[vjp] a variable has no value"));
  const Tensor index = Tensor::indices(std::vector<std::int64_t>{0, 2}, levda::testing::one_lane());
  CHECK(contains(error_of([&] { (void)gather(x, 0, index); }), "[gather] the index is on device"));
  CHECK(
      contains(error_of([&] { (void)scatter_add(slice(x, 0, 0, 2), 0, index, 3); }), "[scatter_add] the index is on"));
}

TEST_CASE("misuse: what a sweep returns shares no storage, and inputs that were changed are noticed") {
  Tape tape;
  const Tensor a = small.clone();
  const Tensor b = small.clone();
  const Tensor w = small.clone();
  const Var x = tape.variable(a);
  const Var z = tape.variable(b);
  const Var y = x + z;
  const Vars g = vjp(y, w, {x, z, x});
  CHECK(g[0].value().storage() != g[1].value().storage());
  CHECK(g[0].value().storage() != g[2].value().storage());
  for (const Var& one_of : g) CHECK(one_of.value().storage() != w.storage());
  CHECK(jvp(x + 0.0, {x}, {w}).value().storage() != w.storage());
  CHECK(jvp(x, {x}, {w}).value().storage() != w.storage());
  CHECK(hvp([](const Vars& v) { return 0.5 * sum(square(v[0])); }, {a}, {w})[0].storage() != w.storage());

  const Var product = sum(x * z);
  Tensor changed = a;
  changed.set(std::span<const double>(std::vector<double>{1, 2, 3}));
  CHECK(error_of([&] { (void)vjp(product, one, {x}); }) ==
        "[mul] an input or the result was changed after node 4 was recorded");
  const Var c = tape.variable(small.clone());
  const Var constant(small.clone());
  const Var again = sum(c * constant);
  Tensor written = constant.value();
  written.data<double>()[1] = 7;
  CHECK(contains(error_of([&] { (void)jvp(again, {c}, {small}); }), "[mul] an input or the result was changed"));
  std::vector<std::int64_t> first{0, 1};
  Tensor index = Tensor::indices(first);
  const Var picked = sum(gather(c, 0, index));
  index.set(std::span<const std::int64_t>(first));
  CHECK(contains(error_of([&] { (void)vjp(picked, one, {c}); }), "[gather] an input or the result was changed"));
}

TEST_CASE("misuse: threads that wait inside a tile take over no task with an older tape") {
  std::vector<std::unique_ptr<Tape>> tapes;
  for (int i = 0; i < 200; ++i) tapes.push_back(std::make_unique<Tape>());
  const auto inner = [](const Vars&, const Vars& r) { return sum(square(r[0])); };
  const auto outer = [&](const Vars&, const Vars& r) { return tiled_sum(inner, {}, {r[0]}, 1); };
  std::atomic<int> wrong = 0;
  oneapi::tbb::parallel_for(0, 200, [&](int i) {
    try {
      const Var x = tapes[i]->variable(normal_tensor({64, 3}, static_cast<std::uint64_t>(i)));
      const Tensor g = vjp(tiled_sum(outer, {}, {x}, 8), one, {x})[0].value();
      if (!same_bits(g, (2 * Var(x.value())).value())) ++wrong;
    } catch (const levda::Error&) {
      ++wrong;
    }
  });
  CHECK(wrong == 0);
}

TEST_CASE("misuse: a tape that is rewound, or a constant that is changed, below a computation that runs again") {
  Tape tape;
  const Var x = tape.variable(small);
  const Function rewinds = custom_op({.name = "mine",
                                      .value =
                                          [&](const Vars& in) {
                                            tape.rewind(1);
                                            return square(in[0]);
                                          },
                                      .vjp =
                                          [&](const Call& n, int, const Var& w) {
                                            tape.rewind(1);
                                            return 2 * n.inputs[0] * w;
                                          }});
  CHECK(error_of([&] { (void)rewinds({2 * x}); }) == "[mine] a variable that a rewind removed from its tape");
  const Var y = sum(rewinds({x}));
  CHECK(error_of([&] { (void)vjp(y, one, {x}); }) == "rewind while a sweep visits the tape");
  Tensor factor = Tensor::full({}, 3, DType::float64);
  const Var z = checkpoint([factor](const Vars& in) { return sum(in[0]) * Var(factor); }, {x});
  factor.set(std::span<const double>(std::vector<double>{1000}));
  CHECK(contains(error_of([&] { (void)vjp(z, one, {x}); }), "[checkpoint] the function does not return again"));
  CHECK(contains(error_of([&] { (void)jvp(z, {x}, {small}); }), "[checkpoint] the function does not return again"));
  CHECK(1 / scale(Var(Tensor::full({}, -0.0)), 2).value().item() < 0);  // a factor keeps the sign of a zero
}

TEST_CASE("misuse: a user's rule that returns the wrong thing is named") {
  const auto op = [](auto vjp_rule, auto jvp_rule) {
    return custom_op(
        {.name = "mine", .value = [](const Vars& x) { return square(x[0]); }, .vjp = vjp_rule, .jvp = jvp_rule});
  };
  const auto good_vjp = [](const Call& n, int, const Var& w) { return 2 * n.inputs[0] * w; };
  const auto good_jvp = [](const Call& n, const Vars& v) { return 2 * n.inputs[0] * v[0]; };
  Tape tape;
  const Var x = tape.variable(small);
  const auto reverse = [&](const Function& f) { return error_of([&] { (void)vjp(f({x}), small, {x}); }); };
  const auto forward = [&](const Function& f, const Tensor& v) {
    return error_of([&] { (void)jvp(f({x}), {x}, {v}); });
  };
  CHECK(reverse(op(good_vjp, good_jvp)) == "no error");
  CHECK(reverse(op([](const Call&, int, const Var& w) { return sum(w); }, good_jvp)) ==
        "[mine] vjp of input 0 returned shape (), not (3)");
  const Tensor directions = normal_tensor({3, 3}, 1);  // as many directions as elements
  CHECK(forward(op(good_vjp, good_jvp), directions) == "no error");
  CHECK(forward(op(good_vjp, [](const Call& n, const Vars& v) { return 2 * n.inputs[0] * sum(v[0], 0); }),
                directions) == "[mine] jvp returned shape (3), not (3, 3)");
  // The same for a row of op.h's kind.
  Op row{.name = "row",
         .shape = [](Inputs in, const Attributes&) { return in[0].shape(); },
         .forward = [](Backend& on, Inputs in, Attributes&, Tensor& y) { on.unary(Unary::square, in[0].value(), y); },
         .vjp = [](const Call&, int, const Var& w) { return Var(w.value().to(DType::float32)); },
         .jvp = [](const Call&, const Vars&) { return Var(); }};
  const Var y = evaluate(std::make_shared<const Op>(row), {x});
  CHECK(contains(error_of([&] { (void)vjp(y, small, {x}); }), "[row] vjp of input 0 returned float32"));
  CHECK(error_of([&] { (void)jvp(y, {x}, {small}); }) == "[row] jvp returned no value");
  CHECK(contains(error_of([&] { (void)evaluate(nullptr, {x}); }), "no operation"));
  CHECK(contains(error_of([&] { (void)evaluate(std::make_shared<const Op>(row), {}); }), "no inputs"));
}

TEST_CASE("misuse: extents and counts that overflow, empty handles, nodes that are not there") {
  constexpr std::int64_t huge = std::int64_t{1} << 40;
  const auto refused = [](const auto& f) { return error_of([&] { (void)f(); }) != "no error"; };
  CHECK(refused([] { return Shape({huge, huge}).size(); }));
  CHECK(refused([] { return Tensor::empty({huge, huge}); }));
  CHECK(refused([] { return Tensor::empty({huge, huge, huge, huge}); }));
  CHECK(refused([] { return Tensor::zeros({huge, 1 << 20}, DType::float64); }));
  CHECK(Shape({huge, huge, 0}).size() == 0);
  CHECK(refused([] { return expand(Var(small), {huge, huge, 3}); }));
  CHECK(refused([] { return Shape({2, 3}).with(0, -1); }));
  CHECK(refused([] { return Shape({2, 3}).size(1, 4); }));
  CHECK(refused([] { return Shape({2, 3}).part(2, 1); }));
  CHECK(refused([] { return slice(Var(small), 0, 1, std::numeric_limits<std::int64_t>::max()); }));
  CHECK(refused([] { return pad(Var(small), 0, std::numeric_limits<std::int64_t>::max(), 5); }));
  CHECK(refused([] { return pad(Var(small), 0, 0, -5); }));
  CHECK(refused([] { return reshape(Var(small), {-1, 2}); }));
  CHECK(refused([] { return reshape(Var(small), {-1, -1}); }));
  CHECK(refused([] { return reshape(Var(small), {-1, 0}); }));
  CHECK(refused([] { return pow(-2.0, Var(small)); }));
  Random random(1);
  CHECK(refused([&] { return random.below(0); }));
  CHECK(refused([&] { return random.below(-3); }));
  CHECK(refused([&] { return random.permutation(-1); }));

  Tensor none;
  CHECK(refused([&] { return none.to_vector(); }));
  CHECK(refused([&] { return none.to_floats(); }));
  CHECK(refused([&] { return none.item(); }));
  CHECK(refused([&] { return none.clone(); }));
  CHECK(refused([&] { return none.rows(0, 0); }));
  CHECK(refused([&] { return none.reshaped(Shape()); }));
  CHECK(refused([&] { return none.to(DType::float64); }));
  CHECK(refused([&] { return none.to(cpu()); }));
  CHECK(refused([&] { return none.device(); }));
  CHECK(refused([&] { return none.data<float>(); }));
  CHECK(refused([&] { return none.set(std::span<const float>(std::vector<float>{1})), 0; }));
  CHECK(refused([&] { return Tensor::zeros_like(none); }));
  CHECK(text(none) == "no array");

  Tape tape;
  CHECK(error_of([&] { (void)tape.var(5); }) == "[tape] no node 5 on a tape of 0 nodes");
  CHECK(refused([&] { return tape.var(-1); }));
  CHECK(refused([&] { return tape.node(0).inputs.size(); }));
  CHECK(refused([&] { return tape.variable(none); }));
  CHECK(refused([&] { return tape.rewind(1), 0; }));
  const Function no_function;
  CHECK(refused([&] { return value_and_grad(no_function, {small}); }));
  CHECK(refused([&] { return hvp(no_function, {small}, {small}); }));
  CHECK(refused([&] { return checkpoint(no_function, {Var(small)}); }));
  CHECK(refused([&] { return check_derivatives(no_function, {small}); }));
  CHECK(refused([&] { return tiled_sum(nullptr, {}, {Var(small)}, 1); }));
  CHECK(refused([&] { return tiled_sum([](const Vars&, const Vars&) { return Var(); }, {}, {Var(small)}, 1); }));
  CHECK(refused([&] { return value_and_grad([](const Vars&) { return Var(); }, {small}); }));
  CHECK(refused([&] { return checkpoint([](const Vars&) { return Var(); }, {Var(small)}); }));
  CHECK(refused([&] { return custom_op({.name = "empty"}); }));
  CHECK(refused([&] { return hvp([](const Vars& x) { return sum(x[0]); }, {small}, {}); }));
  const auto all = [](const Vars&, const Vars& r) { return sum(r[0]); };
  CHECK(tiled_sum(all, {}, {Var(small)}, std::numeric_limits<std::int64_t>::max()).value().item() == 1.5);
}

namespace {

/// Things that live and die at random, and calls that put them together without regard to what fits.
class Chaos {
 public:
  explicit Chaos(std::uint64_t seed) : random_(seed), tapes_(3) {
    for (auto& tape : tapes_) tape.emplace();
    for (Var& x : vars_) x = Var(tensor());
    for (Tensor& x : tensors_) x = tensor();
  }

  void step() {
    Var& target = vars_[pick(std::size(vars_))];
    Tensor& held = tensors_[pick(std::size(tensors_))];
    const Var& a = vars_[pick(std::size(vars_))];
    const Var& b = vars_[pick(std::size(vars_))];
    const Var& c = vars_[pick(std::size(vars_))];
    std::optional<Tape>& tape = tapes_[pick(tapes_.size())];
    const int axis = static_cast<int>(random_.below(7)) - 3;
    switch (random_.below(22)) {
      case 0: tape.emplace(); break;
      case 1: tape->rewind(random_.below(tape->size() + 2)); break;
      case 2: target = tape->variable(held); break;
      case 3: held = tensor(); break;
      case 4: held.set(std::span<const double>(std::vector<double>(static_cast<std::size_t>(held.size()), 1))); break;
      case 5: target = Var(held); break;
      case 6: target = a + b; break;
      case 7: target = a * b; break;
      case 8: target = matmul(a, b, axis > 0, axis > 1); break;
      case 9: target = sum(sin(a), Axes{axis}); break;
      case 10: target = sum(a); break;
      case 11: target = vjp(a, b, {c, target}, axis > 0 ? Graph::keep : Graph::discard)[0]; break;
      case 12: target = jvp(a, {b}, {c}, axis > 0 ? Graph::keep : Graph::discard); break;
      case 13: target = gather(a, axis, held); break;
      case 14: target = scatter_add(a, axis, held, axis + 3); break;
      case 15: target = slice(concat({a, b}, axis), axis, random_.below(3), random_.below(3)); break;
      case 16: target = tape->var(random_.below(tape->size() + 2)); break;
      case 17: target = linear(a, b, c); break;
      case 18: target = reshape(a, {-1, axis}); break;
      case 19:
        target = tiled_sum([&](const Vars& s, const Vars& r) { return sum(axis > 1 ? b * r[0] : s[0] * r[0]); }, {a},
                           {c}, 1 + random_.below(2));
        break;
      case 20: target = checkpoint([&](const Vars& x) { return axis > 1 ? x[0] * c : exp(x[0]); }, {a}); break;
      default: target = where(a, b, logsumexp(c, Axes{axis}, true)); break;
    }
    // Values must not overflow over time, and tapes not grow.
    if (tape->size() > 60) tape.emplace();
    if (target && random_.below(3) == 0) target = Var(tensor());
  }

 private:
  std::size_t pick(std::size_t count) {
    return static_cast<std::size_t>(random_.below(static_cast<std::int64_t>(count)));
  }
  Tensor tensor() {
    static const Shape shapes[] = {{}, {2}, {3}, {2, 2}, {2, 3}, {0}, {1, 3}};
    const Shape& shape = shapes[pick(std::size(shapes))];
    switch (random_.below(7)) {
      case 0: return Tensor();
      case 1: return Tensor::full(shape, random_.uniform(), DType::float32);
      case 2: return Tensor::full(shape, random_.uniform(), DType::float64, levda::testing::one_lane());
      case 3: {
        std::vector<std::int64_t> index(static_cast<std::size_t>(shape.size()));
        for (std::int64_t& row : index) row = random_.below(4) - 1;
        return Tensor::indices(index).reshaped(random_.below(2) == 0 ? shape : Shape{shape.size()});
      }
      default: return Tensor::full(shape, random_.uniform(), DType::float64);
    }
  }

  Random random_;
  std::vector<std::optional<Tape>> tapes_;
  Var vars_[8];
  Tensor tensors_[5];
};

}  // namespace

TEST_CASE("misuse: random calls end in a value or in levda::Error") {
  // LEVDA_MISUSES=1000000 makes more of them.
  const char* const wanted = std::getenv("LEVDA_MISUSES");
  const std::int64_t count = wanted != nullptr ? std::atoll(wanted) : 50'000;
  Chaos chaos(1);
  std::int64_t errors = 0;
  std::string unexpected;
  for (std::int64_t i = 0; i < count && unexpected.empty(); ++i) {
    try {
      chaos.step();
    } catch (const levda::Error&) {
      ++errors;
    } catch (const std::exception& error) {
      unexpected = error.what();
    }
  }
  CHECK(unexpected == "");
  // Both kinds are there in numbers.
  CHECK(errors > count / 10);
  CHECK(errors < count * 9 / 10);
}
