#include "autodiff/derivatives.h"

#include <fmt/format.h>

#include <algorithm>

#include "autodiff/error.h"

namespace levda::autodiff {

namespace {

/// For every node up to y: does it depend on one of `wrt`?
std::vector<bool> dependents(const char* who, const Var& y, const Vars& wrt) {
  if (!y.tracked()) throw Error(fmt::format("[{}] the result is a constant: it is not on a tape", who));
  const Tape& tape = *y.tape();
  std::vector<bool> depends(static_cast<std::size_t>(y.id()) + 1, false);
  for (const Var& x : wrt) {
    if (x.tape() != y.tape()) throw Error(fmt::format("[{}] a variable is not on the result's tape", who));
    if (x.id() <= y.id()) depends[x.id()] = true;
  }
  for (std::int64_t id = 0; id <= y.id(); ++id) {
    if (depends[id]) continue;
    const Vars& inputs = tape.node(id).inputs;
    depends[id] =
        std::any_of(inputs.begin(), inputs.end(), [&](const Var& x) { return x.tracked() && depends[x.id()]; });
  }
  return depends;
}

/// A node's values as its rules are to see them: tracked, so that what the rules compute is recorded, or as constants.
struct Seen {
  Vars inputs;
  Var output;
  Seen(Tape& tape, std::int64_t id, Graph graph) : inputs(tape.node(id).inputs), output(tape.var(id)) {
    if (graph == Graph::keep) return;
    for (Var& x : inputs) x = x.detach();
    output = output.detach();
  }
};

void accumulate(Var& sum, Var&& term) {
  if (!sum) {
    sum = std::move(term);
  } else if (!sum.tracked() && !term.tracked() && sum.value().unique()) {
    Tensor in_place = sum.value();
    sum = Var();
    in_place.backend().binary(Binary::add, in_place, term.value(), in_place);
    sum = Var(std::move(in_place));
  } else {
    sum = sum + term;
  }
}

Var zeros_like(const Var& x, const Shape& lead = {}) {
  return Tensor::zeros(x.shape().prepend(lead), x.dtype(), x.value().backend());
}

}  // namespace

Vars vjp(const Var& y, const Var& w, const Vars& wrt, Graph graph) {
  const std::vector<bool> depends = dependents("vjp", y, wrt);
  if (!(w.shape() == y.shape()))
    throw Error(fmt::format("[vjp] cotangent {} for a result {}", w.shape().text(), y.shape().text()));
  std::vector<bool> wanted(depends.size(), false);
  for (const Var& x : wrt)
    if (x.id() <= y.id()) wanted[x.id()] = true;
  Tape& tape = *y.tape();
  Vars cotangents(depends.size());
  cotangents[y.id()] = w;
  for (std::int64_t id = y.id(); id >= 0; --id) {
    // A copy, and not a reference: rules that record make the tape grow.
    const std::shared_ptr<const Op> op = tape.node(id).op;
    if (!depends[id] || wanted[id] || !cotangents[id] || op == nullptr) continue;
    const Attributes attributes = tape.node(id).attributes;
    const Vars& recorded = tape.node(id).inputs;
    std::vector<std::pair<int, std::int64_t>> targets;
    for (std::size_t i = 0; i < recorded.size(); ++i)
      if (recorded[i].tracked() && depends[recorded[i].id()])
        targets.emplace_back(static_cast<int>(i), recorded[i].id());
    const Seen seen(tape, id, graph);
    const Var cotangent = std::move(cotangents[id]);
    for (const auto& [i, target] : targets)
      accumulate(cotangents[target], op->vjp({attributes, seen.inputs, seen.output}, i, cotangent));
  }
  Vars result;
  for (const Var& x : wrt)
    result.push_back(x.id() <= y.id() && cotangents[x.id()] ? cotangents[x.id()] : zeros_like(x));
  return result;
}

Var jvp(const Var& y, const Vars& wrt, const Vars& v, Graph graph) {
  const std::vector<bool> depends = dependents("jvp", y, wrt);
  if (wrt.size() != v.size()) throw Error(fmt::format("[jvp] {} tangents for {} variables", v.size(), wrt.size()));
  Shape lead;
  Vars tangents(depends.size());
  for (std::size_t i = 0; i < wrt.size(); ++i) {
    const int extra = v[i].shape().rank() - wrt[i].shape().rank();
    if (extra < 0 || !(v[i].shape().part(extra, v[i].shape().rank()) == wrt[i].shape()))
      throw Error(fmt::format("[jvp] tangent {} for a variable {}", v[i].shape().text(), wrt[i].shape().text()));
    if (i > 0 && !(v[i].shape().part(0, extra) == lead))
      throw Error(
          fmt::format("[jvp] tangents with leading axes {} and {}", lead.text(), v[i].shape().part(0, extra).text()));
    lead = v[i].shape().part(0, extra);
    if (wrt[i].id() <= y.id()) accumulate(tangents[wrt[i].id()], Var(v[i]));
  }
  Tape& tape = *y.tape();
  for (std::int64_t id = 0; id <= y.id(); ++id) {
    const std::shared_ptr<const Op> op = tape.node(id).op;
    if (!depends[id] || op == nullptr || tangents[id]) continue;
    const Attributes attributes = tape.node(id).attributes;
    Vars in;
    bool any = false;
    for (const Var& x : tape.node(id).inputs) {
      in.push_back(x.tracked() && depends[x.id()] ? tangents[x.id()] : Var());
      any = any || in.back();
    }
    if (!any) continue;
    const Seen seen(tape, id, graph);
    tangents[id] = op->jvp({attributes, seen.inputs, seen.output}, in);
  }
  return tangents[y.id()] ? tangents[y.id()] : zeros_like(y, lead);
}

ValueAndGrad value_and_grad(const std::function<Var(const Vars&)>& f, std::span<const Tensor> inputs) {
  Tape tape;
  const Vars x = tape.variables(inputs);
  const Var y = f(x);
  if (y.shape().rank() != 0)
    throw Error(fmt::format("[value_and_grad] the function's result has shape {}, not a scalar's", y.shape().text()));
  ValueAndGrad result{.value = y.value().item(), .gradients = {}};
  for (const Var& gradient : vjp(y, Tensor::full({}, 1, y.dtype(), y.value().backend()), x))
    result.gradients.push_back(gradient.value());
  return result;
}

}  // namespace levda::autodiff
