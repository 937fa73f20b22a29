#pragma once

/// Data sets from this program's own solvers.

#include <functional>

#include "experiments/dataset.h"

namespace levda::experiments {

/// Draws parameters from their prior range and runs the solver: uniformly, or for training with design "even" along a
/// low-discrepancy sequence, so that no part of the box is far from a training trajectory. `finished` is called with
/// the number of finished members, one call at a time.
Dataset generate_dataset(const Config& config, const std::function<void(std::int64_t)>& finished);

}  // namespace levda::experiments
