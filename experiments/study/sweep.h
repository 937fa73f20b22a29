#pragma once

/// A comparison repeated along one quantity: how errors and costs grow with it.

#include "experiments/study/comparison.h"

namespace levda::experiments {

/// What is swept, and over which values: "members=5,10,20".
struct Sweep {
  std::string name;                                ///< members, window, sensors, sigma, or a key of the configuration
  std::vector<std::string> values;                 ///< as typed
  std::vector<double> x;                           ///< as numbers, > 0: of sensors how many
  std::vector<std::vector<std::string>> settings;  ///< of each value, for apply_setting
};

/// sensors=64 is a grid of 64 sensors whose sides are as those of the domain's grid, as nearly as 64 has divisors;
/// sensors=random:64 and grid:8x8 are taken as they are. window=5 shifts windows by their length. Throws InputError
/// (--over).
Sweep parse_sweep(const std::string& text, const models::Grid& grid);

/// Slope of log(y) over log(x) by least squares, over the points where both are positive and finite; NaN where there
/// are fewer than two. Throws Error when they differ in number.
double growth_exponent(const std::vector<double>& x, const std::vector<double>& y);

/// Comparisons of one sweep, one per value.
struct SweepResult {
  Sweep sweep;
  std::vector<Comparison> comparisons;
};

/// FOLDER/results.json.
void write_sweep(const std::filesystem::path& path, const Config& config, const SweepResult& result);

/// Error and seconds of each method against the value, and their exponents, in Markdown.
std::string sweep_table(const SweepResult& result);

/// FOLDER/report.html, FOLDER/error.png, FOLDER/seconds.png. Throws as write_report does.
void write_sweep_figures(const std::filesystem::path& folder, const Config& config, const models::Surrogate& surrogate,
                         const SweepResult& result);

}  // namespace levda::experiments
