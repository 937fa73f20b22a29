#pragma once

/// Truths from a finer solver than the one that made the training data: a model that is compared should not have made
/// the truth (the inverse crime; Wirgin, arXiv math-ph/0401050).

#include <filesystem>
#include <functional>
#include <vector>

#include "experiments/data/cases.h"
#include "experiments/data/dataset.h"

namespace levda::experiments {

/// The solver of truths. With observations.refinement = 1 it is the solver of the data set. Otherwise it solves the
/// same system with that many times the nodes in x and in y, and with the time steps that they need. Truths of a
/// chaotic system (Case) then begin with the data set's frame 0, interpolated (bicubic) to the finer grid.
struct TruthSolver {
  DataConfig data;  ///< step_of_frame counts its steps
  models::Description about;
  /// States of a member, which must be in memory, as from a Solver; of a finer chaotic system only from frame 0 on.
  std::function<void(std::int64_t member, std::span<const std::int64_t> steps, std::span<float> out)> states;
};

/// The data set must outlive it. Throws InputError when another configuration made the data set, or no solver of this
/// program did.
TruthSolver truth_solver(const Config& config, const Dataset& data);

/// Trajectories of truth_solver with the parameters of some members of a data set, interpolated (bicubic) to the data
/// set's nodes: (members, frames, c, ny, nx). Frame 0 of a chaotic system is that of the data set. `finished` is called
/// after each trajectory, in any thread, one call at a time.
std::vector<float> fine_trajectories(const Config& config, const Dataset& data,
                                     const std::vector<std::int64_t>& members, const std::function<void()>& finished);

/// Replaces the fields of these members by fine_trajectories. The file `path` keeps trajectories: those of this data
/// set and refinement are read from it, the others are computed and added. Throws InputError.
void use_fine_truths(const Config& config, const std::vector<std::int64_t>& members, const std::filesystem::path& path,
                     Dataset& data);

}  // namespace levda::experiments
