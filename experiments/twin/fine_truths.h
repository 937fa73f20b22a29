#pragma once

/// Truths from a finer solver than the one that made the training data, so that no model that is compared has made them
/// (the inverse crime; Wirgin, arXiv math-ph/0401050).

#include <filesystem>
#include <functional>
#include <vector>

#include "experiments/data/cases.h"
#include "experiments/data/dataset.h"

namespace levda::experiments {

/// The solver of truths: the data set's own, or with observations.refinement > 1 the same system on so many times as
/// many nodes in x and in y, with the time steps that these need. Of a chaotic system (Case) these begin with the data
/// set's frame 0, bicubic on the finer grid.
struct TruthSolver {
  DataConfig data;  ///< step_of_frame counts its steps
  models::Description about;
  /// States of a member, which is in memory, as a Solver's; of a finer chaotic one from frame 0 on.
  std::function<void(std::int64_t member, std::span<const std::int64_t> steps, std::span<float> out)> states;
};

/// The data set must outlive it. Throws InputError when it was made by another configuration, or by no solver of this
/// program.
TruthSolver truth_solver(const Config& config, const Dataset& data);

/// Trajectories of the parameters of some members of a data set by truth_solver, bicubic at the data set's own places:
/// (members, frames, c, ny, nx). Frame 0 of a chaotic system is the data set's. `finished` is called after each, in any
/// thread, one call at a time.
std::vector<float> fine_trajectories(const Config& config, const Dataset& data,
                                     const std::vector<std::int64_t>& members, const std::function<void()>& finished);

/// Puts fine_trajectories in the place of these members' fields. `path` keeps them: what is there for this data set and
/// refinement is taken, the rest made and added. Throws InputError.
void use_fine_truths(const Config& config, const std::vector<std::int64_t>& members, const std::filesystem::path& path,
                     Dataset& data);

}  // namespace levda::experiments
