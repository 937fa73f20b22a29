#pragma once

/// Assimilation of many truths at once, by the shipped T-small surrogate.

#include <cstdint>
#include <nlohmann/json.hpp>

#include "autodiff/backend.h"

namespace levda::bench {

/// Warm experiments of the first `truths` of 256 trajectories that the surrogate has never seen, assimilated together.
/// seconds: from observations to posterior ensembles, after one run that is not timed; posterior: mean and
/// deviation of the parameters of each truth. Throws Error.
nlohmann::ordered_json many_truths(std::int64_t truths, autodiff::Backend& backend);

}  // namespace levda::bench
