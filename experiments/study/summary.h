#pragma once

/// The scores of a study, summed up over truths and draws, and the table of them.

#include <optional>
#include <string>
#include <vector>

#include "experiments/study/study.h"

namespace levda::experiments {

constexpr double no_value = std::numeric_limits<double>::quiet_NaN();

/// A score over truths and its standard error by the jackknife, which leaves out one truth at a time; for a mean this
/// is the standard error of the mean. Means over draws are taken first. NaN where it has no meaning; the error is NaN
/// for one truth.
struct Figure {
  double value = no_value;
  double error = no_value;
};

/// Scores of fields, at the analysis times or in the forecast.
struct FieldFigures {
  Figure rel_rmse;  ///< mean over truths, like crps and coverage90
  double rel_rmse_worst = no_value;
  std::vector<double> rel_rmse_per_truth;  ///< means over draws
  std::vector<double> rel_rmse_per_time;
  std::vector<double> rel_spread_per_time;
  Figure ssr;  ///< all truths pooled
  Figure ssr_without_model_error;
  Figure crps;
  Figure coverage90;
  std::vector<double> ranks;  ///< all truths pooled
};

struct MethodSummary {
  std::string key;
  std::string help;
  std::string space;  ///< latent, full, or empty for a baseline
  FieldFigures analysis;
  std::optional<FieldFigures> forecast;  ///< the frames after the last analysis
  Figure param_error;                    ///< mean over truths and parameters, in prior ranges
  Figure param_z_rms;                    ///< all truths pooled
  Figure seconds;                        ///< mean over truths, like iterations
  Figure iterations;
  std::vector<std::vector<double>> costs;  ///< per truth: J after each iteration of the first draw, where there are any
  std::int64_t failures = 0;               ///< runs that failed; where there are any, all scores are NaN
  std::string failure;                     ///< message of the first of them
};

struct Summary {
  std::string experiment;
  bool validation = false;
  std::int64_t truths = 0;
  std::int64_t draws = 1;
  std::int64_t forecast = 0;  ///< frames
  std::vector<MethodSummary> methods;

  /// Throws Error when no method has this key.
  const MethodSummary& method(const std::string& key) const;
};

Summary summarise(const Study& study);

/// Formatted cells; the first of each row is a method's key.
struct ScoreTable {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};

/// All scores of all methods. Columns without a value are left out.
ScoreTable score_table(const Summary& summary);

/// A sentence on the truths, draws and standard errors of the table.
std::string explained(const Summary& summary);

std::string markdown_table(const ScoreTable& table);

/// The score tables of some experiments in Markdown, explained, with the failures.
std::string text_of(const std::vector<Summary>& summaries);

}  // namespace levda::experiments
