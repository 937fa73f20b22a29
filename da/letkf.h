#pragma once

/// The local ensemble transform Kalman filter (Hunt, Kostelich & Szunyogh 2007).

#include <limits>

#include "da/filter.h"
#include "da/inflation.h"
#include "da/localisation.h"

namespace levda::da {

struct LetkfSettings {
  Distance distance;  ///< called for one control of each place; not needed when the half-width is infinite
  double half_width = std::numeric_limits<double>::infinity();  ///< > 0; an observation reaches twice as far
  /// The place of each control, (n): controls with the same number share one analysis. A negative number means no
  /// place, for example for a parameter; all observations count in full for it, as in the ETKF. Empty: every control
  /// has a separate place.
  std::vector<std::int64_t> places;
  Inflation inflation;
};

/// A separate analysis of the ETKF for each place, with R^-1 of each observation multiplied by its Gaspari-Cohn weight
/// (localisation of the observations' errors). A place that no observation reaches keeps its members to the bit. Then
/// the inflation is applied to all controls. The errors must be independent: analyse throws Error when the covariance
/// is not a DiagonalCovariance, when `places` has another number of controls, and when a distance is not >= 0.
class Letkf final : public FilterMethod {
 public:
  /// Throws Error when a setting is out of range.
  explicit Letkf(LetkfSettings settings);
  std::string name() const override { return "letkf"; }

 protected:
  Ensemble analyse(const ObservationOperator& observe, const WindowProblem& problem) const override;

 private:
  LetkfSettings settings_;
  std::vector<std::vector<std::int64_t>> local_;  // controls of each place
  std::vector<std::int64_t> global_;              // controls without a place
};

}  // namespace levda::da
