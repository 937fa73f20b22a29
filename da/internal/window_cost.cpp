#include "da/internal/window_cost.h"

#include <cmath>

namespace levda::da {

using autodiff::DType;
using autodiff::Tensor;
using autodiff::Vars;

Tensor predict_members(const ObservationOperator& observe, std::span<const Objective> objectives, DType model) {
  Vars members;
  for (const Objective& objective : objectives) members.emplace_back(objective.problem().prior.members());
  return observe.predict(stack(members, 0).value().to(model));
}

double cost(const Vector& w, const Vector& innovation, double factor) {
  const double value = 0.5 * w.squaredNorm() + 0.5 * innovation.squaredNorm() / factor;
  return std::isfinite(value) ? value : std::numeric_limits<double>::infinity();
}

}  // namespace levda::da
