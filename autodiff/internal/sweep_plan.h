#pragma once

/// The nodes that a sweep visits.

#include <cstdint>
#include <vector>

#include "autodiff/op.h"

namespace levda::autodiff {

/// The nodes that results are computed from and that depend on chosen variables, in the order of the tape. To find them
/// costs time in proportion to the nodes that the results are computed from, not to the length of the tape.
struct SweepPlan {
  struct Edge {
    int input;           // of the node
    std::int64_t place;  // of the node that the input is
  };

  std::vector<std::int64_t> ids;        // of the nodes, ascending; a place is a position in this list
  std::vector<std::size_t> first_edge;  // of each node, and the end
  std::vector<Edge> edges;              // none for the variables

  /// results: on the tape; `wrt`: variables of it, which count as independent of each other. Nodes before `floor` that
  /// are not in wrt count as constants.
  SweepPlan(Tape& tape, Inputs results, Inputs wrt, std::int64_t floor);

  std::int64_t size() const { return static_cast<std::int64_t>(ids.size()); }
  /// Place of a node; -1 if the sweep does not visit it.
  std::int64_t place(std::int64_t id) const;
  std::span<const Edge> edges_of(std::int64_t place) const {
    return std::span(edges).subspan(first_edge[place], first_edge[place + 1] - first_edge[place]);
  }
};

}  // namespace levda::autodiff
