#pragma once

/// The report of a run: one self-contained HTML file.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "models/grid.h"

namespace levda::experiments {

/// One channel of one truth at several times. A field is (ny, nx), row-major, y outermost and increasing;
/// nodes are evenly spaced, on a sphere in longitude and latitude (degrees). Values that are not finite stay blank.
struct FieldMaps {
  std::string channel;
  std::string unit;
  std::int64_t nx = 0;
  std::int64_t ny = 0;
  double x_min = 0, x_max = 0, y_min = 0, y_max = 0;  ///< positions of the outermost nodes, in `length_unit`
  std::string length_unit;
  models::Geometry geometry = models::Geometry::plane;
  std::vector<std::string> times;  ///< labels, one per map column
  std::vector<std::vector<float>> truth;
  std::vector<std::vector<float>> prior_mean;
  std::vector<std::vector<float>> analysis_mean;
  std::vector<std::vector<float>> spread;          ///< standard deviation of the analysis members
  std::vector<std::pair<double, double>> sensors;  ///< x, y in `length_unit`; may be empty
  std::vector<double> shares;  ///< share of the degrees of freedom for signal per sensor; empty: not known
};

/// Relative error and spread of one method against time, mean over truths; both are divided by the same size
/// of the truth, since they are drawn on one axis.
struct MethodCurve {
  std::string method;  ///< "levda", in any case of letters, is emphasised, here and in the scores
  std::vector<double> error;
  std::vector<double> spread;  ///< with the surrogate's error variance; empty where the method has none
};

/// One parameter of one truth: members before and after.
struct ParameterPosterior {
  std::string name;
  std::string unit;
  double minimum = 0, maximum = 0;  ///< prior range
  double truth = 0;
  std::vector<double> prior;
  std::vector<double> posterior;
};

/// How a quantity of one method grows with the swept quantity.
struct ScalingCurve {
  std::string method;
  std::vector<double> x;
  std::vector<double> y;      ///< values that are not positive are left out
  std::vector<double> error;  ///< standard errors, drawn as bars; NaN: none
  double exponent = 0;        ///< slope in logarithms; NaN where there is none
};

/// On logarithmic axes.
struct ScalingFigure {
  std::string title;
  std::string x_label;
  std::vector<ScalingCurve> curves;
};

/// State of a minimisation after each iteration; entries that are not positive are not drawn.
struct Convergence {
  std::vector<double> factor;  ///< factor of R
  std::vector<double> cost_background;
  std::vector<double> cost_observations;
  std::vector<double> gradient;
  std::vector<double> gradient_difference;
};

/// Parts that are empty are left out.
struct ExperimentReport {
  std::string name;         ///< "warm"
  std::string description;  ///< a sentence
  std::string truth_label;  ///< which truth the maps and parameters show
  std::vector<FieldMaps> maps;
  std::vector<FieldMaps> frames;  ///< of the movie: one per channel, without prior_mean and spread, on one grid
  std::string time_unit;
  std::vector<double> times;  ///< of the curves
  std::vector<MethodCurve> curves;
  std::optional<double> forecast_from;  ///< a time of the curves, after which they are forecasts
  double floor = 0;  ///< relative error of the surrogate from the true start; drawn as a line where positive
  std::vector<ParameterPosterior> parameters;
  Convergence convergence;    ///< of LEVDA's first window
  std::vector<double> ranks;  ///< LEVDA's: share of truth values per rank, N + 1 bins
  std::vector<ScalingFigure> scalings;
  std::vector<std::string> score_columns;
  std::vector<std::pair<std::string, std::vector<std::string>>> score_rows;  ///< method, formatted cells
};

struct Report {
  std::string title;
  std::vector<std::pair<std::string, std::string>> facts;  ///< facts about the run: label, value
  std::vector<ExperimentReport> experiments;
};

/// Draws with gnuplot and writes the file whole or not at all. The page loads nothing from elsewhere. Movies need
/// JavaScript; the rest shows without it. Throws InputError when the path cannot be
/// written, Error when gnuplot is missing or fails.
void write_report(const std::filesystem::path& path, const Report& report);

/// The maps of an experiment as PNG files EXPERIMENT-CHANNEL.png in a folder; in a name, '/', '%' and control
/// characters become %XX. Throws as write_report does.
void write_pictures(const std::filesystem::path& folder, const ExperimentReport& experiment);

}  // namespace levda::experiments
