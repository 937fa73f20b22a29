#pragma once

/// Training of a surrogate from a data set.

#include <cstdio>
#include <filesystem>
#include <functional>
#include <optional>

#include "experiments/dataset.h"

namespace levda::experiments {

/// Trains an LDNet as in Xiao et al. (LD-EnSF, arXiv 2411.19305): mean squared error of normalised fields over whole
/// trajectories of a batch at random points, which are drawn afresh at each step; at the frames, and at times between
/// them where the data set has such values. Missing values do not count. Its checkpoint, removed at the end,
/// lets a killed run go on to the same weights. Fills everything that a Surrogate holds, with the relative RMSE over
/// the test trajectories (keys test_rel_rmse and test_rel_rmse_between), seconds and machine in its provenance.
/// progress may be null; stop is asked after each step and may be empty. Empty result: told to stop, a checkpoint is
/// saved. Throws InputError when the checkpoint belongs to another configuration.
std::optional<models::Surrogate> train_surrogate(const Config& config, const Dataset& data,
                                                 const std::filesystem::path& checkpoint, int threads,
                                                 std::FILE* progress, const std::function<bool()>& stop);

/// What the weights depend on.
std::string training_fingerprint(const Config& config, const Dataset& data);

/// Relative RMSE of the surrogate from s = 0 with the true parameters over members [first, last), all frames, all
/// nodes: per channel the root of (mean squared error / mean square), pooled as the root mean square over channels.
double surrogate_error(const models::Surrogate& surrogate, const Dataset& data, std::int64_t first, std::int64_t last);

}  // namespace levda::experiments
