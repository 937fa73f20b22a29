#include "autodiff/tiled_sum.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "autodiff/error.h"
#include "autodiff/internal/isolation.h"
#include "autodiff/internal/sweep.h"
#include "autodiff/ops/rows.h"

namespace levda::autodiff {

namespace {

/// A sum over tiles: the function of the inputs of one tile, and how the inputs are cut.
struct Problem {
  std::function<Var(Vars)> f;
  std::vector<bool> cut;  // which inputs are rows
  std::int64_t tile;
  std::int64_t row_count;
  std::int64_t lanes;
  bool guard;

  std::int64_t tiles() const { return (row_count - 1) / tile + 1; }
  std::int64_t slots() const { return std::min(tiles(), lanes); }
  /// Where the rows of a slot end.
  std::int64_t end_of(std::int64_t slot) const { return std::min((slot + 1) * tiles() / slots() * tile, row_count); }
  /// Calls body(slot, first row, end row) for every tile: the tiles of a slot in order, the slots in parallel.
  template <typename Body>
  void for_each_tile(const Body& body) const {
    const auto run = [&](std::int64_t slot) {
      const Isolation own_tapes_only("tiled_sum");
      for (std::int64_t i = slot * tiles() / slots(); i < (slot + 1) * tiles() / slots(); ++i) {
        const std::int64_t begin = i * tile;
        const std::int64_t end = begin + std::min(tile, row_count - begin);
        try {
          body(slot, begin, end);
        } catch (const NonFiniteError& error) {
          throw NonFiniteError(fmt::format("tile {} (rows {} to {}): {}", i, begin, end - 1, error.what()));
        }
      }
    };
    if (slots() == 1) return run(0);  // on this thread, because a device may be recording its operations
    Isolation::run_loop([&] {
      oneapi::tbb::parallel_for(
          oneapi::tbb::blocked_range<std::int64_t>(0, slots(), 1),
          [&](const auto& range) {
            for (std::int64_t slot = range.begin(); slot < range.end(); ++slot) run(slot);
          },
          oneapi::tbb::simple_partitioner());
    });
  }
};

using Shared = std::shared_ptr<const Problem>;

/// The inputs of one tile: variables of its tape where `wanted`.
struct Tile {
  Tape tape;
  Vars inputs;
  Vars tracked;
  Tile(const Problem& problem, Inputs whole, const std::vector<bool>& wanted, std::int64_t begin, std::int64_t end) {
    tape.guard(problem.guard);
    inputs.reserve(whole.size());
    for (std::size_t i = 0; i < whole.size(); ++i) {
      const Tensor value = problem.cut[i] ? whole[i].value().rows(begin, end) : whole[i].value();
      inputs.push_back(wanted[i] ? tape.variable(value) : Var(value));
      if (wanted[i]) tracked.push_back(inputs.back());
    }
  }
};

Var checked(const Var& y) {
  if (!y) throw Error("[tiled_sum] the function returned no value for a tile");
  if (y.tracked()) (void)y.tape("tiled_sum");  // an Error if it is a captured variable
  if (y.shape().rank() != 0)
    throw Error(fmt::format("[tiled_sum] the result for a tile has shape {} and is not a scalar", y.shape().text()));
  return y;
}

void add_in_place(Tensor& sum, const Tensor& term) { sum.backend().binary(Binary::add, sum, term, sum); }

/// A sum of tensors in pairs of equal numbers of terms, so that its error grows with the logarithm of their number:
/// part k is empty or holds the sum of 2^k terms.
class PairwiseSum {
 public:
  void add(const Tensor& term) {
    const bool ours = term.unique();
    Tensor sum = term;
    std::size_t k = 0;
    for (; k < parts_.size() && parts_[k]; ++k) {
      add_in_place(parts_[k], sum);
      sum = std::exchange(parts_[k], Tensor());
    }
    if (k == parts_.size()) parts_.emplace_back();
    parts_[k] = k == 0 && !ours ? sum.clone() : std::move(sum);
  }
  /// Adds up all parts, so that only their sum is held.
  void collapse() {
    const Tensor sum = total();
    parts_.assign(1, sum);
  }
  /// Empty if there were no terms.
  Tensor total() {
    Tensor sum;
    for (Tensor& part : parts_) {
      if (part && sum) add_in_place(part, sum);
      if (part) sum = std::exchange(part, Tensor());
    }
    return sum;
  }

