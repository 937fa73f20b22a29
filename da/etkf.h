#pragma once

/// The ensemble transform Kalman filter (Bishop, Etherton & Majumdar 2001; Hunt, Kostelich & Szunyogh 2007).

#include "da/filter.h"
#include "da/inflation.h"

namespace levda::da {

/// With Y of the members' predictions, centred on their mean, the posterior has the mean vb + A w, where
/// w = (I + Y' R^-1 Y)^-1 Y' R^-1 (y - mean prediction), and the anomalies A T, T = (I + Y' R^-1 Y)^-1/2 the symmetric
/// square root, which keeps the mean and moves the members least. Then the inflation is applied.
class Etkf final : public FilterMethod {
 public:
  /// Throws Error when a setting is out of range.
  explicit Etkf(const Inflation& inflation = {});
  std::string name() const override { return "etkf"; }

 protected:
  Ensemble analyse(const ObservationOperator& observe, const WindowProblem& problem) const override;

 private:
  Inflation inflation_;
};

}  // namespace levda::da
