#include "autodiff/derivatives.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "autodiff/error.h"
#include "autodiff/internal/sweep.h"
#include "autodiff/internal/sweep_plan.h"

namespace levda::autodiff {

namespace {

/// The tape that a sweep of `who` from these results to these variables runs on: null if nothing is on a tape.
/// Throws Error for a variable without a value, or on another tape than the results.
Tape* tape_of(const char* who, Inputs results, Inputs wrt) {
  Tape* tape = nullptr;
  const auto same = [&](const Var& x, const char* what) {
    if (!x) throw Error(fmt::format("[{}] {} has no value", who, what));
    if (!x.tracked()) return;
    Tape* const own = x.tape(who);
    if (tape != nullptr && tape != own) throw Error(fmt::format("[{}] {} is not on the result's tape", who, what));
    tape = own;
  };
  for (const Var& y : results) same(y, "a result");
  for (const Var& x : wrt) same(x, "a variable");
  return tape;
}

/// Those on a tape.
Vars tracked(Inputs values) {
  Vars some;
  std::copy_if(values.begin(), values.end(), std::back_inserter(some), [](const Var& x) { return x.tracked(); });
  return some;
}

/// The values of a node for its rules: tracked, so that the operations of the rules are recorded, or constants.
/// The operation is a copy, because rules may append to the tape.
struct Seen {
  std::shared_ptr<const Op> op;
  Attributes attributes;
  Vars inputs;
  Var output;
  const char* name;

