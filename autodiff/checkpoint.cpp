/// A computation that keeps no tape: it runs again when a sweep comes by.

#include <fmt/format.h>

#include <algorithm>

#include "autodiff/error.h"
#include "autodiff/sweep.h"

namespace levda::autodiff {

namespace {

/// f once more, in a form that can be swept: on the tape of its inputs where they are tracked, so that the sweep is
/// recorded there, else on a tape of its own with the inputs `varied` as variables.
struct Rerun {
  Tape own;
  Graph graph;
  Vars variables;  // the varied inputs
  Var y;
  Rerun(const Function& f, Inputs inputs, const std::vector<int>& varied, bool guard)
      : graph(any_tracked(inputs) ? Graph::keep : Graph::discard) {
    own.guard(guard);
    Vars x(inputs.begin(), inputs.end());
    for (const int i : varied) {
      if (graph == Graph::discard) x[i] = own.variable(x[i].value());
      variables.push_back(x[i]);
    }
    y = f(x);
  }
};

Tensor run(const Function& f, Inputs inputs, bool guard) {
  Tape tape;  // under guard only, for the name of the operation that fails
  tape.guard(true);
  Vars x;
  for (const Var& input : inputs) x.push_back(guard && input.tracked() ? tape.variable(input.value()) : input.detach());
  const Var y = f(x);
  if (y.tracked() && y.tape() != &tape)
    throw Error("[checkpoint] the function computes with a tracked variable that is not among its inputs");
  return y.value();
}

}  // namespace

Var checkpoint(const Function& f, const Vars& inputs) {
  // Each variable once, so that its cotangents add up in one place, as they would without.
  Vars once;
  std::vector<std::size_t> place;
  bool guard = false;
  for (const Var& x : inputs) {
    const auto same = [&](const Var& other) { return x.tracked() && other.tape() == x.tape() && other.id() == x.id(); };
    const auto found = std::find_if(once.begin(), once.end(), same);
    place.push_back(static_cast<std::size_t>(found - once.begin()));
    if (found == once.end()) once.push_back(x);
    guard = guard || (x.tracked() && x.tape()->guarded());
  }
  if (once.empty()) return f(inputs);
  const Function g = [f, place](const Vars& x) {
    Vars all;
    for (const std::size_t i : place) all.push_back(x[i]);
    return f(all);
  };

  // The result's shape is known when it has been computed, so the row is made here; evaluate checks and records it.
  const Tensor value = run(g, once, guard);
  auto op = std::make_shared<Op>();
  op->name = "checkpoint";
  op->shape = [shape = value.shape()](Inputs, const Attributes&) { return shape; };
  op->forward = [value](Backend&, Inputs, Attributes&, Tensor& y) { y = value; };
  op->vjp_all = [g, guard](const Call& n, const std::vector<int>& wanted, const Var& w, Vars& sums) {
    const Rerun rerun(g, n.inputs, wanted, guard);
    if (rerun.y.tracked()) add_vjp(rerun.y, w, rerun.variables, sums, rerun.graph);
  };
  op->jvp = [g, guard](const Call& n, const Vars& v) {
    std::vector<int> varied;
    Vars tangents;
    for (std::size_t i = 0; i < v.size(); ++i) {
      if (!v[i]) continue;
      varied.push_back(static_cast<int>(i));
      tangents.push_back(v[i]);
    }
    const Rerun rerun(g, n.inputs, varied, guard);
    return jvp(Vars{rerun.y}, rerun.variables, tangents, rerun.graph)[0];
  };
  return evaluate(op, std::move(once));
}

}  // namespace levda::autodiff
