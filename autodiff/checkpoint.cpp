/// A computation that keeps no tape and runs again in every sweep.

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "autodiff/error.h"
#include "autodiff/internal/sweep.h"

namespace levda::autodiff {

namespace {

/// Runs f again so that a sweep can follow. If the inputs are tracked, f runs on their tape and the sweep is recorded
/// there; else it runs on a new tape with the inputs `varied` as variables.
struct Rerun {
  Tape own;
  Graph graph;
  Vars variables;          // the varied inputs
  std::int64_t floor = 0;  // f's operations begin there
  Var y;
  Rerun(const Function& f, Inputs inputs, const std::vector<int>& varied, bool guard)
      : graph(any_tracked(inputs) ? Graph::keep : Graph::discard) {
    own.guard(guard);
    Vars x(inputs.begin(), inputs.end());
    for (const int i : varied) {
      if (graph == Graph::discard) x[i] = own.variable(x[i].value());
      variables.push_back(x[i]);
    }
    for (const Var& one : x)
      if (one.tracked()) floor = one.tape("checkpoint")->size();
    y = f(x);
  }
};

Tensor run(const Function& f, Inputs inputs, bool guard) {
  Tape tape;  // used only under guard, to name the operation that fails
  tape.guard(true);
  Vars x;
  for (const Var& input : inputs) x.push_back(guard && input.tracked() ? tape.variable(input.value()) : input.detach());
  const Var y = f(x);
  if (!y) throw Error("[checkpoint] the function returned no value");
  if (y.tracked() && y.tape("checkpoint") != &tape)
    throw Error("[checkpoint] the function computes with a tracked variable that is not among its inputs");
  return y.value();
}

/// Whether a second run gave the same bits. Only the CPU is asked, because a device would have to wait.
bool same_bits(const Tensor& a, const Tensor& b) {
  if (!a || !(a.shape() == b.shape()) || a.dtype() != b.dtype()) return false;
  if (a.device() != Device::cpu) return true;
  const auto equal = [&]<typename T>(T) {
    return std::memcmp(a.data<T>(), b.data<T>(), static_cast<std::size_t>(a.size()) * sizeof(T)) == 0;
  };
  return a.dtype() == DType::float32 ? equal(float{}) : equal(double{});
}

/// True for the same variable or the same whole tensor. (Two views of parts of a block may be different parts.)
bool same(const Var& a, const Var& b) {
  if (a.tracked() || b.tracked()) return a.tape("checkpoint") == b.tape("checkpoint") && a.id() == b.id();
  const Tensor& x = a.value();
  return x && x.storage() == b.value().storage() && x.shape() == b.shape() &&
         x.storage()->bytes() == static_cast<std::size_t>(x.size()) * bytes_of(x.dtype());
}

}  // namespace

Distinct::Distinct(const Vars& list) {
  for (const Var& x : list) {
    const auto found = std::find_if(values.begin(), values.end(), [&](const Var& other) { return same(x, other); });
    place.push_back(static_cast<std::size_t>(found - values.begin()));
    if (found == values.end()) values.push_back(x);
  }
}

void vjp_by_formula(const Function& f, const Call& n, const std::vector<int>& wanted, const Var& w, Vars& sums,
                    bool guard) {
  const Rerun rerun(f, n.inputs, wanted, guard);
  if (rerun.y.tracked()) add_vjp(rerun.y, w, rerun.variables, sums, rerun.graph, rerun.floor);
}

Var jvp_by_formula(const Function& f, const Call& n, const Vars& v, bool guard) {
  std::vector<int> varied;
  Vars tangents;
  for (std::size_t i = 0; i < v.size(); ++i) {
    if (!v[i]) continue;
    varied.push_back(static_cast<int>(i));
    tangents.push_back(v[i]);
  }
  const Rerun rerun(f, n.inputs, varied, guard);
  return jvp_from(rerun.y, rerun.variables, tangents, rerun.graph, rerun.floor);
}

Var checkpoint(const Function& f, const Vars& inputs) {
  if (!f) throw Error("[checkpoint] no function");
  const Distinct once(inputs);
  if (once.values.empty()) return f(inputs);
  const bool guard = std::any_of(inputs.begin(), inputs.end(),
                                 [](const Var& x) { return x.tracked() && x.tape("checkpoint")->guarded(); });
  const Function g = [f, place = once.place](const Vars& x) {
    Vars all;
    for (const std::size_t i : place) all.push_back(x[i]);
    return f(all);
  };

  // The shape of the result is known only after the computation, so the row is made here; evaluate records it.
  const Tensor value = run(g, once.values, guard);
  auto op = std::make_shared<Op>();
  op->name = "checkpoint";
  op->shape = [shape = value.shape()](Inputs, const Attributes&) { return shape; };
  op->forward = [value](Backend&, Inputs, Attributes&, Tensor& y) { y = value; };
  // The caller may have changed a constant that f captured.
  const Function again = [g, value](const Vars& x) {
    const Var y = g(x);
    if (!same_bits(y.value(), value))
      throw Error("[checkpoint] the function does not return again what it returned first");
    return y;
  };
  op->vjp_all = [again, guard](const Call& n, const std::vector<int>& wanted, const Var& w, Vars& sums) {
    vjp_by_formula(again, n, wanted, w, sums, guard);
  };
  op->jvp = [again, guard](const Call& n, const Vars& v) { return jvp_by_formula(again, n, v, guard); };
  return evaluate(op, once.values);
}

}  // namespace levda::autodiff
