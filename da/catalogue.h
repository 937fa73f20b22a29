#pragma once

/// Trajectories of the true system as a table: what can be had without a model. It gives the baseline lookup, the entry
/// that fits the observations best.

#include <span>
#include <vector>

#include "da/error_covariance.h"
#include "da/observations.h"
#include "models/grid.h"

namespace levda::da {

class Catalogue {
 public:
  /// fields (members, frames, c, ny, nx), physical units; both must outlive the catalogue.
  Catalogue(const models::Description& about, std::span<const float> fields);

  std::int64_t members() const { return members_; }

  struct Fit {
    std::int64_t member = 0;
    std::int64_t start = 0;  ///< the frame at time 0 of the observations
    double misfit = 0;       ///< (y - fields)' R^-1 (y - fields)
  };
  /// The best over all members and all starts in [first, last], linear between frames, bicubic between nodes, through
  /// the observations' operators. Starts
  /// from which the observations leave the trajectory are passed over; -1 lies one frame before frame 0. Throws Error
  /// when none is left.
  Fit best_fit(const Observations& observations, const ErrorCovariance& covariance, std::int64_t first,
               std::int64_t last) const;

  /// (c, ny, nx)
  std::span<const float> field(std::int64_t member, std::int64_t frame) const;

 private:
  const models::Description& about_;
  std::span<const float> fields_;
  std::int64_t members_;
};

}  // namespace levda::da