 private:
  std::vector<Tensor> parts_;
};

/// Adds the sums of all slots, in order; zeros if there are none.
Tensor add_slots(std::vector<PairwiseSum>& slots, const Shape& shape, const Tensor& like) {
  Tensor sum;
  for (PairwiseSum& slot : slots) {
    const Tensor term = slot.total();
    if (term && sum)
      add_in_place(sum, term);
    else if (term)
      sum = term;
  }
  return sum ? sum : Tensor::zeros(shape, like.dtype(), like.backend());
}

/// Value, and gradients of the wanted inputs for a cotangent of 1.
struct ForwardBackward {
  Tensor value;
  std::vector<Tensor> gradients;  // one per input; empty if not wanted

  ForwardBackward(const Problem& problem, Inputs inputs, const std::vector<bool>& wanted) : gradients(inputs.size()) {
    const Tensor& like = inputs[0].value();
    const bool any = std::find(wanted.begin(), wanted.end(), true) != wanted.end();
    std::vector<PairwiseSum> values(problem.slots());
    std::vector<std::vector<PairwiseSum>> slots(inputs.size());  // shared gradients per slot
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!wanted[i]) continue;
      if (problem.cut[i])
        gradients[i] = Tensor::zeros(inputs[i].shape(), like.dtype(), like.backend());
      else
        slots[i].resize(problem.slots());
    }
    problem.for_each_tile([&](std::int64_t slot, std::int64_t begin, std::int64_t end) {
      Tile tile(problem, inputs, wanted, begin, end);
      const Var y = checked(problem.f(std::move(tile.inputs)));
      values[slot].add(y.value());
      if (!any || !y.tracked()) return;
      const Vars g = vjp(y, Tensor::full({}, 1, y.dtype(), like.backend()), tile.tracked);
      std::size_t next = 0;
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        if (!wanted[i]) continue;
        const Tensor& gradient = g[next++].value();
        if (problem.cut[i]) {
          Tensor part = gradients[i].rows(begin, end);
          add_in_place(part, gradient);
        } else {
          slots[i][slot].add(gradient);
          if (end == problem.end_of(slot)) slots[i][slot].collapse();
        }
      }
    });
    value = add_slots(values, {}, like);
    for (std::size_t i = 0; i < inputs.size(); ++i)
      if (wanted[i] && !problem.cut[i]) gradients[i] = add_slots(slots[i], inputs[i].shape(), like);
  }
};

Var tangent_sum(const Problem& problem, Inputs inputs, const Vars& v, const Tensor& like) {
  std::vector<bool> wanted;
  Shape lead;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    wanted.push_back(static_cast<bool>(v[i]));
    if (v[i]) lead = v[i].shape().part(0, v[i].shape().rank() - inputs[i].shape().rank());
  }
  std::vector<PairwiseSum> slots(problem.slots());
  problem.for_each_tile([&](std::int64_t slot, std::int64_t begin, std::int64_t end) {
    Tile tile(problem, inputs, wanted, begin, end);
    const Var y = checked(problem.f(std::move(tile.inputs)));
    if (!y.tracked()) return;
    Vars tangents;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!wanted[i]) continue;
      const int axis = -inputs[i].shape().rank();
      tangents.push_back(problem.cut[i] ? slice(v[i].detach(), axis, begin, end - begin) : v[i].detach());
    }
    slots[slot].add(jvp(y, tile.tracked, tangents).value());
  });
  return add_slots(slots, lead, like);
}

// Higher derivatives. When a sweep runs, the tapes of the tiles no longer exist, but the derivative of a tiled sum is
// the gradient of another tiled sum. With g the gradient of f and H its Hessian, H u is the gradient of <g, u>, and H v
// is the gradient of the slope of f along v. Both are sums over tiles that run forward and backward in the same way.

