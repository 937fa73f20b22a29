#pragma once

/// Scores of a run: one file per truth while it works, results.json at its end.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/twin/assimilation.h"

namespace levda::experiments {

/// One JSON object, whole or not at all. Throws InputError.
void write_truth_scores(const std::filesystem::path& path, const TruthScores& scores, const std::string& fingerprint);

/// Empty where there is no such file or it was made by another configuration. Throws InputError for a file that is not
/// one of ours, or has no scores of some of the methods.
std::optional<TruthScores> read_truth_scores(const std::filesystem::path& path, const std::string& fingerprint,
                                             const std::vector<std::string>& methods = {"floor", "free", "climatology",
                                                                                        "lookup", "levda"});

/// Of the frames after the last analysis; empty where there is no forecast.
struct ForecastSummary {
  double rel_rmse;  ///< mean over truths
  double ssr;       ///< all truths pooled, as crps and coverage
  double crps;
  double coverage90;
  std::vector<double> rel_rmse_per_time;  ///< mean over truths
  std::vector<double> rel_spread_per_time;
};

/// Scores over all truths of an experiment; a value that is not finite has no meaning for the method.
struct MethodSummary {
  std::string method;
  double rel_rmse;  ///< mean over truths
  double rel_rmse_worst;
  std::vector<double> rel_rmse_per_truth;
  std::vector<double> rel_rmse_per_time;  ///< mean over truths
  std::vector<double> rel_spread_per_time;
  double param_error;  ///< mean over truths and parameters, in prior ranges
  double param_z_rms;
  double ssr;  ///< all truths pooled, as crps and coverage
  double ssr_without_surrogate_error;
  double crps;
  double coverage90;
  double seconds_per_truth;
  double iterations;  ///< mean over truths
  std::vector<double> ranks;
  std::optional<ForecastSummary> forecast;
  std::vector<std::vector<double>> costs;  ///< per truth: J after each iteration, where there are any
};

struct ExperimentSummary {
  std::string name;
  std::int64_t truths = 0;
  double floor = 0;
  double floor_worst = 0;
  std::vector<double> floor_per_truth;
  std::vector<MethodSummary> methods;  ///< free, climatology, lookup, levda

  const MethodSummary& method(const std::string& name) const;
};

ExperimentSummary summarise(const std::string& experiment, const std::vector<TruthScores>& truths);

/// runs/CASE-PRESET/results.json.
void write_results(const std::filesystem::path& path, const Config& config, const models::Surrogate& surrogate,
                   const std::vector<ExperimentSummary>& experiments);

/// Columns of the score table, and a row of it; more where there is a forecast.
std::vector<std::string> score_columns(const ExperimentSummary& experiment);
std::vector<std::string> score_cells(const MethodSummary& method, double floor);

/// The score table of all experiments as text.
std::string score_table(const std::vector<ExperimentSummary>& experiments);

}  // namespace levda::experiments
