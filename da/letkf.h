#pragma once

/// The local ensemble transform Kalman filter (Hunt, Kostelich & Szunyogh 2007).

#include <limits>

#include "da/filter.h"
#include "da/inflation.h"
#include "da/localisation.h"

namespace levda::da {

struct LetkfSettings {
  Distance distance;  ///< asked for one control of each place; not needed where the half-width is infinite
  double half_width = std::numeric_limits<double>::infinity();  ///< > 0; an observation reaches twice as far
  /// Of each control, (n): those with the same number are at one place and share one analysis. Negative: nowhere, such
  /// as a parameter; all observations count in full for it, as in the ETKF. Empty: each control has its own place.
  std::vector<std::int64_t> places;
  Inflation inflation;
};

/// The analysis of the ETKF for each place by itself, with R^-1 of each observation multiplied by its Gaspari-Cohn
/// weight (localisation of the observations' errors). A place that no observation reaches keeps its members, to the
/// bit; then inflation, which all controls get. The errors have to be independent: analyse throws Error where the
/// covariance is not a DiagonalCovariance, for another number of controls than `places` has, and for a distance that is
/// not >= 0.
class Letkf final : public FilterMethod {
 public:
  /// Throws Error when a setting makes no sense.
  explicit Letkf(LetkfSettings settings);
  std::string name() const override { return "letkf"; }

 protected:
  Ensemble analyse(const ObservationOperator& observe, const WindowProblem& problem) const override;

 private:
  LetkfSettings settings_;
  std::vector<std::vector<std::int64_t>> local_;  // controls of each place
  std::vector<std::int64_t> global_;              // those nowhere
};

}  // namespace levda::da