  /// Throws Error when a tensor of the node was changed after it was recorded.
  Seen(const Tape& tape, std::int64_t id, Graph graph)
      : op(tape.node(id).op),
        attributes(tape.node(id).attributes),
        inputs(tape.node(id).inputs),
        output(tape.var(id)),
        name(tape.node(id).name()) {
    if (versions_of(tape.node(id)) != tape.node(id).versions)
      throw Error(fmt::format("[{}] an input or the result was changed after node {} was recorded", name, id));
    if (graph == Graph::keep) return;
    for (Var& x : inputs) x = x.detach();
    output = output.detach();
  }
  Call call() const { return {attributes, inputs, output}; }
};

/// Runs a rule. The message of a NonFiniteError inside it begins with the operation that the rule is of.
template <typename F>
void run_rule(const Seen& seen, const char* sweep, std::int64_t id, F&& rule) {
  try {
    rule();
  } catch (const NonFiniteError& error) {
    throw NonFiniteError(fmt::format("[{}] {} of node {}: {}", seen.name, sweep, id, error.what()));
  }
}

Var zeros_like(const Var& x, const Shape& lead = {}) {
  return Tensor::zeros(x.shape().prepend(lead), x.dtype(), x.value().backend());
}

/// Copies each result that shares its storage with another result, an argument or a node.
void unshare(Vars& results) {
  for (Var& x : results)
    if (!x.tracked() && !x.value().unique()) x = Var(x.value().clone());
}

}  // namespace

std::uint64_t versions_of(const Node& node) {
  std::uint64_t sum = 0;
  const auto add = [&](const Tensor& x) { sum += x ? x.storage()->version() : 0; };
  for (const Var& x : node.inputs) add(x.value());
  add(node.attributes.index);
  add(node.attributes.saved);
  add(node.output);
  return sum;
}

void check_result(const char* op, const char* what, const Var& result, const Shape& shape, const Var& like, int input) {
  const auto fail = [&](const std::string& why) {
    const std::string of = input < 0 ? "" : fmt::format(" of input {}", input);
    throw Error(fmt::format("[{}] {} {}", op, fmt::format(fmt::runtime(what), of), why));
  };
  if (!result) fail("no value");
  if (!(result.shape() == shape)) fail(fmt::format("shape {}, not {}", result.shape().text(), shape.text()));
  if (result.dtype() != like.dtype() || &result.value().backend() != &like.value().backend())
    fail(fmt::format("{} on {}, not {} on {}", name(result.dtype()), name(result.value().device()), name(like.dtype()),
                     name(like.value().device())));
}

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

void add_vjp(const Var& y, const Var& w, const Vars& wrt, Vars& sums, Graph graph, std::int64_t floor) {
  Tape* const tape = tape_of("vjp", {&y, 1}, wrt);
  check_result("vjp", "the cotangent has", w, y.shape(), y);
  if (w.tracked()) w.tape("vjp");
  if (!y.tracked()) return;
  const Tape::Sweep running(*tape);
  const bool guarded = tape->guarded();
  const SweepPlan plan(*tape, {&y, 1}, tracked(wrt), floor);
  if (plan.size() == 0 || plan.ids.back() != y.id()) return;  // y does not depend on the variables
  std::vector<std::int64_t> places;
  for (const Var& x : wrt) places.push_back(x.tracked() ? plan.place(x.id()) : -1);
  Vars cotangents(plan.ids.size());
  for (std::size_t i = 0; i < wrt.size(); ++i)
    if (places[i] >= 0) cotangents[places[i]] = std::move(sums[i]);
  accumulate(cotangents.back(), w);
  for (std::int64_t place = plan.size() - 1; place >= 0; --place) {
    const auto edges = plan.edges_of(place);
    if (edges.empty() || !cotangents[place]) continue;
    const std::int64_t id = plan.ids[place];
    const Seen seen(*tape, id, graph);
    const Var cotangent = std::move(cotangents[place]);
    const auto add = [&](int input, std::int64_t target, Var term) {
      check_result(seen.name, "vjp{} returned", term, seen.inputs[input].shape(), cotangent, input);
      accumulate(cotangents[target], std::move(term));
    };
    run_rule(seen, "vjp", id, [&] {
      if (!seen.op->vjp_all) {
        for (const auto& [i, target] : edges) add(i, target, seen.op->vjp(seen.call(), i, cotangent));
        return;
      }
      std::vector<int> inputs;
      Vars received;
      for (const auto& [i, target] : edges) {
        inputs.push_back(i);
        received.push_back(std::exchange(cotangents[target], Var()));
      }
      seen.op->vjp_all(seen.call(), inputs, cotangent, received);
      for (std::size_t k = 0; k < edges.size(); ++k)
        if (received[k]) add(edges[k].input, edges[k].place, std::move(received[k]));
    });
    if (!guarded) continue;
    Vars from = seen.inputs;
    from.push_back(cotangent);
    for (const auto& [i, target] : edges)
      if (cotangents[target]) check_finite(seen.name, "vjp", id, from, cotangents[target].value());
  }
  for (std::size_t i = 0; i < wrt.size(); ++i)
    if (places[i] >= 0) sums[i] = cotangents[places[i]];
}

Vars vjp(const Var& y, const Var& w, const Vars& wrt, Graph graph) {
  Vars result(wrt.size());
  add_vjp(y, w, wrt, result, graph);
  for (std::size_t i = 0; i < wrt.size(); ++i)
    if (!result[i]) result[i] = zeros_like(wrt[i]);
  unshare(result);
  return result;
}

namespace {

/// The leading axes that all tangents carry. Throws Error when one does not fit its variable.
Shape leading_of(const Vars& wrt, const Vars& v) {
  if (wrt.size() != v.size()) throw Error(fmt::format("[jvp] {} tangents for {} variables", v.size(), wrt.size()));
  Shape lead;
  bool first = true;
  for (std::size_t i = 0; i < wrt.size(); ++i) {
    if (!v[i]) continue;
    if (v[i].tracked()) v[i].tape("jvp");
    const int extra = std::max(0, v[i].shape().rank() - wrt[i].shape().rank());
    const Shape own = v[i].shape().part(0, extra);
    if (!(v[i].shape() == wrt[i].shape().prepend(own)))
      throw Error(
          fmt::format("[jvp] a tangent has shape {}, its variable {}", v[i].shape().text(), wrt[i].shape().text()));
    check_result("jvp", "a tangent has", v[i], wrt[i].shape().prepend(own), wrt[i]);
    if (!first && !(own == lead))
      throw Error(fmt::format("[jvp] tangents with leading axes {} and {}", lead.text(), own.text()));
    lead = own;
    first = false;
  }
  return lead;
}

Vars tangents_of(Inputs y, const Vars& wrt, const Vars& v, Graph graph, std::int64_t floor = 0) {
  Tape* const tape = tape_of("jvp", y, wrt);
  const Shape lead = leading_of(wrt, v);
  Vars result;
  for (const Var& one : y) result.push_back(one.tracked() ? Var() : zeros_like(one, lead));
  if (tape == nullptr) return result;
  const Tape::Sweep running(*tape);
  const SweepPlan plan(*tape, tracked(y), tracked(wrt), floor);
  Vars tangents(plan.ids.size());
  for (std::size_t i = 0; i < wrt.size(); ++i) {
    const std::int64_t place = wrt[i].tracked() ? plan.place(wrt[i].id()) : -1;
    if (place >= 0 && v[i]) accumulate(tangents[place], v[i]);
  }
  for (std::int64_t place = 0; place < plan.size(); ++place) {
    const auto edges = plan.edges_of(place);
    if (std::none_of(edges.begin(), edges.end(), [&](const auto& e) { return static_cast<bool>(tangents[e.place]); }))
      continue;
    const std::int64_t id = plan.ids[place];
    const Seen seen(*tape, id, graph);
    Vars in(seen.inputs.size());
    for (const auto& [i, source] : edges) in[i] = tangents[source];
    Var& tangent = tangents[place];
    run_rule(seen, "jvp", id, [&] { tangent = seen.op->jvp(seen.call(), in); });
    check_result(seen.name, "jvp returned", tangent, seen.output.shape().prepend(lead), seen.output);
    if (!tape->guarded()) continue;
    Vars from = seen.inputs;
    std::copy_if(in.begin(), in.end(), std::back_inserter(from), [](const Var& x) { return static_cast<bool>(x); });
    check_finite(seen.name, "jvp", id, from, tangent.value());
  }
  for (std::size_t k = 0; k < y.size(); ++k) {
    if (result[k]) continue;
    const std::int64_t place = plan.place(y[k].id());
    result[k] = place >= 0 && tangents[place] ? tangents[place] : zeros_like(y[k], lead);
  }
  return result;
}

}  // namespace

Var jvp_from(const Var& y, const Vars& wrt, const Vars& v, Graph graph, std::int64_t floor) {
  return tangents_of({&y, 1}, wrt, v, graph, floor)[0];
}

Vars jvp(const Vars& y, const Vars& wrt, const Vars& v, Graph graph) {
  Vars result = tangents_of(y, wrt, v, graph);
  unshare(result);
  return result;
}

Var jvp(const Var& y, const Vars& wrt, const Vars& v, Graph graph) { return jvp(Vars{y}, wrt, v, graph)[0]; }

namespace {

Var called(const char* who, const Function& f, const Vars& x) {
  if (!f) throw Error(fmt::format("[{}] no function", who));
  return f(x);
}

/// f and its gradient at variables of a tape.
struct Gradient {
  Vars x;
  Var y;
  Vars gradient;
  Gradient(const char* who, const Function& f, std::span<const Tensor> inputs, Tape& tape, Graph graph)
      : x(tape.variables(inputs)), y(called(who, f, x)) {
    if (!y || y.shape().rank() != 0)
      throw Error(fmt::format("[{}] the result of the function has shape {} and is not a scalar", who,
                              y ? y.shape().text() : "of no value"));
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

std::vector<Tensor> hvp(const Function& f, std::span<const Tensor> inputs, std::span<const Tensor> v, bool guard) {
  Tape tape;
  tape.guard(guard);
  const Gradient at("hvp", f, inputs, tape, Graph::keep);
  std::vector<Tensor> products;
  for (const Var& product : jvp(at.gradient, at.x, Vars(v.begin(), v.end()))) products.push_back(product.value());
  return products;
}

}  // namespace levda::autodiff
