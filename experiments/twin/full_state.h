#pragma once

/// Twin experiments without a surrogate: the solver of the case, and priors of full states.

#include "da/solver_model.h"
#include "experiments/twin/twin.h"

namespace levda::experiments {

/// Whether a method, "etkf:inflation=1.1", is one of full states.
bool runs_solver(const std::string& method);

/// A system that this program does not know has data, but no solver. Throws InputError for what would run one.
void require_no_solver(const Config& config, const std::vector<std::string>& methods);

/// Throws InputError when another configuration made the data set, so that the solver is another one.
void require_own_data(const Config& config, const Dataset& data);

/// The solver that made a data set as a forward model; moments are those of its training trajectories. Throws
/// InputError when another configuration made the data set.
da::SolverModel solver_model(const Config& config, const Dataset& data, const Moments& moments);

/// The members of draw_members as full states: in a warm experiment frames of their training trajectories, in a cold
/// one the solver's states one frame interval before frame 0. Throws InputError when there are no such states.
da::Ensemble draw_full_prior(const Config& config, const Dataset& data, const da::SolverModel& model,
                             const std::string& experiment, std::int64_t truth_index);

}  // namespace levda::experiments
