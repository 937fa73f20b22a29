#pragma once

/// A study repeated along one quantity: how errors and costs grow with it.

#include "experiments/report/report.h"
#include "experiments/study/summary.h"

namespace levda::experiments {

/// A quantity and its values: "members=5,10,20".
struct Sweep {
  std::string name;                                ///< members, window, sensors, sigma, or a key of the configuration
  std::vector<std::string> values;                 ///< as typed
  std::vector<double> x;                           ///< as numbers > 0; for sensors their number
  std::vector<std::vector<std::string>> settings;  ///< of each value, for apply_setting
};

/// sensors=64 is the grid of 64 sensors whose sides are nearest to the ratio of the domain's grid; sensors=random:64
/// and grid:8x8 are taken as they are. window=5 shifts windows by their length. Throws InputError
/// (--over).
Sweep parse_sweep(const std::string& text, const models::Grid& grid);

/// Slope of log(y) over log(x) by least squares, over the points where both are positive and finite; NaN where there
/// are fewer than two. Throws Error when they differ in number.
double growth_exponent(const std::vector<double>& x, const std::vector<double>& y);

/// The studies of a sweep, one per value.
struct SweepResult {
  Sweep sweep;
  std::vector<Summary> summaries;
};

/// Relative error and seconds of each method against the value, with their exponents.
struct SweepFigures {
  ScalingFigure error;
  ScalingFigure seconds;
};
SweepFigures figures_of(const SweepResult& result);

/// Columns and rows of one figure: a cell for each value, and the exponent.
ScoreTable table_of(const ScalingFigure& figure, const Sweep& sweep);

/// The tables of both figures in Markdown.
std::string text_of(const SweepResult& result);

}  // namespace levda::experiments
