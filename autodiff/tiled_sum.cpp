#include "autodiff/tiled_sum.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"

namespace levda::autodiff {

namespace {

/// Enough for the threads of a large workstation; more would cost more to add up than they gain.
constexpr std::int64_t most_slots = 16;

struct Problem {
  TileFunction f;
  std::size_t shared_count;
  std::int64_t tile;
  std::int64_t row_count;

  std::int64_t tiles() const { return (row_count - 1) / tile + 1; }
  std::int64_t slots() const { return std::min(tiles(), most_slots); }
  /// Calls body(slot, first row, end row) for every tile; a slot's tiles in order, slots in parallel.
  template <typename Body>
  void for_each_tile(const Body& body) const {
    oneapi::tbb::parallel_for(
        oneapi::tbb::blocked_range<std::int64_t>(0, slots(), 1),
        [&](const auto& range) {
          for (std::int64_t slot = range.begin(); slot < range.end(); ++slot)
            for (std::int64_t i = slot * tiles() / slots(); i < (slot + 1) * tiles() / slots(); ++i)
              body(slot, i * tile, std::min((i + 1) * tile, row_count));
        },
        oneapi::tbb::simple_partitioner());
  }
};

/// The inputs of one tile on its tape: tracked where `wanted`.
struct Tile {
  Tape tape;
  Vars shared;
  Vars rows;
  Vars tracked;
  Tile(const Problem& problem, Inputs inputs, const std::vector<bool>& wanted, std::int64_t begin, std::int64_t end) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Tensor& whole = inputs[i].value();
      const Tensor value = i < problem.shared_count ? whole : whole.rows(begin, end);
      const Var x = wanted[i] ? tape.variable(value) : Var(value);
      (i < problem.shared_count ? shared : rows).push_back(x);
      if (wanted[i]) tracked.push_back(x);
    }
  }
};

Var checked(const Var& y) {
  if (y.shape().rank() != 0)
    throw Error(fmt::format("[tiled_sum] the tile's result has shape {}, not a scalar's", y.shape().text()));
  return y;
}

void add_in_place(Tensor& sum, const Tensor& term) { sum.backend().binary(Binary::add, sum, term, sum); }

/// Adds the slots' tensors into the first one, in order.
Tensor add_slots(std::vector<Tensor>& slots) {
  for (std::size_t slot = 1; slot < slots.size(); ++slot) add_in_place(slots[0], slots[slot]);
  return slots[0];
}

/// Value, and gradients of the wanted inputs for a cotangent of 1.
struct ForwardBackward {
  Tensor value;
  std::vector<Tensor> gradients;  // as the inputs; empty where not wanted

  ForwardBackward(const Problem& problem, Inputs inputs, const std::vector<bool>& wanted) : gradients(inputs.size()) {
    const Tensor& like = inputs[0].value();
    const auto zeros = [&](const Shape& shape) { return Tensor::zeros(shape, like.dtype(), like.backend()); };
    const bool any = std::find(wanted.begin(), wanted.end(), true) != wanted.end();
    std::vector<Tensor> values(problem.slots());
    std::vector<std::vector<Tensor>> slots(inputs.size());  // shared gradients per slot
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!wanted[i]) continue;
      if (i < problem.shared_count)
        slots[i].resize(problem.slots());
      else
        gradients[i] = zeros(inputs[i].shape());
    }
    for (Tensor& sum : values) sum = zeros({});
    problem.for_each_tile([&](std::int64_t slot, std::int64_t begin, std::int64_t end) {
      Tile tile(problem, inputs, wanted, begin, end);
      const Var y = checked(problem.f(tile.shared, tile.rows));
      add_in_place(values[slot], y.value());
      if (!any || !y.tracked()) return;
      const Vars g = vjp(y, Tensor::full({}, 1, y.dtype(), like.backend()), tile.tracked);
      std::size_t next = 0;
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        if (!wanted[i]) continue;
        const Tensor& gradient = g[next++].value();
        if (i >= problem.shared_count) {
          Tensor part = gradients[i].rows(begin, end);
          add_in_place(part, gradient);
        } else if (!slots[i][slot]) {
          slots[i][slot] = gradient.unique() ? gradient : gradient.clone();
        } else {
          add_in_place(slots[i][slot], gradient);
        }
      }
    });
    value = add_slots(values);
    for (std::size_t i = 0; i < problem.shared_count; ++i) {
      if (!wanted[i]) continue;
      for (Tensor& slot : slots[i])
        if (!slot) slot = zeros(inputs[i].shape());
      gradients[i] = add_slots(slots[i]);
    }
  }
};

