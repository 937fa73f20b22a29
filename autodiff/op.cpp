#include "autodiff/op.h"

#include <fmt/format.h>

#include "autodiff/error.h"
#include "autodiff/internal/sweep.h"
#include "autodiff/ops/rows.h"

namespace levda::autodiff {

Var evaluate(const std::shared_ptr<const Op>& op, Vars inputs, Attributes attributes) {
  if (!op) throw Error("[evaluate] no operation");
  const char* const who = attributes.as != nullptr ? attributes.as : op->name;
  if (inputs.empty()) throw Error(fmt::format("[{}] no inputs", who));
  Tape* tape = nullptr;
  for (const Var& input : inputs) {
    if (!input) throw Error(fmt::format("[{}] an input has no value", who));
    const Tensor& first = inputs.front().value();
    if (input.dtype() == DType::int64) throw Error(fmt::format("[{}] an input has type int64", who));
    if (input.dtype() != first.dtype())
      throw Error(fmt::format("[{}] the inputs have types {} and {}", who, name(first.dtype()), name(input.dtype())));
    if (&input.value().backend() != &first.backend())
      throw Error(fmt::format("[{}] the inputs are on devices {} and {}", who, name(first.device()),
                              name(input.value().device())));
    if (!input.tracked()) continue;
    Tape* const own = input.tape(who);
    if (tape != nullptr && tape != own) throw Error(fmt::format("[{}] the inputs are on two tapes", who));
    tape = own;
  }
  const Tensor& first = inputs.front().value();
  Tensor y = Tensor::empty(op->shape(inputs, attributes), first.dtype(), first.backend());
  attributes.recorded = tape != nullptr;
  op->forward(first.backend(), inputs, attributes, y);
  if (tape == nullptr) return y;
  for (const Var& input : inputs) (void)input.tape(who);  // a user's forward computation may have rewound the tape
  if (tape->guarded()) check_finite(who, "", tape->size(), inputs, y);
  return tape->record(
      {.op = op, .inputs = std::move(inputs), .attributes = std::move(attributes), .output = std::move(y)});
}

std::vector<const Op*> operations() {
  std::vector<const Op*> all;
  for (const auto& rows : {elementwise_rows(), choice_rows(), product_rows(), solve_rows(), sum_rows(), layout_rows()})
    all.insert(all.end(), rows.begin(), rows.end());
  return all;
}

}  // namespace levda::autodiff
