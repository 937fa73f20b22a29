#pragma once

/// Twin experiments without a surrogate: the case's solver, and the priors of full states.

#include "da/solver_model.h"
#include "experiments/twin/twin.h"

namespace levda::experiments {

/// The solver that made a data set, as a forward model; moments are those of its training trajectories. Throws
/// InputError when the data set was made by another configuration.
da::SolverModel solver_model(const Config& config, const Dataset& data, const Moments& moments);

/// The members of draw_prior as full states: warm, frames of their training trajectories; cold, what the solver has one
/// frame interval before frame 0. Throws InputError where a trajectory has none there.
da::Ensemble draw_full_prior(const Config& config, const Dataset& data, const da::SolverModel& model,
                             const std::string& experiment, std::int64_t truth_index);

}  // namespace levda::experiments
