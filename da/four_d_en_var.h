#pragma once

/// Classical 4DEnVar (Liu, Xiao & Wang 2008), the ensemble's own smoother: LEVDA without a derivative of the model.

#include "da/inflation.h"
#include "da/method.h"

namespace levda::da {

/// Y of the members' own predictions over the window, centred on their mean, once and for all; J is then quadratic in
/// w, and one solve leads to its minimum: w = (I + Y' R^-1 Y)^-1 Y' R^-1 (y - mean prediction). The posterior anomalies
/// are A T, T = (I + Y' R^-1 Y)^-1/2. Then inflation. With a linear model this is the Kalman smoother in the
/// ensemble's span.
class FourDEnVar final : public WindowMethod {
 public:
  /// Throws Error when a setting makes no sense.
  explicit FourDEnVar(const Inflation& inflation = {}, WindowSettings windows = {});
  std::string name() const override { return "fourdenvar"; }

 protected:
  /// Diagnostics, per window: cost, that of the quadratic J at its minimum; cost_background; cost_observations.
  std::vector<Ensemble> analyse(const ObservationOperator& observe, std::span<const WindowProblem> problems,
                                bool first) const override;

 private:
  Inflation inflation_;
};

}  // namespace levda::da
