#include "autodiff/derivatives.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "autodiff/error.h"
#include "autodiff/internal/sweep.h"

namespace levda::autodiff {

namespace {

using Marks = std::vector<bool>;  // of nodes

/// For every node up to `last`: whether it depends on one of `wrt`.
Marks dependents(const char* who, const Tape* tape, std::int64_t last, const Vars& wrt) {
  Marks depends(static_cast<std::size_t>(last) + 1, false);
  for (const Var& x : wrt) {
    if (x.tape() != tape || tape == nullptr)
      throw Error(fmt::format("[{}] a variable is not on the result's tape", who));
    if (x.id() <= last) depends[x.id()] = true;
  }
  for (std::int64_t id = 0; id <= last; ++id) {
    if (depends[id]) continue;
    const Vars& inputs = tape->node(id).inputs;
    depends[id] =
        std::any_of(inputs.begin(), inputs.end(), [&](const Var& x) { return x.tracked() && depends[x.id()]; });
  }
  return depends;
}

void require_tracked(const char* who, const Var& y) {
  if (!y.tracked()) throw Error(fmt::format("[{}] the result is a constant: it is not on a tape", who));
}

Marks marks_of(Inputs variables, std::size_t size) {
  Marks marks(size, false);
  for (const Var& x : variables)
    if (x.tracked() && static_cast<std::size_t>(x.id()) < size) marks[x.id()] = true;
  return marks;
}

/// The values of a node for its rules: tracked, so that the operations of the rules are recorded, or constants.
struct Seen {
  Vars inputs;
  Var output;
  Seen(Tape& tape, std::int64_t id, Graph graph) : inputs(tape.node(id).inputs), output(tape.var(id)) {
    if (graph == Graph::keep) return;
    for (Var& x : inputs) x = x.detach();
    output = output.detach();
  }
};

Var zeros_like(const Var& x, const Shape& lead = {}) {
  return Tensor::zeros(x.shape().prepend(lead), x.dtype(), x.value().backend());
}

}  // namespace

bool any_tracked(Inputs values) {
  return std::any_of(values.begin(), values.end(), [](const Var& x) { return x.tracked(); });
}

void accumulate(Var& sum, Var term) {
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

void add_vjp(const Var& y, const Var& w, const Vars& wrt, Vars& sums, Graph graph) {
  require_tracked("vjp", y);
  const Marks depends = dependents("vjp", y.tape(), y.id(), wrt);
  if (!(w.shape() == y.shape()))
    throw Error(fmt::format("[vjp] the cotangent has shape {}, the result {}", w.shape().text(), y.shape().text()));
  const Marks wanted = marks_of(wrt, depends.size());
  Tape& tape = *y.tape();
  const bool guarded = tape.guarded();
  Vars cotangents(depends.size());
  for (std::size_t i = 0; i < wrt.size(); ++i)
    if (wrt[i].id() <= y.id()) cotangents[wrt[i].id()] = std::move(sums[i]);
  accumulate(cotangents[y.id()], w);
  for (std::int64_t id = y.id(); id >= 0; --id) {
    // A copy, not a reference: rules may append to the tape.
    const std::shared_ptr<const Op> op = tape.node(id).op;
    if (!depends[id] || wanted[id] || !cotangents[id] || op == nullptr) continue;
    const Attributes attributes = tape.node(id).attributes;
    const Vars& recorded = tape.node(id).inputs;
    std::vector<std::pair<int, std::int64_t>> targets;
    for (std::size_t i = 0; i < recorded.size(); ++i)
      if (recorded[i].tracked() && depends[recorded[i].id()])
        targets.emplace_back(static_cast<int>(i), recorded[i].id());
    const Seen seen(tape, id, graph);
    const Call call{attributes, seen.inputs, seen.output};
    const Var cotangent = std::move(cotangents[id]);
    if (op->vjp_all) {
      std::vector<int> inputs;
      Vars received;
      for (const auto& [i, target] : targets) {
        inputs.push_back(i);
        received.push_back(std::exchange(cotangents[target], Var()));
      }
      op->vjp_all(call, inputs, cotangent, received);
      for (std::size_t k = 0; k < targets.size(); ++k)
        if (received[k]) accumulate(cotangents[targets[k].second], std::move(received[k]));
    } else {
      for (const auto& [i, target] : targets) accumulate(cotangents[target], op->vjp(call, i, cotangent));
    }
    if (!guarded) continue;
    Vars from = seen.inputs;
    from.push_back(cotangent);
    for (const auto& [i, target] : targets)
      if (cotangents[target]) check_finite(op->name, "vjp", from, cotangents[target].value());
  }
  for (std::size_t i = 0; i < wrt.size(); ++i)
    if (wrt[i].id() <= y.id()) sums[i] = cotangents[wrt[i].id()];
}

Vars vjp(const Var& y, const Var& w, const Vars& wrt, Graph graph) {
  Vars result(wrt.size());
  add_vjp(y, w, wrt, result, graph);
  for (std::size_t i = 0; i < wrt.size(); ++i)
    if (!result[i]) result[i] = zeros_like(wrt[i]);
  return result;
}

namespace {

Vars tangents_of(Inputs y, const Vars& wrt, const Vars& v, Graph graph) {
  Tape* tape = nullptr;
  std::int64_t last = -1;
  for (const Var& result : y) {
    if (!result.tracked()) continue;
    if (tape != nullptr && tape != result.tape()) throw Error("[jvp] results on two tapes");
    tape = result.tape();
    last = std::max(last, result.id());
  }
  if (tape == nullptr && !wrt.empty()) tape = wrt[0].tape();
  const Marks depends = dependents("jvp", tape, last, wrt);
  if (wrt.size() != v.size()) throw Error(fmt::format("[jvp] {} tangents for {} variables", v.size(), wrt.size()));
  Shape lead;
  Vars tangents(depends.size());
  for (std::size_t i = 0; i < wrt.size(); ++i) {
    const int extra = v[i].shape().rank() - wrt[i].shape().rank();
    if (extra < 0 || !(v[i].shape().part(extra, v[i].shape().rank()) == wrt[i].shape()))
      throw Error(
          fmt::format("[jvp] a tangent has shape {}, its variable {}", v[i].shape().text(), wrt[i].shape().text()));
    if (i > 0 && !(v[i].shape().part(0, extra) == lead))
      throw Error(
          fmt::format("[jvp] tangents with leading axes {} and {}", lead.text(), v[i].shape().part(0, extra).text()));
    lead = v[i].shape().part(0, extra);
    if (wrt[i].id() <= last) accumulate(tangents[wrt[i].id()], v[i]);
  }
  // Only nodes between the variables and the results.
  Marks wanted = marks_of(y, depends.size());
  for (std::int64_t id = last; id >= 0; --id) {
    if (!wanted[id] || tangents[id]) continue;
    for (const Var& x : tape->node(id).inputs)
      if (x.tracked()) wanted[x.id()] = true;
  }
  for (std::int64_t id = 0; id <= last; ++id) {
    const std::shared_ptr<const Op> op = tape->node(id).op;
    if (!depends[id] || !wanted[id] || op == nullptr || tangents[id]) continue;
    const Attributes attributes = tape->node(id).attributes;
    Vars in;
    bool any = false;
    for (const Var& x : tape->node(id).inputs) {
      in.push_back(x.tracked() && depends[x.id()] ? tangents[x.id()] : Var());
      any = any || in.back();
    }
    if (!any) continue;
    const Seen seen(*tape, id, graph);
    tangents[id] = op->jvp({attributes, seen.inputs, seen.output}, in);
    if (!tape->guarded()) continue;
    Vars from = seen.inputs;
    std::copy_if(in.begin(), in.end(), std::back_inserter(from), [](const Var& x) { return static_cast<bool>(x); });
    check_finite(op->name, "jvp", from, tangents[id].value());
  }
  Vars result;
  for (const Var& one : y)
    result.push_back(one.tracked() && tangents[one.id()] ? tangents[one.id()] : zeros_like(one, lead));
  return result;
}

}  // namespace

Vars jvp(const Vars& y, const Vars& wrt, const Vars& v, Graph graph) { return tangents_of(y, wrt, v, graph); }

Var jvp(const Var& y, const Vars& wrt, const Vars& v, Graph graph) {
  require_tracked("jvp", y);
  return tangents_of({&y, 1}, wrt, v, graph)[0];
}

namespace {

/// f and its gradient at variables of a tape.
struct Gradient {
  Vars x;
  Var y;
  Vars gradient;
  Gradient(const char* who, const Function& f, std::span<const Tensor> inputs, Tape& tape, Graph graph)
      : x(tape.variables(inputs)), y(f(x)) {
    if (y.shape().rank() != 0)
      throw Error(
          fmt::format("[{}] the result of the function has shape {} and is not a scalar", who, y.shape().text()));
    gradient = vjp(y, Tensor::full({}, 1, y.dtype(), y.value().backend()), x, graph);
  }
};

}  // namespace

ValueAndGrad value_and_grad(const Function& f, std::span<const Tensor> inputs, bool guard) {
  Tape tape;
  tape.guard(guard);
  const Gradient at("value_and_grad", f, inputs, tape, Graph::discard);
  ValueAndGrad result{.value = at.y.value().item(), .gradients = {}};
  for (const Var& gradient : at.gradient) result.gradients.push_back(gradient.value());
  return result;
}

std::vector<Tensor> hvp(const Function& f, std::span<const Tensor> inputs, std::span<const Tensor> v) {
  Tape tape;
  const Gradient at("hvp", f, inputs, tape, Graph::keep);
  std::vector<Tensor> products;
  for (const Var& product : jvp(at.gradient, at.x, Vars(v.begin(), v.end()))) products.push_back(product.value());
  return products;
}

}  // namespace levda::autodiff