Vars with_more(const Vars& inputs, const Vars& more) {
  Vars all = inputs;
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

Vars chosen(Inputs values, const std::vector<bool>& which) {
  Vars some;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (which[i]) some.push_back(values[i]);
  return some;
}

/// The sum of derived(y, x, more), where y is f at x and x are the inputs `which`. Its inputs are those of f followed
/// by `more`, one for each x, in the same shape and cut in the same way.
template <typename Derived>
Shared derived_sum(const Shared& of, const std::vector<bool>& which, Derived derived) {
  auto problem = std::make_shared<Problem>(*of);
  for (std::size_t i = 0; i < of->cut.size(); ++i)
    if (which[i]) problem->cut.push_back(of->cut[i]);
  problem->f = [of, which, derived](Vars inputs) {
    Tape own;
    own.guard(of->guard);
    Tape* tape = &own;  // or the one that the tile's inputs are on
    for (const Var& x : inputs)
      if (x.tracked()) tape = x.tape("tiled_sum");
    const std::size_t count = of->cut.size();
    const Vars more(inputs.begin() + static_cast<std::ptrdiff_t>(count), inputs.end());
    inputs.resize(count);
    for (std::size_t i = 0; i < count; ++i)
      if (which[i] && !inputs[i].tracked()) inputs[i] = tape->variable(inputs[i].value());
    const Vars x = chosen(inputs, which);
    const Tensor like = inputs[0].value();
    const Var y = checked(of->f(std::move(inputs)));
    Var result = constant(0, {}, like);
    if (y.tracked()) result = derived(y, x, more);
    return tape == &own ? result.detach() : result;
  };
  return problem;
}

/// The sum of <g, u> with the gradients g with respect to `which`.
Shared gradient_dot(const Shared& of, const std::vector<bool>& which) {
  return derived_sum(of, which, [](const Var& y, const Vars& x, const Vars& u) {
    const Vars g = vjp(y, constant(1, {}, y), x, Graph::keep);
    Var total = constant(0, {}, y);
    for (std::size_t i = 0; i < x.size(); ++i) total = total + dot(g[i], u[i]);
    return total;
  });
}

/// The sum of the slopes along the tangents v of `which`.
Shared slope(const Shared& of, const std::vector<bool>& which) {
  return derived_sum(of, which, [](const Var& y, const Vars& x, const Vars& v) { return jvp(y, x, v, Graph::keep); });
}

/// All parts one after the other in one axis, and the inverse.
Var flat(const Vars& parts) {
  Vars lists;
  for (const Var& part : parts) lists.push_back(reshape(part, {part.shape().size()}));
  return concat(lists, 0);
}
Vars unflat(const Var& list, const Vars& like) {
  Vars parts;
  std::int64_t begin = 0;
  for (const Var& x : like) {
    parts.push_back(reshape(slice(list, 0, begin, x.shape().size()), x.shape()));
    begin += x.shape().size();
  }
  return parts;
}

std::vector<bool> present(const Vars& v) {
  std::vector<bool> which;
  for (const Var& one : v) which.push_back(static_cast<bool>(one));
  return which;
}

/// f for each direction that the tangents v (some may be empty) carry in their leading axes.
template <typename F>
Var for_each_direction(Inputs inputs, const Vars& v, const Shape& result, const F& f) {
  Shape lead;
  Vars tangents;
  Vars like;
  for (std::size_t i = 0; i < v.size(); ++i) {
    if (!v[i]) continue;
    lead = v[i].shape().part(0, v[i].shape().rank() - inputs[i].shape().rank());
    tangents.push_back(v[i]);
    like.push_back(inputs[i]);
  }
  if (lead.rank() == 0) return f(tangents);
  if (lead.size() == 0) return constant(0, result.prepend(lead), inputs[0]);
  Vars results;
  for (std::int64_t k = 0; k < lead.size(); ++k) {
    Vars one;
    for (std::size_t i = 0; i < tangents.size(); ++i) {
      const Shape& shape = like[i].shape();
      one.push_back(reshape(slice(reshape(tangents[i], shape.prepend({lead.size()})), 0, k, 1), shape));
    }
    results.push_back(f(one));
  }
  return reshape(stack(results, 0), result.prepend(lead));
}

/// The flat gradients of the sum with respect to the inputs `of`, as one operation. ready: the gradients if they are
/// already known.
Var gradient_sum(const Shared& problem, const Vars& inputs, const std::vector<bool>& of, const Vars& ready = {}) {
  std::int64_t size = 0;
  for (const Var& x : chosen(inputs, of)) size += x.shape().size();
  auto op = std::make_shared<Op>();
  op->name = "tiled_gradient";
  op->shape = [size](Inputs, const Attributes&) { return Shape{size}; };
  op->forward = [problem, of, ready](Backend&, Inputs x, Attributes&, Tensor& y) {
    if (!ready.empty()) {
      y = flat(ready).value();
      return;
    }
    const ForwardBackward both(*problem, x, of);
    y = flat(chosen(Vars(both.gradients.begin(), both.gradients.end()), of)).value();
  };
  op->vjp_all = [problem, of](const Call& n, const std::vector<int>& wanted, const Var& u, Vars& sums) {
    const Vars x(n.inputs.begin(), n.inputs.end());
    const Vars parts = unflat(u, chosen(x, of));
    std::vector<bool> towards(x.size() + parts.size(), false);
    for (const int i : wanted) towards[i] = true;
    const Var product = gradient_sum(gradient_dot(problem, of), with_more(x, parts), towards);
    const Vars cotangents = unflat(product, chosen(x, towards));
    for (std::size_t k = 0; k < wanted.size(); ++k) accumulate(sums[k], cotangents[k]);
  };
  op->jvp = [problem, of](const Call& n, const Vars& v) {
    const Vars x(n.inputs.begin(), n.inputs.end());
    const Shared along = slope(problem, present(v));
    return for_each_direction(n.inputs, v, n.output.shape(), [&](const Vars& tangents) {
      std::vector<bool> towards = of;
      towards.resize(x.size() + tangents.size(), false);
      return gradient_sum(along, with_more(x, tangents), towards);
    });
  };
  return evaluate(op, inputs);
}

/// The sum as one operation.
Var sum_of_tiles(const Shared& problem, const Vars& inputs) {
  std::vector<bool> tracked;
  for (const Var& x : inputs) tracked.push_back(x.tracked());

  // The rules use gradients that the forward computation stores, so the row is made here; evaluate records it.
  auto gradients = std::make_shared<std::vector<Tensor>>();
  auto op = std::make_shared<Op>();
  op->name = "tiled_sum";
  op->shape = [](Inputs, const Attributes&) { return Shape(); };
  op->forward = [problem, tracked, gradients](Backend&, Inputs x, Attributes&, Tensor& y) {
    ForwardBackward both(*problem, x, tracked);
    y = both.value;
    *gradients = std::move(both.gradients);
  };
  op->vjp_all = [problem, gradients](const Call& n, const std::vector<int>& wanted, const Var& w, Vars& sums) {
    Vars ready;
    for (const int i : wanted) ready.emplace_back((*gradients)[i]);
    if (any_tracked(n.inputs)) {  // the result must be differentiable again
      const Vars x(n.inputs.begin(), n.inputs.end());
      std::vector<bool> of(x.size(), false);
      for (const int i : wanted) of[i] = true;
      ready = unflat(gradient_sum(problem, x, of, ready), chosen(x, of));
    }
    for (std::size_t k = 0; k < wanted.size(); ++k) accumulate(sums[k], w * ready[k]);
  };
  op->jvp = [problem](const Call& n, const Vars& v) {
    if (!any_tracked(n.inputs) && !any_tracked(v)) return tangent_sum(*problem, n.inputs, v, n.output.value());
    const Vars x(n.inputs.begin(), n.inputs.end());
    const Shared along = slope(problem, present(v));
    return for_each_direction(n.inputs, v, {},
                              [&](const Vars& tangents) { return sum_of_tiles(along, with_more(x, tangents)); });
  };
  return evaluate(op, inputs);
}

}  // namespace

