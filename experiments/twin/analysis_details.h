#pragma once

/// Results of an analysis for each observation and each iteration, for files and reports.

#include "da/method.h"
#include "experiments/data/netcdf_file.h"
#include "models/surrogate.h"

namespace levda::experiments {

struct AnalysisDetails {
  std::vector<std::int32_t> qc;     ///< per observation, da::QualityControl
  std::vector<double> share;        ///< of the degrees of freedom for signal, summed over windows; may be empty
  std::vector<double> sensitivity;  ///< dJ/dy in the last window that used the observation; 0 if none did
  std::vector<da::Iteration> iterations;
};

AnalysisDetails details_of(const da::Analysis& analysis);

/// Writes observation_time, _x, _y, _channel, _value, _qc and, unless empty, _share and _sensitivity over the dimension
/// observation; and, unless there are none, iteration_window, _factor and the rest of da::Iteration over iteration.
void write_details(NetcdfWriter& file, const da::Observations& observations, const models::Description& about,
                   const AnalysisDetails& details);

/// Details that the file does not have are empty.
AnalysisDetails read_details(const NetcdfReader& file);

}  // namespace levda::experiments
