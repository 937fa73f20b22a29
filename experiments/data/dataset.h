#pragma once

/// Data sets as this program's files hold them.

#include "experiments/config/config.h"
#include "models/checksum.h"
#include "models/dataset.h"
#include "models/surrogate.h"

namespace levda::experiments {

using models::BetweenFrames;
using models::checksum;
using models::Checksum;
using models::Dataset;
using models::field_moments;
using models::has_missing;
using models::InterpolationError;
using models::Moments;
using models::Pool;

/// Checksums of each member's values, at the frames and between them.
std::vector<std::int64_t> member_checksums(const Dataset& dataset);

}  // namespace levda::experiments
