#include "autodiff/op.h"

#include <fmt/format.h>

#include "autodiff/error.h"
#include "autodiff/internal/sweep.h"
#include "autodiff/ops/rows.h"

namespace levda::autodiff {

Var evaluate(const std::shared_ptr<const Op>& op, Vars inputs, Attributes attributes) {
  Tape* tape = nullptr;
  const Tensor& first = inputs.front().value();
  for (const Var& input : inputs) {
    if (!input) throw Error(fmt::format("[{}] an input has no value", op->name));
    if (input.dtype() != first.dtype())
      throw Error(
          fmt::format("[{}] the inputs have types {} and {}", op->name, name(first.dtype()), name(input.dtype())));
    if (&input.value().backend() != &first.backend())
      throw Error(fmt::format("[{}] the inputs are on devices {} and {}", op->name, name(first.device()),
                              name(input.value().device())));
    if (!input.tracked()) continue;
    if (tape != nullptr && tape != input.tape()) throw Error(fmt::format("[{}] the inputs are on two tapes", op->name));
    tape = input.tape();
  }
  Tensor y = Tensor::empty(op->shape(inputs, attributes), first.dtype(), first.backend());
  attributes.recorded = tape != nullptr;
  op->forward(first.backend(), inputs, attributes, y);
  if (tape == nullptr) return y;
  if (tape->guarded()) check_finite(op->name, "", inputs, y);
  return tape->record({op, std::move(inputs), std::move(attributes), std::move(y)});
}

std::vector<const Op*> operations() {
  std::vector<const Op*> all;
  for (const auto& rows : {elementwise_rows(), choice_rows(), product_rows(), solve_rows(), sum_rows(), layout_rows()})
    all.insert(all.end(), rows.begin(), rows.end());
  return all;
}

}  // namespace levda::autodiff
