#pragma once

/// How sure LEVDA may be: factors of its error variances, fitted on validation trajectories.

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "experiments/dataset.h"
#include "models/surrogate.h"

namespace levda::experiments {

/// Scores of the validation truths with one factor of R.
struct CalibrationTrial {
  double error_factor = 1;
  double rel_rmse = 0;  ///< mean over truths
  double param_error = 0;
  double param_z_rms = 0;
  double ssr = 0;  ///< with the surrogate's error variance as it is (factor 1)
  double ssr_without_surrogate_error = 0;
};

struct Calibration {
  std::string experiment;
  std::int64_t truths = 0;
  std::vector<CalibrationTrial> trials;
  double error_factor = 1;      ///< that of the trial whose parameters' z is nearest to 1
  double surrogate_factor = 1;  ///< of the surrogate's error variance, with which ssr is 1 there
};

struct CalibrationOptions {
  std::FILE* progress = nullptr;
  std::function<bool()> stop;
};

/// Assimilates twin observations of all validation trajectories with the factors 1, then z^2 times the last one and so
/// on, since the posterior variance of parameters is nearly proportional to R, until z^2 is within 20% of 1, in four
/// trials at most. Without parameters R stays as it is. The test trajectories are not looked at. Throws Interrupted.
Calibration calibrate(const Config& config, const models::Surrogate& surrogate, const Dataset& data,
                      const std::string& experiment, const CalibrationOptions& options);

/// The trials as a table, and the keys to be set.
std::string text_of(const Calibration& calibration);

}  // namespace levda::experiments
