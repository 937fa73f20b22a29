#pragma once

/// The tape: an explicit, eager record of operations on tensors.
///
/// An operation on `Var`s computes its value at once. If one of its inputs is on a tape, it also leaves a Node there:
/// which operation, on which inputs, with which result. Nodes are in the order of computation, so a sweep from the
/// last to the first carries cotangents (vjp), one from the first to the last carries tangents (jvp); see
/// derivatives.h. There is no current tape: a Var knows the tape it is on, or is a constant.

#include <array>
#include <memory>
#include <vector>

#include "autodiff/tensor.h"

namespace levda::autodiff {

class Tape;
struct Op;

/// A tensor in a computation: on a tape (tracked), or a constant. Cheap to copy.
class Var {
 public:
  /// No value at all; operator bool is false. Stands for a zero tangent.
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
  /// The same value as a constant.
  Var detach() const { return Var(value_); }

 private:
  friend class Tape;
  Var(Tensor value, Tape* tape, std::int64_t id) : value_(std::move(value)), tape_(tape), id_(id) {}

  Tensor value_;
  Tape* tape_ = nullptr;
  std::int64_t id_ = -1;
};

using Vars = std::vector<Var>;

/// What an operation needs besides its inputs; each operation says in op.h which fields it reads. Axes are counted
/// from the end (negative), so that rules hold for tangents with extra leading axes.
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
  bool recorded = false;  // set by evaluate: the call goes on a tape
  Tensor saved;           // what a recorded forward computation keeps for the derivative rules
};

struct Node {
  std::shared_ptr<const Op> op;  // null: an independent variable
  Vars inputs;
  Attributes attributes;
  Tensor output;
};

/// Not thread-safe: one thread uses a tape at a time. Vars point to it, so it does not move.
class Tape {
 public:
  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// A new independent variable.
  Var variable(Tensor value);
  Vars variables(std::span<const Tensor> values);
  /// Appends a computed node; for operations only.
  Var record(Node node);

  /// Number of nodes.
  std::int64_t size() const { return static_cast<std::int64_t>(nodes_.size()); }
  /// Memory that the nodes hold, shared blocks counted once; see audit.h for what holds it.
  std::int64_t bytes() const;
  const Node& node(std::int64_t id) const { return nodes_[static_cast<std::size_t>(id)]; }
  /// The variable at a node.
  Var var(std::int64_t id) { return Var(node(id).output, this, id); }

  /// Forgets all nodes from `mark` (an earlier size()) on, and frees what only they held. Vars of forgotten nodes must
  /// not be used again.
  void rewind(std::int64_t mark);

  /// Under guard, the first operation on this tape that makes a NaN or an infinity throws NonFiniteError, in the
  /// forward computation as in a sweep. Every result is read once more, so it is for the search of an error.
  void guard(bool on) { guarded_ = on; }
  bool guarded() const { return guarded_; }

 private:
  std::vector<Node> nodes_;
  bool guarded_ = false;
};

}  // namespace levda::autodiff
