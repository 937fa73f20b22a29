#pragma once

/// From a run's files to what its report shows.

#include <vector>

#include "experiments/report/report.h"
#include "experiments/study/results.h"

namespace levda::experiments {

/// The truth of an experiment that maps and parameters show.
struct ShownTruth {
  ObservationFile observations;
  LatentAnalysis analysis;
};

/// The unit in which times are shown, and its length in the data set's.
struct TimeUnit {
  std::string name;
  double length;
};
TimeUnit shown_time_unit(const models::Description& about);

/// results and shown in the order of experiment_names(). Warm, the headline, comes first in the report.
Report make_report(const Config& config, const models::Surrogate& surrogate, const Dataset& data,
                   const std::vector<ExperimentSummary>& results, const std::vector<ShownTruth>& shown);

}  // namespace levda::experiments
