#pragma once

/// Training of a surrogate as a configuration has it, with everything that its file says of its origin.

#include "experiments/config/config.h"
#include "experiments/data/dataset.h"
#include "models/ldnet_training.h"

namespace levda::experiments {

using models::Placement;
using models::surrogate_error;
using models::TrainingOptions;

/// models::train_surrogate with the settings of a configuration, whose errors these are. A training that would take a
/// CPU half an hour says so first, in one line. The provenance gets the program's version, time, machine, threads and
/// rates too. options.configuration and checkpoint_seconds are not used.
models::Surrogate train_surrogate(const Config& config, const Dataset& data, const TrainingOptions& options);

/// Everything that the weights depend on.
std::string training_fingerprint(const Config& config, const Dataset& data);

}  // namespace levda::experiments
