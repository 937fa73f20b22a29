#pragma once

/// Assimilation of one set of observations, and its scores where the truth is known.

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "da/method.h"
#include "experiments/twin/analysis_details.h"
#include "experiments/twin/control_space.h"
#include "experiments/twin/methods.h"
#include "experiments/twin/scorer.h"

namespace levda::experiments {

/// Ensembles of the methods that work on the surrogate, at times from the control vector on; forecasts come last.
struct LatentAnalysis {
  std::vector<double> times;
  std::vector<da::Ensemble> prior;      ///< the free run
  std::vector<da::Ensemble> ensembles;  ///< of LEVDA
  std::vector<std::vector<float>>
      fields;  ///< of ensembles, as ControlSpace::fields; empty where they were read from a file
  da::Diagnostics diagnostics;
  AnalysisDetails details;
  double seconds = 0;       ///< from observations to the posterior ensemble; of several at once the mean
  double seconds_free = 0;  ///< of the free run
};

/// A method's analysis of one set of observations, in control vectors of its space.
struct MethodAnalysis {
  std::vector<double> times;  ///< of the analysis, then of the forecast from its last ensemble
  da::Analysis analysis;      ///< its ensembles: one for each of these times
  double seconds = 0;         ///< of the analysis; the mean over files that were analysed together
};

/// Sets up and runs a method's problems, one for each file: prior, candidates and R from the space, windows and times
/// from the configuration; `draw` counts draws of the observations' errors. All truths of the files differ. `encoder`
/// is for ldensf. Throws InputError.
std::vector<MethodAnalysis> run_method(const Config& config, const MethodRow& method, const ControlSpace& space,
                                       const models::Description& about, std::span<const ObservationFile> files,
                                       std::int64_t draw = 0, const models::TrainedEncoder* encoder = nullptr);

/// Runs the free ensemble and LEVDA on each of some files together. R is the observations' own error variance and the
/// surrogate's.
std::vector<LatentAnalysis> assimilate(const Config& config, const models::Surrogate& surrogate,
                                       std::span<const ObservationFile> observations);

/// latents(time, member, latent), parameters(time, member, parameter), the same of the prior, mean and spread of the
/// field at every score_stride-th node, diagnostics, what AnalysisDetails holds. Throws InputError.
void write_analysis(const std::filesystem::path& path, const Config& config, const models::Surrogate& surrogate,
                    const ObservationFile& observations, const LatentAnalysis& analysis,
                    const std::string& fingerprint);

/// What write_analysis wrote of the ensembles; times, prior, ensembles, details. Throws InputError.
LatentAnalysis read_analysis(const std::filesystem::path& path, const models::Surrogate& surrogate);

/// Scores of LEVDA and of the baselines on the truth of a twin experiment: floor, free, climatology, lookup, levda.
/// table: where the training trajectories are not in memory.
TruthScores score(const Config& config, const models::Surrogate& surrogate, const Dataset& data,
                  const ObservationFile& observations, const LatentAnalysis& analysis,
                  const TrainingTable* table = nullptr);

}  // namespace levda::experiments
