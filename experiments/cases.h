#pragma once

/// The benchmark systems that this program can generate data for. A new one is one file and one line in cases.cpp.

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "experiments/config.h"
#include "models/surrogate.h"

namespace levda::experiments {

struct Case {
  std::string name;
  std::string about;  ///< a line for --help
  /// Sets what follows from the system itself: numbers of parameters and channels.
  void (*shape)(Config& config);
  /// Names, units, prior ranges, grid and times of the data set. Throws Error when the solver refuses the settings.
  models::Description (*describe)(const DataConfig& data);
  /// One trajectory after given numbers of solver steps, which do not decrease: (steps, c, ny, nx). Frame j is step
  /// (j + 1) steps_per_frame. Called for many trajectories at once.
  void (*states)(const DataConfig& data, std::span<const double> parameters, std::span<const std::int64_t> steps,
                 std::span<float> out);
};

const std::vector<Case>& cases();

/// Throws InputError naming the known ones.
const Case& find_case(const std::string& name);

Case tsunami_case();

}  // namespace levda::experiments
