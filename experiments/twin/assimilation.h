#pragma once

/// Assimilation of sets of observations, and scores if the truth is known.

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

/// The open loop and LEVDA on the surrogate, at times after the control vector; forecasts come last.
struct LatentAnalysis {
  std::vector<double> times;
  std::vector<da::Ensemble> prior;      ///< the open loop
  std::vector<da::Ensemble> ensembles;  ///< of LEVDA
  std::vector<std::vector<float>>
      fields;  ///< ControlSpace::fields of the ensembles; empty when they were read from a file
  da::Diagnostics diagnostics;
  AnalysisDetails details;
  double seconds = 0;       ///< of the analysis; the mean over files that were analysed together
  double seconds_free = 0;  ///< of the open loop
};

/// A method's analysis of one set of observations, in control vectors of its space.
struct MethodAnalysis {
  std::vector<double> times;  ///< of the analysis, then of the forecast from its last ensemble
  da::Analysis analysis;      ///< its ensembles: one for each of these times
  double seconds = 0;         ///< of the analysis; the mean over files that were analysed together
};

/// Sets up and runs a method's problems, one for each file: prior, candidates and R from the space, windows and times
/// from the configuration. `draw` is the number of the draw of the observations' errors; `encoder` is for ldensf.
/// Throws InputError.
std::vector<MethodAnalysis> run_method(const Config& config, const MethodRow& method, const ControlSpace& space,
                                       const models::Description& about, std::span<const ObservationFile> files,
                                       std::int64_t draw = 0, const models::TrainedEncoder* encoder = nullptr);

/// Runs the open loop and LEVDA in the latent space on all files together.
std::vector<LatentAnalysis> assimilate(const Config& config, const models::Surrogate& surrogate,
                                       std::span<const ObservationFile> observations);

/// Writes latents(time, member, latent) and parameters(time, member, parameter) of the analysis and of the prior, mean
/// and spread of the fields at every score_stride-th node, diagnostics and details. Throws InputError.
void write_analysis(const std::filesystem::path& path, const Config& config, const models::Surrogate& surrogate,
                    const ObservationFile& observations, const LatentAnalysis& analysis,
                    const std::string& fingerprint);

/// Reads times, prior, ensembles and details from a file of write_analysis. Throws InputError.
LatentAnalysis read_analysis(const std::filesystem::path& path, const models::Surrogate& surrogate);

/// Scores of LEVDA and of the baselines on the truth of a twin experiment: floor, free, climatology, lookup, levda.
/// table: needed when the training trajectories are not in memory.
TruthScores score(const Config& config, const models::Surrogate& surrogate, const Dataset& data,
                  const ObservationFile& observations, const LatentAnalysis& analysis,
                  const TrainingTable* table = nullptr);

}  // namespace levda::experiments
