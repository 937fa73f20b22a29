#pragma once

/// The tape: an explicit, eager record of operations on tensors.
///
/// An operation on `Var`s computes its value at once. If one of its inputs is on a tape, it also appends a Node to that
/// tape: the operation, its inputs and its result. Nodes are in the order of computation. A sweep from the last to the
/// first node carries cotangents (vjp); a sweep from the first to the last carries tangents (jvp); see derivatives.h.
/// There is no current tape: a Var knows its tape, or it is a constant.

#include <array>
#include <memory>
#include <vector>

#include "autodiff/tensor.h"

namespace levda::autodiff {

class Tape;
struct Op;

/// A tensor in a formula: on a tape (tracked), or a constant. Cheap to copy.
class Var {
 public:
  /// No value; operator bool is false. As a tangent it means zero.
  Var() = default;
  /// A constant.
  Var(Tensor value) : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor)

  explicit operator bool() const { return static_cast<bool>(value_); }
  const Tensor& value() const { return value_; }
  const Shape& shape() const { return value_.shape(); }
  DType dtype() const { return value_.dtype(); }
  bool tracked() const { return tape_ != nullptr; }
  /// The tape, or null for a constant.
  Tape* tape() const { return tape_; }
  /// Position of its node on the tape; -1 for a constant.
  std::int64_t id() const { return id_; }
  /// A constant with this value.
  Var detach() const { return Var(value_); }

 private:
  friend class Tape;
  Var(Tensor value, Tape* tape, std::int64_t id) : value_(std::move(value)), tape_(tape), id_(id) {}

  Tensor value_;
  Tape* tape_ = nullptr;
  std::int64_t id_ = -1;
};

using Vars = std::vector<Var>;

/// Arguments of an operation besides its inputs. Each operation reads some of them. Axes count from the end (negative),
/// so that rules hold for tangents with extra leading axes.
struct Attributes {
  Shape shape;
  int axis = -1;
  std::int64_t begin = 0;
  std::int64_t extent = 0;
  bool transpose_a = false;
  bool transpose_b = false;
  std::array<std::int8_t, Shape::max_rank> permutation{};
  double alpha = 1;
  double beta = 0;
  Tensor index;
  bool recorded = false;  // set by evaluate: the call is recorded on a tape
  Tensor saved;           // kept by a recorded forward computation for the derivative rules
};

struct Node {
  std::shared_ptr<const Op> op;  // null: an independent variable
  Vars inputs;
  Attributes attributes;
  Tensor output;
};

/// A record of operations. Not thread-safe: one thread uses a tape at a time. Vars point to it, so it cannot be moved.
class Tape {
 public:
  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// A new independent variable. Throws Error for a tensor of integers.
  Var variable(Tensor value);
  Vars variables(std::span<const Tensor> values);
  /// Appends a computed node; for operations only.
  Var record(Node node);

  /// Number of nodes.
  std::int64_t size() const { return static_cast<std::int64_t>(nodes_.size()); }
  /// Bytes that the nodes hold; a shared block counts once. audit.h lists them by operation.
  std::int64_t bytes() const;
  const Node& node(std::int64_t id) const { return nodes_[static_cast<std::size_t>(id)]; }
  /// The variable at a node.
  Var var(std::int64_t id) { return Var(node(id).output, this, id); }

  /// Removes all nodes from `mark` (an earlier size()) on and frees their memory. Vars of removed nodes must not be
  /// used again.
  void rewind(std::int64_t mark);

  /// Under guard, the first operation on this tape that produces a NaN or an infinity throws NonFiniteError, in the
  /// forward computation and in sweeps. Every result is read once more, so use it only to find an error. Default: off.
  void guard(bool on) { guarded_ = on; }
  bool guarded() const { return guarded_; }

 private:
  std::vector<Node> nodes_;
  bool guarded_ = false;
};

}  // namespace levda::autodiff
