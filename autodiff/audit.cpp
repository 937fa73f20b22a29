#include "autodiff/audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_set>

#include "autodiff/error.h"
#include "autodiff/internal/sweep.h"

namespace levda::autodiff {

namespace {

/// Bytes of each node, and of its blocks that no earlier node holds.
std::vector<std::int64_t> bytes_of(const Tape& tape) {
  std::unordered_set<const Storage*> seen;
  std::vector<std::int64_t> bytes;
  for (std::int64_t id = 0; id < tape.size(); ++id) {
    const Node& node = tape.node(id);
    auto own = static_cast<std::int64_t>(sizeof(Node) + node.inputs.capacity() * sizeof(Var));
    const auto add = [&](const Tensor& x) {
      if (!x || !seen.insert(x.storage()).second) return;
      constexpr std::size_t control_block = 16;  // of the shared pointer
      own += static_cast<std::int64_t>(x.backend().footprint(x.storage()->bytes()) + sizeof(Storage) + control_block);
    };
    for (const Var& x : node.inputs) add(x.value());  // constants
    add(node.attributes.index);
    add(node.attributes.saved);
    add(node.output);
    bytes.push_back(own);
  }
  return bytes;
}

/// f(from, to) for every tracked input.
template <typename F>
void for_each_edge(const Tape& tape, const F& f) {
  for (std::int64_t id = 0; id < tape.size(); ++id)
    for (const Var& x : tape.node(id).inputs)
      if (x.tracked()) f(x.id(), id);
}

}  // namespace

TapeUse audit(const Tape& tape) {
  TapeUse use;
  use.nodes = tape.size();
  if (use.nodes > 0) use.memory = tape.node(0).output.backend().memory();
  const std::vector<std::int64_t> bytes = bytes_of(tape);
  std::map<std::string, OperationUse> by_name;
  for (std::int64_t id = 0; id < tape.size(); ++id) {
    OperationUse& operation = by_name[tape.node(id).name()];
    ++operation.nodes;
    operation.bytes += bytes[id];
    use.bytes += bytes[id];
  }
  for (auto& [name, operation] : by_name) {
    operation.operation = name;
    use.operations.push_back(operation);
  }
  std::stable_sort(use.operations.begin(), use.operations.end(),
                   [](const OperationUse& a, const OperationUse& b) { return a.bytes > b.bytes; });
  return use;
}

std::string TapeUse::text() const {
  std::string table = fmt::format("{:<18}{:>10}{:>16}\n", "operation", "nodes", "bytes");
  for (const OperationUse& one : operations)
    table += fmt::format("{:<18}{:>10}{:>16}\n", one.operation, one.nodes, one.bytes);
  return table + fmt::format("{:<18}{:>10}{:>16}\nmemory in use {}, at most {} bytes\n", "all", nodes, bytes,
                             memory.live, memory.peak);
}

std::optional<NonFinite> first_nonfinite(const Tape& tape) {
  for (std::int64_t id = 0; id < tape.size(); ++id) {
    const Node& node = tape.node(id);
    try {
      check_finite(node.name(), "", id, node.inputs, node.output);
    } catch (const NonFiniteError& error) {
      return NonFinite{id, error.what()};
    }
  }
  return std::nullopt;
}

std::string to_dot(const Tape& tape) {
  const std::vector<std::int64_t> bytes = bytes_of(tape);
  std::string text = "digraph tape {\n  node [shape=box];\n";
  for (std::int64_t id = 0; id < tape.size(); ++id) {
    const Tensor& y = tape.node(id).output;
    text += fmt::format("  n{} [label=\"{}: {}\\n{} {}\\n{} bytes\"];\n", id, id, tape.node(id).name(), name(y.dtype()),
                        y.shape().text(), bytes[id]);
  }
  for_each_edge(tape, [&](std::int64_t from, std::int64_t to) { text += fmt::format("  n{} -> n{};\n", from, to); });
  return text + "}\n";
}

std::string to_json(const Tape& tape) {
  const std::vector<std::int64_t> bytes = bytes_of(tape);
  std::string nodes;
  for (std::int64_t id = 0; id < tape.size(); ++id) {
    const Tensor& y = tape.node(id).output;
    nodes += fmt::format("{}{{\"id\": {}, \"operation\": \"{}\", \"shape\": [{}], \"dtype\": \"{}\", \"bytes\": {}}}",
                         id > 0 ? ",\n    " : "", id, tape.node(id).name(),
                         fmt::join(y.shape().begin(), y.shape().end(), ", "), name(y.dtype()), bytes[id]);
  }
  std::string edges;
  for_each_edge(tape, [&](std::int64_t from, std::int64_t to) {
    edges += fmt::format("{}[{}, {}]", edges.empty() ? "" : ", ", from, to);
  });
  return fmt::format("{{\n  \"nodes\": [\n    {}\n  ],\n  \"edges\": [{}]\n}}\n", nodes, edges);
}

}  // namespace levda::autodiff
