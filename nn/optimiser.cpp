#include "nn/optimiser.h"

#include <fmt/format.h>

#include "autodiff/error.h"
#include "autodiff/op.h"

namespace levda::nn {

using autodiff::Tensor;

void Optimiser::check_gradients(const Parameters& parameters, std::span<const Tensor> gradients,
                                const std::vector<Tensor>* own) const {
  const auto same = [](const Tensor& a, const Tensor& b) {
    return a && a.shape() == b.shape() && a.dtype() == b.dtype() && &a.backend() == &b.backend();
  };
  std::size_t k = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters.trainable(i)) continue;
    if (k >= gradients.size() || !same(gradients[k], parameters[i]))
      throw Error(fmt::format("[{}] the gradients do not match the parameters", name()));
    if (own != nullptr && (k >= own->size() || !same((*own)[k], parameters[i])))
      throw Error(fmt::format("[{}] it was made for other parameters", name()));
    ++k;
  }
  if (k != gradients.size()) throw Error(fmt::format("[{}] the gradients do not match the parameters", name()));
  if (own != nullptr && k != own->size()) throw Error(fmt::format("[{}] it was made for other parameters", name()));
}

void check_averages(const char* optimiser, double beta1, double beta2, double epsilon) {
  for (const double beta : {beta1, beta2})
    if (!(beta >= 0 && beta < 1)) throw Error(fmt::format("[{}] a beta of {} is not in [0, 1)", optimiser, beta));
  if (!(epsilon > 0)) throw Error(fmt::format("[{}] an epsilon of {} is not positive", optimiser, epsilon));
}

Tensor restored(const char* optimiser, const Optimiser::State& state, const std::string& name, const Tensor& like) {
  const auto entry = state.find(name);
  if (entry == state.end()) throw Error(fmt::format("[{}] {} is missing", optimiser, name));
  const Tensor& value = entry->second;
  if (!(value.shape() == like.shape()) || value.dtype() != like.dtype())
    throw Error(fmt::format("[{}] {} is {} {}, not {} {}", optimiser, name, autodiff::name(value.dtype()),
                            value.shape().text(), autodiff::name(like.dtype()), like.shape().text()));
  return &value.backend() == &like.backend() ? value.clone() : value.to(like.backend());
}

}  // namespace levda::nn
