#pragma once

/// The stochastic ensemble Kalman filter, with perturbed observations (Burgers, van Leeuwen & Evensen 1998).

#include "da/filter.h"
#include "da/inflation.h"

namespace levda::da {

/// x_i <- x_i + K (y + e_i - G(x_i)), K = A Y' (Y Y' + R)^-1 with the sample's A and Y, e_i drawn from N(0, R). The
/// draws are centred over the members, so that the mean obeys Kalman's formula, and multiplied by sqrt(N / (N - 1)), so
/// that their expected covariance stays R. Then the inflation is applied. The linear system is N x N or m x m,
/// whichever is smaller.
class Enkf final : public FilterMethod {
 public:
  /// Throws Error when a setting is out of range.
  explicit Enkf(const Inflation& inflation = {});
  std::string name() const override { return "enkf"; }

 protected:
  Ensemble analyse(const ObservationOperator& observe, const WindowProblem& problem) const override;

 private:
  Inflation inflation_;
};

}  // namespace levda::da
