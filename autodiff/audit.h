#pragma once

/// Accounts of a tape: its operations, its memory, and the first value that is not finite.

#include <optional>
#include <string>
#include <vector>

#include "autodiff/tape.h"

namespace levda::autodiff {

/// The number and the memory of the nodes of one operation.
struct OperationUse {
  std::string operation;  ///< "variable" for independent variables
  std::int64_t nodes = 0;
  std::int64_t bytes = 0;  ///< of the nodes, and of blocks that no earlier node holds
};

struct TapeUse {
  std::int64_t nodes = 0;
  std::int64_t bytes = 0;                ///< sum over the operations; equals Tape::bytes()
  std::vector<OperationUse> operations;  ///< most bytes first, then by name
  MemoryUse memory;                      ///< all memory in use on the device of the tape's first node
  /// A readable table.
  std::string text() const;
};
TapeUse audit(const Tape& tape);

/// The first node whose value is not finite.
struct NonFinite {
  std::int64_t node;
  /// Operation, shapes and ranges, as in the message of NonFiniteError.
  std::string text;
};
std::optional<NonFinite> first_nonfinite(const Tape& tape);

/// The graph in Graphviz' language: a box per node, an arrow from each tracked input.
std::string to_dot(const Tape& tape);
/// {"nodes": [{"id", "operation", "shape", "dtype", "bytes"}, ..], "edges": [[from, to], ..]}.
std::string to_json(const Tape& tape);

}  // namespace levda::autodiff
