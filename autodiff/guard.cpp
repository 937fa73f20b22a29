/// The check of every result on a tape under guard.

#include <fmt/format.h>

#include "autodiff/error.h"
#include "autodiff/internal/sweep.h"

namespace levda::autodiff {

namespace {

std::string text(const Tensor& x, const Range& range) {
  const std::string values = range.least > range.greatest ? std::string("nothing finite")
                                                          : fmt::format("{} to {}", range.least, range.greatest);
  return fmt::format("{} {}{}", x.shape().text(), values,
                     range.nonfinite > 0 ? fmt::format(", {} not finite", range.nonfinite) : "");
}

}  // namespace

void check_finite(const char* op, const char* sweep, std::int64_t node, Inputs inputs, const Tensor& result) {
  Backend& backend = result.backend();
  const Range range = backend.range(result);
  if (range.nonfinite == 0) return;
  std::string message = fmt::format("[{}] {}{}made {} of {} numbers NaN or infinite at node {}; result {}", op, sweep,
                                    *sweep == 0 ? "" : " ", range.nonfinite, result.size(), node, text(result, range));
  for (const Var& input : inputs)
    message += fmt::format("; from {}", text(input.value(), backend.range(input.value())));
  throw NonFiniteError(message);
}

}  // namespace levda::autodiff
