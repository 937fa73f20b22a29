#include "autodiff/tape.h"

#include <unordered_set>

#include "autodiff/error.h"
#include "autodiff/op.h"

namespace levda::autodiff {

Var Tape::variable(Tensor value) {
  if (value.dtype() == DType::int64) throw Error("an int64 tensor cannot be an independent variable");
  return record({nullptr, {}, {}, std::move(value)});
}

Vars Tape::variables(std::span<const Tensor> values) {
  Vars variables;
  variables.reserve(values.size());
  for (const Tensor& value : values) variables.push_back(variable(value));
  return variables;
}

Var Tape::record(Node node) {
  nodes_.push_back(std::move(node));
  return var(size() - 1);
}

std::int64_t Tape::bytes() const {
  std::unordered_set<const Storage*> seen;
  std::int64_t bytes = 0;
  const auto add = [&](const Tensor& x) {
    if (x && seen.insert(x.storage()).second) bytes += static_cast<std::int64_t>(x.storage()->bytes());
  };
  for (const Node& node : nodes_) {
    for (const Var& x : node.inputs) add(x.value());  // constants too
    for (const Tensor& x : {node.attributes.index, node.attributes.saved, node.output}) add(x);
  }
  return bytes;
}

void Tape::rewind(std::int64_t mark) {
  if (mark < 0 || mark > size()) throw Error("rewind to a mark that is not on the tape");
  nodes_.resize(static_cast<std::size_t>(mark));
}

}  // namespace levda::autodiff
