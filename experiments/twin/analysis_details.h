#pragma once

/// What an analysis says of its observations and of its minimisation, as files and reports have it.

#include "da/method.h"
#include "experiments/data/netcdf_file.h"
#include "models/surrogate.h"

namespace levda::experiments {

struct AnalysisDetails {
  std::vector<std::int32_t> qc;     ///< per observation, da::QualityControl
  std::vector<double> share;        ///< of the degrees of freedom for signal, summed over windows; may be empty
  std::vector<double> sensitivity;  ///< dJ/dy in the last window that used it; 0: none did
  std::vector<da::Iteration> iterations;
};

AnalysisDetails details_of(const da::Analysis& analysis);

/// Over the dimension observation: observation_time, _x, _y, _channel, _value, _qc, and where there are any _share and
/// _sensitivity; over iteration, where there are any: iteration_window, _factor and what else da::Iteration holds.
void write_details(NetcdfWriter& file, const da::Observations& observations, const models::Description& about,
                   const AnalysisDetails& details);

/// Empty where the file has none.
AnalysisDetails read_details(const NetcdfReader& file);

}  // namespace levda::experiments
