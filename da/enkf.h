#pragma once

/// The stochastic ensemble Kalman filter, with perturbed observations (Burgers, van Leeuwen & Evensen 1998).

#include "da/filter.h"
#include "da/inflation.h"

namespace levda::da {

/// x_i <- x_i + K (y + e_i - G(x_i)), K = A Y' (Y Y' + R)^-1 with the sample's A and Y, e_i drawn from N(0, R). The
/// draws are centred over the members, so that the mean is that of Kalman's formula, and widened by sqrt(N / (N - 1)),
/// so that their expected covariance stays R. Then inflation. Nothing of n x n is built: the system solved is N x N or
/// m x m, whichever is smaller.
class Enkf final : public FilterMethod {
 public:
  /// Throws Error when a setting makes no sense.
  explicit Enkf(const Inflation& inflation = {});
  std::string name() const override { return "enkf"; }

 protected:
  Ensemble analyse(const ObservationOperator& observe, const WindowProblem& problem) const override;

 private:
  Inflation inflation_;
};

}  // namespace levda::da