Var tangent_sum(const Problem& problem, Inputs inputs, const Vars& v, const Tensor& like) {
  std::vector<bool> wanted;
  Shape lead;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    wanted.push_back(static_cast<bool>(v[i]));
    if (v[i]) lead = v[i].shape().part(0, v[i].shape().rank() - inputs[i].shape().rank());
  }
  std::vector<Tensor> slots(problem.slots());
  for (Tensor& slot : slots) slot = Tensor::zeros(lead, like.dtype(), like.backend());
  problem.for_each_tile([&](std::int64_t slot, std::int64_t begin, std::int64_t end) {
    Tile tile(problem, inputs, wanted, begin, end);
    const Var y = checked(problem.f(tile.shared, tile.rows));
    if (!y.tracked()) return;
    Vars tangents;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!wanted[i]) continue;
      const int axis = -inputs[i].shape().rank();
      tangents.push_back(i < problem.shared_count ? v[i].detach() : slice(v[i].detach(), axis, begin, end - begin));
    }
    add_in_place(slots[slot], jvp(y, tile.tracked, tangents).value());
  });
  return add_slots(slots);
}

/// The sub-tapes are gone when a sweep runs: its own arithmetic cannot be recorded.
void refuse_tracked(const char* sweep, Inputs values) {
  for (const Var& x : values)
    if (x.tracked())
      throw Error(fmt::format("[tiled_sum] a {} that is to be differentiated again is not available", sweep));
}

}  // namespace

Var tiled_sum(const TileFunction& f, const Vars& shared, const Vars& rows, std::int64_t tile) {
  if (tile < 1) throw Error(fmt::format("[tiled_sum] a tile of {} rows", tile));
  if (rows.empty()) throw Error("[tiled_sum] no rows");
  for (const Var& x : rows)
    if (x.shape().rank() == 0 || x.shape()[0] != rows[0].shape()[0])
      throw Error(fmt::format("[tiled_sum] rows of shapes {} and {}", rows[0].shape().text(), x.shape().text()));
  if (rows[0].shape()[0] == 0) throw Error("[tiled_sum] no rows");
  const Problem problem{f, shared.size(), tile, rows[0].shape()[0]};
  Vars inputs = shared;
  inputs.insert(inputs.end(), rows.begin(), rows.end());
  std::vector<bool> wanted;
  for (const Var& x : inputs) wanted.push_back(x.tracked());

  // The gradients are ready before the row's rules exist, so the row is made here; evaluate checks and records it.
  auto gradients = std::make_shared<std::vector<Tensor>>();
  auto op = std::make_shared<Op>();
  op->name = "tiled_sum";
  op->shape = [](Inputs, const Attributes&) { return Shape(); };
  op->forward = [problem, wanted, gradients](Backend&, Inputs x, Attributes&, Tensor& y) {
    ForwardBackward both(problem, x, wanted);
    y = both.value;
    *gradients = std::move(both.gradients);
  };
  op->vjp = [gradients](const Call& n, int i, const Var& w) {
    refuse_tracked("vjp", n.inputs);
    return w * Var((*gradients)[i]);
  };
  op->jvp = [problem](const Call& n, const Vars& v) {
    refuse_tracked("jvp", n.inputs);
    refuse_tracked("jvp", v);
    return tangent_sum(problem, n.inputs, v, n.output.value());
  };
  return evaluate(op, std::move(inputs));
}

}  // namespace levda::autodiff
