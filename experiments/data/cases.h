#pragma once

/// The benchmark systems that this program can generate data for. A new one is one file and one line in cases.cpp.

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "experiments/config/config.h"
#include "models/grid.h"
#include "models/propagator.h"

namespace levda::experiments {

/// One trajectory after given numbers of solver steps, which do not decrease: (steps, c, ny, nx). Step 0 is the initial
/// condition, or where a spin-up ends. Called for many trajectories at once.
using Solver =
    std::function<void(std::span<const double> parameters, std::span<const std::int64_t> steps, std::span<float> out)>;

/// Settings for a grid `times` times finer, for truths: same domain, parameters and times, `times` times more steps.
DataConfig refined(const DataConfig& data, std::int64_t times);

struct Case {
  std::string name;
  std::string about;  ///< a line for --help
  /// Settings of the solver on a finer grid.
  DataConfig (*refine)(const DataConfig& data, std::int64_t times) = refined;
  /// Names, units, prior ranges, grid and times of the data set. Throws Error when the solver refuses the settings.
  models::Description (*describe)(const DataConfig& data);
  /// Makes the solver and computes what all trajectories share, such as a spin-up.
  Solver (*solver)(const DataConfig& data);
  /// The solver from any state on; a step takes frame_interval / steps_per_frame.
  models::Propagator (*propagator)(const DataConfig& data);
  /// A spin-up on a finer grid ends in another flow, so finer truths start from the data set's frame 0.
  bool chaotic = false;
};

/// Solver step of frame j, 0-based.
std::int64_t step_of_frame(const DataConfig& data, std::int64_t frame);

const std::vector<Case>& cases();

/// Throws InputError naming the known ones.
const Case& find_case(const std::string& name);

Case tsunami_case();
Case kolmogorov_case();
Case atmosphere_case();

}  // namespace levda::experiments
