#pragma once

/// Assimilation of one set of observations, and its scores where the truth is known.

#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "da/method.h"
#include "da/scores.h"
#include "experiments/twin.h"

namespace levda::experiments {

/// Ensembles of the methods that work on the surrogate, at times from the control vector on.
struct LatentAnalysis {
  std::vector<double> times;
  std::vector<da::Ensemble> prior;      ///< the free run
  std::vector<da::Ensemble> ensembles;  ///< of LEVDA
  da::Diagnostics diagnostics;
  double seconds = 0;       ///< from observations to the posterior ensemble; of several at once the mean
  double seconds_free = 0;  ///< of the free run
};

/// Runs the free ensemble and LEVDA on each of some files together. R is the observations' own error variance and the
/// surrogate's.
std::vector<LatentAnalysis> assimilate(const Config& config, const models::Surrogate& surrogate,
                                       std::span<const ObservationFile> observations);

/// latents(time, member, latent), parameters(time, member, parameter), the same of the prior, mean and spread of the
/// field at every score_stride-th node, diagnostics. Throws InputError.
void write_analysis(const std::filesystem::path& path, const Config& config, const models::Surrogate& surrogate,
                    const ObservationFile& observations, const LatentAnalysis& analysis,
                    const std::string& fingerprint);

/// What write_analysis wrote of the ensembles; times, prior, ensembles. Throws InputError.
LatentAnalysis read_analysis(const std::filesystem::path& path, const models::Surrogate& surrogate);

/// One method on one truth.
struct MethodScores {
  std::vector<da::FieldScores> frames;         ///< per analysis time
  std::vector<da::ParameterScore> parameters;  ///< z is meaningless for single estimates
  double seconds = 0;
  std::optional<double> iterations;
};

struct TruthScores {
  Truth truth;
  std::map<std::string, MethodScores> methods;  ///< floor, free, climatology, lookup, levda
};

/// Scores of LEVDA and of the baselines on the truth of a twin experiment: all at every score_stride-th node.
///   floor: the surrogate from the true start and parameters, a bound for methods that use it;
///   climatology: the training trajectories at the true frame, told which one; lookup: da::Catalogue::best_fit.
TruthScores score(const Config& config, const models::Surrogate& surrogate, const Dataset& data,
                  const ObservationFile& observations, const LatentAnalysis& analysis);

/// Parameters of all members in physical units, (N, p).
std::vector<double> physical_parameters(const models::Surrogate& surrogate, const da::Ensemble& ensemble);

/// Mean and standard deviation over members, physical units, each (c, points).
struct FieldMoments {
  std::vector<float> mean;
  std::vector<float> spread;
};
FieldMoments field_moments(const models::Surrogate& surrogate, const da::Ensemble& ensemble,
                           const autodiff::Tensor& points);

/// Decoded ensemble in training standard deviations of the channels: (N, points, c).
std::vector<float> decode_ensemble(const models::Surrogate& surrogate, const da::Ensemble& ensemble,
                                   const autodiff::Tensor& points);

}  // namespace levda::experiments