Var tiled_sum(const TileFunction& f, const Vars& shared, const Vars& rows, std::int64_t tile) {
  if (tile < 1) throw Error(fmt::format("[tiled_sum] a tile has {} rows, not at least 1", tile));
  if (!f) throw Error("[tiled_sum] no function");
  if (rows.empty()) throw Error("[tiled_sum] no rows");
  for (const Var& x : rows)
    if (x.shape().rank() == 0 || x.shape()[0] != rows[0].shape()[0])
      throw Error(fmt::format("[tiled_sum] rows of shapes {} and {}", rows[0].shape().text(), x.shape().text()));
  if (rows[0].shape()[0] == 0) throw Error("[tiled_sum] no rows");
  const Vars inputs = with_more(shared, rows);
  auto problem = std::make_shared<Problem>();
  problem->f = [f, count = shared.size()](Vars all) {
    const auto first_row = all.begin() + static_cast<std::ptrdiff_t>(count);
    const Vars tile_rows(std::make_move_iterator(first_row), std::make_move_iterator(all.end()));
    all.resize(count);
    return f(all, tile_rows);
  };
  problem->cut.assign(shared.size(), false);
  problem->cut.resize(inputs.size(), true);
  problem->tile = std::min(tile, rows[0].shape()[0]);
  problem->row_count = rows[0].shape()[0];
  problem->lanes = rows[0].value().backend().lanes();
  problem->guard = std::any_of(inputs.begin(), inputs.end(),
                               [](const Var& x) { return x.tracked() && x.tape("tiled_sum")->guarded(); });
  return sum_of_tiles(problem, inputs);
}

}  // namespace levda::autodiff
