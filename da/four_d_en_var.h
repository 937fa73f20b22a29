#pragma once

/// Classical 4DEnVar (Liu, Xiao & Wang 2008): a smoother like LEVDA, but without derivatives of the model.

#include "da/inflation.h"
#include "da/method.h"

namespace levda::da {

/// Y comes from the members' predictions over the window, centred on their mean. J is then quadratic in w, and one
/// solve gives its minimum: w = (I + Y' R^-1 Y)^-1 Y' R^-1 (y - mean prediction). The posterior anomalies are A T, T =
/// (I + Y' R^-1 Y)^-1/2. Then the inflation is applied. With a linear model this is the Kalman smoother in the
/// ensemble's span.
class FourDEnVar final : public WindowMethod {
 public:
  /// Throws Error when a setting is out of range.
  explicit FourDEnVar(const Inflation& inflation = {}, WindowSettings windows = {});
  std::string name() const override { return "fourdenvar"; }

 protected:
  /// Diagnostics, per window: cost (the quadratic J at its minimum), cost_background, cost_observations.
  std::vector<Ensemble> analyse(const ObservationOperator& observe, std::span<const WindowProblem> problems,
                                bool first) const override;

 private:
  Inflation inflation_;
};

}  // namespace levda::da
