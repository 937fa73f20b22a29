#pragma once

/// A study: scores for each truth, draw of the observations' errors and method.

#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "experiments/twin/scorer.h"
#include "models/encoder.h"

namespace levda::experiments {

/// The scores of one method or baseline.
struct ScoredMethod {
  std::string key;
  std::string help;
  std::string space;  ///< latent, full, or empty for a baseline
  /// [truth][draw]; a method that does not see the observations has one draw.
  std::vector<std::vector<MethodScores>> scores = {};
};

struct Study {
  std::string experiment;
  bool validation = false;  ///< truths are validation trajectories
  std::int64_t truths = 0;
  std::int64_t draws = 1;
  std::int64_t forecast = 0;          ///< frames
  std::vector<ScoredMethod> methods;  ///< baselines come first
};

struct StudyOptions {
  std::vector<std::string> methods;  ///< for choose_method; free and the baselines are always there
  std::int64_t draws = 1;
  std::string experiment = "warm";
  bool validation = false;
  bool baselines = true;         ///< false: only the methods that are named
  std::filesystem::path folder;  ///< for one file per truth, draw and method; finished ones are taken; empty: none
  std::string weights;           ///< checksum of the surrogate
  const models::TrainedEncoder* encoder = nullptr;  ///< for ldensf
  std::function<bool()> stop;                       ///< called before each run of a method; may be empty
  std::FILE* progress = nullptr;
  std::string name = "compare";  ///< in the line of progress
};

/// Runs the methods one after the other on each truth and draw, each on all threads, so that seconds can be compared.
/// config is settled (resolve). Throws InputError for an unknown method or experiment, and Interrupted when told to
/// stop.
Study run_study(const Config& config, const models::Surrogate& surrogate, const Dataset& data,
                const StudyOptions& options);

/// The study that the scores of levda run make: climatology, lookup, floor, free and levda, one draw.
Study study_of(const Config& config, const std::string& experiment, const std::vector<TruthScores>& truths);

}  // namespace levda::experiments
