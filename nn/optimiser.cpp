#include "nn/optimiser.h"

#include <fmt/format.h>

#include "autodiff/error.h"
#include "autodiff/op.h"

namespace levda::nn {

using autodiff::Tensor;

void check_gradients(const char* optimiser, const Parameters& parameters, std::span<const Tensor> gradients) {
  std::size_t k = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters.trainable(i)) continue;
    if (k >= gradients.size() || !(gradients[k].shape() == parameters[i].shape()) ||
        gradients[k].dtype() != parameters[i].dtype())
      throw Error(fmt::format("[{}] the gradients do not match the parameters", optimiser));
    ++k;
  }
  if (k != gradients.size()) throw Error(fmt::format("[{}] the gradients do not match the parameters", optimiser));
}

void decay(Tensor& parameter, double part) {
  if (part == 0) return;
  // Not a product with 1 - part: float32 would round the part to a few digits.
  const Tensor share = autodiff::scale(parameter, part).value();
  parameter.backend().binary(autodiff::Binary::sub, parameter, share, parameter);
}

Tensor restored(const char* optimiser, const Optimiser::State& state, const std::string& name, const Tensor& like) {
  const auto entry = state.find(name);
  if (entry == state.end()) throw Error(fmt::format("[{}] {} is missing", optimiser, name));
  const Tensor& value = entry->second;
  if (!(value.shape() == like.shape()) || value.dtype() != like.dtype())
    throw Error(fmt::format("[{}] {} is {} {}, not {} {}", optimiser, name, autodiff::name(value.dtype()),
                            value.shape().text(), autodiff::name(like.dtype()), like.shape().text()));
  return value.clone();
}

}  // namespace levda::nn
