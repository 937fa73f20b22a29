#include "da/ensemble.h"

#include <fmt/format.h>

#include <cmath>

#include "autodiff/error.h"
#include "autodiff/op.h"

namespace levda::da {

using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;

Ensemble::Ensemble(const Tensor& members) : members_(members) {
  if (members.shape().rank() != 2 || members.shape()[0] < 2 || members.dtype() != DType::float64)
    throw Error(
        fmt::format("an ensemble of shape {}: at least two members of float64 are needed", members.shape().text()));
  for (const double value : members.to_vector())
    if (!std::isfinite(value)) throw Error("an ensemble with a value that is not finite");
}

Tensor Ensemble::mean() const {
  const Var total = sum_to(Var(members_), {controls()});
  return (total * (1.0 / static_cast<double>(size()))).value();
}

Tensor Ensemble::anomalies() const {
  return ((Var(members_) - Var(mean())) * (1 / std::sqrt(static_cast<double>(size() - 1)))).value();
}

std::vector<double> Ensemble::spread() const {
  return sqrt(sum_to(square(Var(anomalies())), {controls()})).value().to_vector();
}

}  // namespace levda::da
