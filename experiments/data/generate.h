#pragma once

/// Data sets from the solvers of this program.

#include <functional>

#include "experiments/data/cases.h"
#include "experiments/data/dataset.h"

namespace levda::experiments {

/// Draws parameters from their prior range and runs the solver: uniformly, or for training with design "even" along a
/// low-discrepancy sequence, so that no part of the box is far from a training trajectory. A member is the same
/// whichever others are made with it.
class Generator {
 public:
  /// Throws InputError when the set is too large, and the errors of the case.
  explicit Generator(const Config& config);

  /// The whole set without its values: parameters of all members, description, fingerprint.
  const Dataset& outline() const { return outline_; }
  /// Members [first, last) as a separate set. `finished` is called after each of them, in any thread, one call at a
  /// time.
  Dataset members(std::int64_t first, std::int64_t last, const std::function<void()>& finished) const;

 private:
  DataConfig data_;
  Dataset outline_;
  Solver solver_;
};

/// All members. `finished` is called with the number of those that are finished.
Dataset generate_dataset(const Config& config, const std::function<void(std::int64_t)>& finished);

}  // namespace levda::experiments
