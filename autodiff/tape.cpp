#include "autodiff/tape.h"

#include <fmt/format.h>

#include <mutex>

#include "autodiff/audit.h"
#include "autodiff/error.h"
#include "autodiff/internal/isolation.h"
#include "autodiff/internal/sweep.h"
#include "autodiff/op.h"

namespace levda::autodiff {

namespace {

std::atomic<std::uint64_t> births{0};

/// The slots that no tape uses. Never destroyed, because a Var of static storage duration may outlive main.
struct FreeSlots {
  std::mutex mutex;
  std::vector<TapeSlot*> list;
};
FreeSlots& free_slots() {
  static FreeSlots* const slots = new FreeSlots;
  return *slots;
}

TapeSlot* take_slot(Tape* tape) {
  FreeSlots& slots = free_slots();
  const std::lock_guard lock(slots.mutex);
  if (slots.list.empty()) slots.list.push_back(new TapeSlot);
  TapeSlot* slot = slots.list.back();
  slots.list.pop_back();
  slot->first_stamp = slot->next_stamp;
  slot->tape = tape;
  return slot;
}

void return_slot(TapeSlot* slot) {
  FreeSlots& slots = free_slots();
  const std::lock_guard lock(slots.mutex);
  slot->tape = nullptr;
  slot->first_stamp = slot->next_stamp;
  slots.list.push_back(slot);
}

}  // namespace

thread_local Isolation::State Isolation::current;

Isolation::Isolation(const char* who) : outer_(current) { current = {who, births.load()}; }
Isolation::~Isolation() { current = outer_; }
void Isolation::check(std::uint64_t birth, const char* op) {
  if (birth < current.since)
    throw Error(fmt::format("[{}] a variable that is not among the inputs of the function of {}", op, current.who));
}

Tape* Var::tape(const char* who) const {
  if (slot_ == nullptr) return nullptr;
  Tape* const tape = slot_->tape.load(std::memory_order_relaxed);
  if (stamp_ < slot_->first_stamp.load(std::memory_order_relaxed) || tape == nullptr)
    throw Error(fmt::format("[{}] a variable of a tape that no longer exists", who));
  Isolation::check(tape->birth_, who);
  if (!tape->holds(id_, stamp_)) throw Error(fmt::format("[{}] a variable that a rewind removed from its tape", who));
  return tape;
}

const char* Node::name() const {
  return op == nullptr ? "variable" : attributes.as != nullptr ? attributes.as : op->name;
}

Tape::Tape() : slot_(take_slot(this)), birth_(births++) {}
Tape::~Tape() { return_slot(slot_); }

Var Tape::variable(Tensor value) {
  if (!value) throw Error("[variable] the tensor is empty");
  if (value.dtype() == DType::int64) throw Error("an int64 tensor cannot be an independent variable");
  return record({.op = nullptr, .inputs = {}, .attributes = {}, .output = std::move(value)});
}

Vars Tape::variables(std::span<const Tensor> values) {
  Vars variables;
  variables.reserve(values.size());
  for (const Tensor& value : values) variables.push_back(variable(value));
  return variables;
}

Var Tape::record(Node node) {
  Isolation::check(birth_, node.name());
  node.stamp = slot_->next_stamp++;
  node.versions = versions_of(node);
  nodes_.push_back(std::move(node));
  return var(size() - 1);
}

std::int64_t Tape::bytes() const { return audit(*this).bytes; }

void Tape::rewind(std::int64_t mark) {
  Isolation::check(birth_, "rewind");
  if (sweeps_ > 0) throw Error("rewind while a sweep visits the tape");
  if (mark < 0 || mark > size()) throw Error("rewind to a mark that is not on the tape");
  nodes_.resize(static_cast<std::size_t>(mark));
}

void Tape::no_node(std::int64_t id) const {
  throw Error(fmt::format("[tape] no node {} on a tape of {} nodes", id, size()));
}

}  // namespace levda::autodiff
