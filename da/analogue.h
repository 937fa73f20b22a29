#pragma once

/// The nearest analogue: the trajectory in a table of true ones that fits the observations best. It is the baseline
/// without a model ("lookup" in tables and files).

#include <span>
#include <vector>

#include "da/error_covariance.h"
#include "da/observations.h"
#include "models/grid.h"

namespace levda::da {

/// A trajectory and its start.
struct Analogue {
  std::int64_t member = 0;
  std::int64_t start = 0;  ///< the frame at time 0 of the observations
  double misfit = 0;       ///< (y - fields)' R^-1 (y - fields)
};

class Analogues {
 public:
  /// fields (members, frames, c, ny, nx), physical units; both must outlive the analogues.
  Analogues(const models::Description& about, std::span<const float> fields);

  std::int64_t members() const { return members_; }

  /// The best over all members and all starts in [first, last], linear between frames, bicubic between nodes, through
  /// the observations' operators. A start of -1 lies one frame before frame 0. Starts from which the observations last
  /// longer than the trajectory are left out; throws Error when none remains.
  Analogue nearest(const Observations& observations, const ErrorCovariance& covariance, std::int64_t first,
                   std::int64_t last) const;

  /// (c, ny, nx)
  std::span<const float> field(std::int64_t member, std::int64_t frame) const;

 private:
  const models::Description& about_;
  std::span<const float> fields_;
  std::int64_t members_;
};

}  // namespace levda::da
