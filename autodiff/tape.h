#pragma once

/// The tape: an explicit, eager record of operations on tensors.
///
/// An operation on `Var`s computes its value at once. If one of its inputs is on a tape, it also appends a Node to that
/// tape: the operation, its inputs and its result. Nodes are in the order of computation. A sweep from the last to the
/// first node carries cotangents (vjp); a sweep from the first to the last carries tangents (jvp); see derivatives.h.
/// There is no current tape: a Var knows its tape, or it is a constant.

#include <array>
#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <vector>

#include "autodiff/tensor.h"

namespace levda::autodiff {

class Tape;
struct Op;

/// Where a Var finds its tape. It outlives the tape, so that a Var of a tape that no longer exists can be recognised.
/// Another tape may take it over later; stamps only grow, so no node ever gets the stamp of another one.
struct TapeSlot {
  std::atomic<Tape*> tape{nullptr};
  std::atomic<std::uint64_t> first_stamp{0};  // of the tape's nodes; earlier stamps belong to earlier tapes
  std::uint64_t next_stamp = 1;
};

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
  bool tracked() const { return slot_ != nullptr; }
  /// The tape, or null for a constant. Throws Error that begins with "[who]" when the tape no longer exists or is not
  /// that of the function which runs (internal/isolation.h), or a rewind removed the variable from it.
  Tape* tape(const char* who = "tape") const;
  /// Position of its node on the tape; -1 for a constant.
  std::int64_t id() const { return id_; }
  /// A constant with this value.
  Var detach() const { return Var(value_); }

 private:
  friend class Tape;
  Var(Tensor value, TapeSlot* slot, std::int64_t id, std::uint64_t stamp)
      : value_(std::move(value)), slot_(slot), id_(id), stamp_(stamp) {}

  Tensor value_;
  TapeSlot* slot_ = nullptr;
  std::int64_t id_ = -1;
  std::uint64_t stamp_ = 0;
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
  const char* as = nullptr;  // the name of the function that the user called, if it is not that of the operation
  bool recorded = false;     // set by evaluate: the call is recorded on a tape
  Tensor saved;              // kept by a recorded forward computation for the derivative rules
};

struct Node {
  std::shared_ptr<const Op> op;  // null: an independent variable
  Vars inputs;
  Attributes attributes;
  Tensor output;
  std::uint64_t stamp = 0;     // see TapeSlot
  std::uint64_t versions = 0;  // sum of the versions of all tensors, so that a later change shows (Storage::version)
  // Notes of the sweep that visits the node; see internal/sweep_plan.h.
  std::uint64_t visit = 0;
  std::int64_t place = 0;

  /// Name for messages: what the user called.
  const char* name() const;
};

/// A record of operations. Not thread-safe: one thread uses a tape at a time. Vars point to it, so it cannot be moved.
class Tape {
 public:
  Tape();
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// A new independent variable. It shares the storage of the tensor: a sweep throws Error when the tensor, or another
  /// part of its block of memory, was changed after an operation used it; give a clone() to change it freely. Throws
  /// Error for a tensor of integers or none.
  Var variable(Tensor value);
  Vars variables(std::span<const Tensor> values);
  Vars variables(std::initializer_list<Tensor> values) { return variables({values.begin(), values.size()}); }
  /// Appends a computed node; for operations only. Throws Error inside a function whose tape is another one.
  Var record(Node node);
  /// While it lives, a sweep visits the tape.
  class Sweep {
   public:
    explicit Sweep(Tape& tape) : tape_(tape) { ++tape_.sweeps_; }
    ~Sweep() { --tape_.sweeps_; }
    Sweep(const Sweep&) = delete;
    Sweep& operator=(const Sweep&) = delete;

   private:
    Tape& tape_;
  };

  /// Number of nodes.
  std::int64_t size() const { return static_cast<std::int64_t>(nodes_.size()); }
  /// Bytes that the nodes take, with their bookkeeping; a shared block counts once. audit.h lists them by operation.
  std::int64_t bytes() const;
  /// Throws Error when there is no such node.
  const Node& node(std::int64_t id) const {
    if (id < 0 || id >= size()) no_node(id);
    return nodes_[static_cast<std::size_t>(id)];
  }
  /// The variable at a node. Throws Error when there is no such node.
  Var var(std::int64_t id) const { return Var(node(id).output, slot_, id, node(id).stamp); }

  /// Removes all nodes from `mark` (an earlier size()) on and frees their memory. A later use of their Vars throws
  /// Error, and so do a mark that is not on the tape and a rewind by a rule while a sweep runs.
  void rewind(std::int64_t mark);

  /// Under guard, the first operation on this tape that produces a NaN or an infinity throws NonFiniteError, in the
  /// forward computation and in sweeps. Every result is read once more, so use it only to find an error. Default: off.
  void guard(bool on) { guarded_ = on; }
  bool guarded() const { return guarded_; }

 private:
  friend class Var;
  friend struct SweepPlan;
  bool holds(std::int64_t id, std::uint64_t stamp) const {
    return id < size() && nodes_[static_cast<std::size_t>(id)].stamp == stamp;
  }
  [[noreturn]] void no_node(std::int64_t id) const;

  TapeSlot* slot_;
  std::uint64_t birth_;  // tapes are numbered in the order in which they begin
  std::uint64_t visits_ = 0;
  int sweeps_ = 0;  // that run now
  std::vector<Node> nodes_;
  bool guarded_ = false;
};

}  // namespace levda::autodiff
