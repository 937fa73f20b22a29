#pragma once

/// LEVDA's error variances, fitted on validation trajectories.

#include <cstdio>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "experiments/study/summary.h"

namespace levda::experiments {

/// Scores of LEVDA on the validation truths with one factor of R; the factor of the surrogate's error variance is 1,
/// and its trend is the fitted one.
struct CalibrationTrial {
  double error_factor = 1;
  MethodSummary scores;
};

struct Calibration {
  std::string experiment;
  std::int64_t truths = 0;
  std::vector<CalibrationTrial> trials;
  double error_factor = 1;  ///< of the trial whose param_z_rms is nearest to 1
  /// Growth of the logarithm of the surrogate's error variance per half prior range of each parameter; 0 where it is
  /// less than two standard errors.
  std::vector<double> surrogate_trend;
  double surrogate_factor = 1;  ///< of the surrogate's error variance; makes ssr 1 in that trial
};

struct CalibrationOptions {
  std::FILE* progress = nullptr;
  std::function<bool()> stop;
};

/// Assimilates twin observations of all validation trajectories with the factors 1, then z^2 times the last one and so
/// on, since the posterior variance of parameters is nearly proportional to R, until z^2 is 1 up to a factor
/// of 1 + sqrt(2 / truths), a standard error of normal z that a truth's parameters share, in four trials at most.
/// Without parameters R stays as it is. The trend is a least-squares fit over the trajectories. The test trajectories
/// are not used. Throws Interrupted, and Error when an analysis fails.
Calibration calibrate(const Config& config, const models::Surrogate& surrogate, const Dataset& data,
                      const std::string& experiment, const CalibrationOptions& options);

/// Slopes of y over the columns of x (rows, columns), beside a constant, by least squares; 0 where a slope is less than
/// two of its standard errors, and everywhere unless there are more rows than columns + 1.
std::vector<double> significant_slopes(std::span<const double> x, std::span<const double> y);

/// The trials as a table, and the keys to set.
std::string text_of(const Calibration& calibration);

}  // namespace levda::experiments
