#pragma once

/// From the scores of a study to its report.

#include <filesystem>
#include <vector>

#include "experiments/report/report.h"
#include "experiments/study/sweep.h"
#include "experiments/twin/assimilation.h"

namespace levda::experiments {

/// The truth of an experiment that maps and parameters show.
struct ShownTruth {
  ObservationFile observations;
  LatentAnalysis analysis;
};

/// The experiments appear in the reverse order: warm, the headline, comes first. shown: a truth of each experiment, or
/// none: then there are no maps, parameters, ranks and convergence.
Report make_report(const Config& config, const models::Surrogate& surrogate, const Dataset& data,
                   const std::vector<Summary>& summaries, const std::vector<ShownTruth>& shown = {});

/// FOLDER/report.html, FOLDER/error.png, FOLDER/seconds.png. Throws as write_report does.
void write_sweep_report(const std::filesystem::path& folder, const Config& config, const models::Surrogate& surrogate,
                        const Dataset& data, const SweepResult& result);

}  // namespace levda::experiments
