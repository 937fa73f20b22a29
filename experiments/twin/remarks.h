#pragma once

/// Lines on stderr that say what an assimilation of a file rests on, and what is doubtful about its result.

#include "experiments/config/config.h"
#include "experiments/twin/assimilation.h"

namespace levda::experiments {

/// The start frames of the prior, which follow from the number of frames where start_max is -1. config: settled;
/// chosen: whether the user set start_max.
void tell_starts(const Config& config, const models::Description& about, bool chosen);

/// 2 J_o / n where it is far above 1, so that the analysis does not fit the observations.
void tell_misfit(const LatentAnalysis& analysis, const da::Observations& observations);

/// A parameter's mean that lies outside of its prior range.
void tell_range(const models::Description& about, std::int64_t parameter, double mean);

}  // namespace levda::experiments
