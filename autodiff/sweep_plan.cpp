#include "autodiff/internal/sweep_plan.h"

#include <algorithm>
#include <limits>

namespace levda::autodiff {

namespace {

// What Node::place says during the search, if it is not yet a place.
constexpr std::int64_t variable = -1;  // of wrt, not reached so far
constexpr std::int64_t reached = -2;
constexpr std::int64_t reached_variable = -3;

}  // namespace

SweepPlan::SweepPlan(Tape& tape, Inputs results, Inputs wrt, std::int64_t floor) {
  const std::uint64_t visit = ++tape.visits_;
  const auto node = [&](std::int64_t id) -> Node& { return tape.nodes_[static_cast<std::size_t>(id)]; };
  std::int64_t first = std::numeric_limits<std::int64_t>::max();
  for (const Var& x : wrt) {
    node(x.id()).visit = visit;
    node(x.id()).place = variable;
    first = std::min(first, x.id());
  }
  floor = std::max(floor, first);  // no earlier node depends on the variables

  std::vector<std::int64_t> found;
  std::vector<std::int64_t> open;
  const auto reach = [&](const Var& x) {
    Node& n = node(x.id());
    if (n.visit == visit) {
      if (n.place != variable) return;
      n.place = reached_variable;
    } else {
      if (x.id() < floor) return;
      n.visit = visit;
      n.place = reached;
      open.push_back(x.id());
    }
    found.push_back(x.id());
  };
  for (const Var& y : results) reach(y);
  while (!open.empty()) {
    const std::int64_t id = open.back();
    open.pop_back();
    for (const Var& x : node(id).inputs)
      if (x.tracked()) reach(x);
  }

  std::sort(found.begin(), found.end());
  first_edge.push_back(0);
  for (const std::int64_t id : found) {
    Node& n = node(id);
    if (n.place != reached_variable) {
      for (std::size_t i = 0; i < n.inputs.size(); ++i) {
        if (!n.inputs[i].tracked()) continue;
        const Node& input = node(n.inputs[i].id());
        if (input.visit == visit && input.place >= 0) edges.push_back({static_cast<int>(i), input.place});
      }
      if (edges.size() == first_edge.back()) continue;  // it does not depend on the variables
    }
    n.place = size();
    ids.push_back(id);
    first_edge.push_back(edges.size());
  }
}

std::int64_t SweepPlan::place(std::int64_t id) const {
  const auto at = std::lower_bound(ids.begin(), ids.end(), id);
  return at != ids.end() && *at == id ? at - ids.begin() : -1;
}

}  // namespace levda::autodiff
