#include "models/rollout.h"

#include <fmt/format.h>

#include <algorithm>

#include "autodiff/error.h"
#include "autodiff/internal/sweep.h"

namespace levda::models {

using autodiff::Attributes;
using autodiff::Backend;
using autodiff::Binary;
using autodiff::Call;
using autodiff::Inputs;
using autodiff::Shape;
using autodiff::Strided;
using autodiff::Tensor;
using autodiff::Unary;
using autodiff::Var;
using autodiff::Vars;

namespace {

/// Steps [begin, end) that have the same u.
struct Span {
  std::size_t u;
  std::int64_t begin;
  std::int64_t end;
};

/// A rollout; positions are among the inputs of the operation.
struct Problem {
  nn::Mlp f;
  std::vector<std::size_t> u;
  std::size_t s0;
  double dt;

  std::int64_t steps() const { return static_cast<std::int64_t>(u.size()); }
  std::int64_t depth() const { return static_cast<std::int64_t>(f.hidden.size()); }
  Vars parameters(Inputs x) const {
    Vars all;
    for (const std::size_t i : u) all.push_back(x[i]);
    return all;
  }
  std::vector<Span> spans() const {
    std::vector<Span> all;
    for (std::int64_t k = 0; k < steps(); ++k) {
      if (all.empty() || all.back().u != u[k]) all.push_back({u[k], k, k});
      all.back().end = k + 1;
    }
    return all;
  }
};

Shape result_shape(const Problem& q, Inputs x) {
  const Shape& first = x[q.u[0]].shape();
  const Shape& s0 = x[q.s0].shape();
  for (const std::size_t i : q.u)
    if (!(x[i].shape() == first) || first.rank() != 2 || s0.rank() != 2 || first[0] != s0[0])
      throw Error(fmt::format("[rollout] parameters {} for a state {}", x[i].shape().text(), s0.text()));
  const auto check = [&](const nn::Linear& layer, std::int64_t in, std::int64_t out) {
    const Shape& weight = x[layer.weight].shape();
    const Shape& bias = x[layer.bias].shape();
    if (!(weight == Shape{in, out}) || !(bias == Shape{out}))
      throw Error(fmt::format("[rollout] weight {}, bias {} for {} inputs and {} outputs", weight.text(), bias.text(),
                              in, out));
  };
  const std::int64_t width = x[q.f.output.weight].shape()[0];
  for (std::size_t j = 0; j < q.f.hidden.size(); ++j) check(q.f.hidden[j], j == 0 ? first[1] + s0[1] : width, width);
  check(q.f.output, width, s0[1]);
  return s0.prepend({q.steps()});
}

/// Step k of a stack: (steps, rows, n) -> (rows, n).
Tensor at(const Tensor& stacked, std::int64_t k) { return stacked.rows(k, k + 1).reshaped(stacked.shape().part(1, 3)); }

/// All rows of all steps: (steps, rows, n) -> (steps x rows, n).
Tensor flat(const Tensor& stacked) {
  const Shape& shape = stacked.shape();
  return stacked.reshaped({shape[0] * shape[1], shape[2]});
}

/// The results of the forward computation besides the states: stacks of `steps`, views of one block.
struct Layers {
  Tensor block;
  std::vector<Tensor> inputs;  // of each layer and of the output: (steps, rows, in)
  std::vector<Tensor> slopes;  // of each hidden layer: (steps, rows, width); none where they are not wanted

