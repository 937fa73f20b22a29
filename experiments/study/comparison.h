#pragma once

/// Methods beside each other, on the same truths, members and noise.

#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "experiments/twin/assimilation.h"
#include "models/encoder.h"

namespace levda::experiments {

struct ComparisonOptions {
  std::vector<std::string> methods;  ///< for choose_method; free and the baselines are always there
  std::int64_t seeds = 1;            ///< draws of the observations' errors per truth
  std::string experiment = "warm";
  bool validation = false;  ///< truths are validation trajectories, for the tuning of methods
  std::filesystem::path
      folder;           ///< one file per truth, seed and method; those of this configuration are not done again
  std::string weights;  ///< checksum of the surrogate
  const models::TrainedEncoder* encoder = nullptr;  ///< of the experiment, for ldensf
  std::function<bool()> stop;                       ///< asked between two of them; may be empty
  std::FILE* progress = nullptr;
};

/// A score over truths, and its standard error: the jackknife's over truths (one of them left out), which for a mean is
/// the standard error of the mean. What is averaged over draws of the noise is averaged first. NaN where it has no
/// meaning; with one truth there is no error.
struct Figure {
  double value = 0;
  double error = 0;
};

/// A method on all truths.
struct ComparedMethod {
  std::string key;
  std::string space;  ///< latent, full, or empty for a baseline
  Figure rel_rmse;    ///< mean over truths, as param_error, crps, coverage90 and seconds
  Figure param_error;
  Figure crps;
  Figure ssr;  ///< of all truths pooled, as its variants and param_z_rms
  Figure ssr_without_model_error;
  Figure coverage90;
  Figure param_z_rms;
  Figure seconds;
  std::vector<double> rel_rmse_per_truth;  ///< means over draws of the noise
  std::vector<double> rel_rmse_per_time;
  std::vector<double> rel_spread_per_time;
  Figure forecast_rel_rmse;  ///< of the frames after the last analysis, as the figures above; NaN without a forecast
  Figure forecast_crps;
  Figure forecast_ssr;
  Figure forecast_coverage90;
  std::vector<double> forecast_rel_rmse_per_time;
  std::vector<double> forecast_rel_spread_per_time;
  std::int64_t failures = 0;  ///< runs that failed; where there are any, the figures are NaN
  std::string failure;        ///< what the first of them said
};

struct Comparison {
  std::string experiment;
  bool validation = false;  ///< truths are validation trajectories
  std::int64_t truths = 0;
  std::int64_t seeds = 1;
  std::int64_t forecast = 0;            ///< frames
  std::vector<ComparedMethod> methods;  ///< baselines, then as asked for

  /// Throws Error when it is not there.
  const ComparedMethod& method(const std::string& key) const;
};

/// Runs one method after the other on each truth and draw, so that its seconds are its own; methods use all threads
/// themselves. config is settled (resolve). Throws InputError for an unknown method or experiment, and Interrupted when
/// told to stop.
Comparison compare(const Config& config, const models::Surrogate& surrogate, const Dataset& data,
                   const ComparisonOptions& options);

/// FOLDER/results.json.
void write_comparison(const std::filesystem::path& path, const Config& config, const models::Surrogate& surrogate,
                      const Comparison& comparison);

/// Rows of cells, the first of which are names, as a table in Markdown.
std::string markdown_table(const std::vector<std::vector<std::string>>& rows);

/// In Markdown, with what it means.
std::string comparison_table(const Comparison& comparison);

/// FOLDER/report.html: the table, and curves in time. Throws as write_report does.
void write_comparison_report(const std::filesystem::path& path, const Config& config,
                             const models::Surrogate& surrogate, const Dataset& data, const Comparison& comparison);

}  // namespace levda::experiments