  Layers(const Problem& q, Inputs x, std::int64_t steps, bool with_slopes, const Tensor& kept = {}) : block(kept) {
    const std::int64_t rows = x[q.s0].shape()[0];
    const std::int64_t in = x[q.f.hidden[0].weight].shape()[0];
    const std::int64_t width = x[q.f.hidden[0].weight].shape()[1];
    if (!block)
      block = Tensor::empty({steps * rows * ((with_slopes ? 2 : 1) * q.depth() * width + in)}, x[q.s0].dtype(),
                            x[q.s0].value().backend());
    std::int64_t begin = 0;
    const auto next = [&](std::int64_t n) {
      const Tensor part = block.rows(begin, begin + steps * rows * n).reshaped({steps, rows, n});
      begin += part.size();
      return part;
    };
    for (std::int64_t j = 0; j < q.depth(); ++j) inputs.push_back(next(width));
    for (std::int64_t j = 0; with_slopes && j < q.depth(); ++j) slopes.push_back(next(width));
    inputs.insert(inputs.begin(), next(in));  // last in the block: its rows are no round number of bytes
  }
};

/// x (rows, n) into columns [column, column + n) of y (steps, rows, more): of every step.
void copy_columns(const Tensor& x, Tensor y, std::int64_t column) {
  const std::int64_t n = x.shape()[1];
  const std::int64_t more = y.shape()[2];
  Strided from;
  from.strides = {0, n, 1};
  Strided to;
  to.offset = column;
  to.strides = {y.shape()[1] * more, more, 1};
  x.backend().copy(y.shape().with(2, n), x, from, y, to);
}

void forward(const Problem& q, Backend& backend, Inputs x, Attributes& a, Tensor& y) {
  const auto value = [&](std::size_t i) -> const Tensor& { return x[i].value(); };
  const bool kept = a.recorded;
  const Layers layers(q, x, kept ? q.steps() : 1, kept);  // else one step's place, used again and again
  if (kept) a.saved = layers.block;
  const auto multiply = [&](const Tensor& in, const nn::Linear& layer, Tensor& out) {
    backend.matmul(in, false, value(layer.weight), false, &value(layer.bias), out);
  };
  Tensor s = value(q.s0);
  Tensor rate = Tensor::empty(s.shape(), s.dtype(), backend);
  const bool relu = q.f.layers == nn::Hidden::relu;
  const Tensor zero = relu && kept ? Tensor::zeros({}, s.dtype(), backend) : Tensor();
  for (const Span& span : q.spans()) {
    const Tensor& u = value(span.u);
    copy_columns(u, kept ? layers.inputs[0].rows(span.begin, span.end) : layers.inputs[0], 0);
    for (std::int64_t k = span.begin; k < span.end; ++k) {
      const std::int64_t place = kept ? k : 0;
      copy_columns(s, layers.inputs[0].rows(place, place + 1), u.shape()[1]);
      for (std::int64_t j = 0; j < q.depth(); ++j) {
        const Tensor in = at(layers.inputs[j], place);
        Tensor out = at(layers.inputs[j + 1], place);
        Tensor slope = kept ? at(layers.slopes[j], place) : Tensor();
        multiply(in, q.f.hidden[j], out);
        if (relu) {
          if (kept) backend.binary(Binary::greater, out, zero, slope);
          backend.unary(Unary::relu, out, out);
          continue;
        }
        backend.silu(out, out, kept ? &slope : nullptr);
        if (j > 0) backend.binary(Binary::add, in, out, out);
      }
      multiply(at(layers.inputs[q.depth()], place), q.f.output, rate);
      Tensor next = at(y, k);
      backend.scale(rate, q.dt, 0, next);
      backend.binary(Binary::add, s, next, next);
      s = next;
    }
  }
}

/// Adds the cotangents of the wanted inputs to what they have received, from w, that of the states.
void backward(const Problem& q, const Call& n, const std::vector<int>& wanted, const Tensor& w, Vars& sums) {
  const auto value = [&](std::size_t i) -> const Tensor& { return n.inputs[i].value(); };
  const auto wants = [&](std::size_t i) {
    return std::find(wanted.begin(), wanted.end(), static_cast<int>(i)) != wanted.end();
  };
  const auto add = [&](std::size_t i, const Var& term) {
    const auto found = std::find(wanted.begin(), wanted.end(), static_cast<int>(i));
    accumulate(sums[static_cast<std::size_t>(found - wanted.begin())], term);
  };
  Backend& backend = w.backend();
  const auto empty = [&](const Shape& shape) { return Tensor::empty(shape, w.dtype(), backend); };
  const auto add_in_place = [&](Tensor y, const Tensor& term) { backend.binary(Binary::add, y, term, y); };
  const Layers layers(q, n.inputs, q.steps(), true, n.attributes.saved);
  const Shape& layer_shape = layers.slopes[0].shape();
  const std::int64_t p = value(q.u[0]).shape()[1];
  const std::int64_t d = w.shape()[2];

  // Cotangents. Of the states: place k holds what s_{k+1} has received, w at first.
  const Tensor of_states = w.clone();
  // Cotangents of the layers' sums. Those that enter a product over all steps are kept.
  const bool wants_u = std::any_of(q.u.begin(), q.u.end(), wants);
  std::vector<Tensor> of_sums;
  for (std::int64_t j = 0; j < q.depth(); ++j) {
    const nn::Linear& layer = q.f.hidden[j];
    const bool keep = wants(layer.weight) || wants(layer.bias) || (j == 0 && wants_u);
    of_sums.push_back(empty(keep ? layer_shape : layer_shape.with(0, 1)));
  }
  const Tensor& first = value(q.f.hidden[0].weight);
  const Tensor first_u = first.rows(0, p);
  const Tensor first_s = first.rows(p, p + d);
  Tensor last = empty(value(q.f.output.weight).shape());  // dt times the weight, in place of dt times each cotangent
  backend.scale(value(q.f.output.weight), q.dt, 0, last);
  Tensor of_h = empty(layer_shape.part(1, 3));
  Tensor through = empty(of_h.shape());
  Tensor of_s = empty(value(q.s0).shape());
  for (std::int64_t k = q.steps() - 1; k >= 0; --k) {
    backend.matmul(at(of_states, k), false, last, true, nullptr, of_h);
    Tensor of_sum;
    for (std::int64_t j = q.depth() - 1; j >= 0; --j) {
      of_sum = at(of_sums[j], of_sums[j].shape()[0] == 1 ? 0 : k);
      backend.binary(Binary::mul, of_h, at(layers.slopes[j], k), of_sum);
      if (j == 0) break;
      const bool skip = q.f.layers == nn::Hidden::residual_silu;
      backend.matmul(of_sum, false, value(q.f.hidden[j].weight), true, nullptr, skip ? through : of_h);
      if (skip) add_in_place(of_h, through);
    }
    if (k == 0 && !wants(q.s0)) break;
    backend.matmul(of_sum, false, first_s, true, nullptr, of_s);
    add_in_place(of_s, at(of_states, k));
    if (k > 0) add_in_place(at(of_states, k - 1), of_s);
  }

  if (wants(q.s0)) add(q.s0, of_s);
  for (std::int64_t j = 0; j < q.depth(); ++j) {
    const nn::Linear& layer = q.f.hidden[j];
    if (wants(layer.weight)) add(layer.weight, matmul(flat(layers.inputs[j]), flat(of_sums[j]), true));
    if (wants(layer.bias)) add(layer.bias, sum_to(flat(of_sums[j]), value(layer.bias).shape()));
  }
  const auto& [weight, bias] = q.f.output;
  if (wants(weight)) add(weight, q.dt * matmul(flat(layers.inputs[q.depth()]), flat(of_states), true));
  if (wants(bias)) add(bias, q.dt * sum_to(flat(of_states), value(bias).shape()));
  if (!wants_u) return;
  const Tensor of_u = matmul(of_sums[0], first_u, false, true).value();
  for (const Span& span : q.spans())
    if (wants(span.u))
      add(span.u, span.end - span.begin == 1 ? Var(at(of_u, span.begin))
                                             : sum_to(of_u.rows(span.begin, span.end), value(span.u).shape()));
}

}  // namespace

Var rollout_by_steps(const nn::Mlp& f, Inputs w, const Vars& u, const Var& s0, double dt) {
  if (u.empty()) throw Error("[rollout] no steps");
  Vars states;
  Var s = s0;
  for (const Var& own : u) {
    s = s + dt * f(w, autodiff::concat({own, s}, -1));
    states.push_back(s);
  }
  return reshape(concat(states, 0), s0.shape().prepend({static_cast<std::int64_t>(u.size())}));
}

Var rollout(const nn::Mlp& f, Inputs w, const Vars& u, const Var& s0, double dt) {
  Vars list;
  const auto place = [&](const nn::Linear& layer) {
    list.push_back(w[layer.weight]);
    list.push_back(w[layer.bias]);
  };
  for (const nn::Linear& layer : f.hidden) place(layer);
  place(f.output);
  list.insert(list.end(), u.begin(), u.end());
  list.push_back(s0);
  const auto guarded = [](const Var& x) { return x.tracked() && x.tape()->guarded(); };
  if (u.empty() || f.layers == nn::Hidden::residual_relu || std::any_of(list.begin(), list.end(), guarded))
    return rollout_by_steps(f, w, u, s0, dt);

  const autodiff::Distinct once(list);
  auto next = once.place.begin();
  const auto placed = [&] {
    const std::size_t weight = *next++;
    return nn::Linear{weight, *next++};
  };
  Problem q;
  for (std::size_t j = 0; j < f.hidden.size(); ++j) q.f.hidden.push_back(placed());
  q.f.output = placed();
  q.f.layers = f.layers;
  q.u.assign(next, once.place.end() - 1);
  q.s0 = once.place.back();
  q.dt = dt;

  const autodiff::Function formula = [q](const Vars& x) {
    return rollout_by_steps(q.f, x, q.parameters(x), x[q.s0], q.dt);
  };
  auto op = std::make_shared<autodiff::Op>();
  op->name = "rollout";
  op->shape = [q](Inputs x, const Attributes&) { return result_shape(q, x); };
  op->forward = [q](Backend& backend, Inputs x, Attributes& a, Tensor& y) { forward(q, backend, x, a, y); };
  op->vjp_all = [q, formula](const Call& n, const std::vector<int>& wanted, const Var& v, Vars& sums) {
    if (any_tracked(n.inputs) || v.tracked())
      vjp_by_formula(formula, n, wanted, v, sums);
    else
      backward(q, n, wanted, v.value(), sums);
  };
  op->jvp = [formula](const Call& n, const Vars& v) { return jvp_by_formula(formula, n, v); };
  return evaluate(op, once.values);
}

}  // namespace levda::models
