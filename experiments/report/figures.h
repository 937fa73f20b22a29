#pragma once

/// The figures of the report. gnuplot draws them as SVG elements of an HTML page. Black is the page's text colour
/// (rules of class "plot"); point symbols refer to plot_symbols(), which the page must hold once. All throw
/// Error as run_gnuplot does.

#include <string>

#include "experiments/report/report.h"

namespace levda::experiments {

/// Line of a method, the same in every figure and in the legend.
struct LineStyle {
  std::string colour;  ///< of CSS
  bool dotted = false;
};

/// Whether it is the method that the report is about: "levda" in any case of letters.
bool is_levda(const std::string& method);
/// The style of the i-th curve of an experiment.
LineStyle line_style(const ExperimentReport& experiment, std::size_t i);

inline constexpr const char* prior_colour = "#8a8f98";
inline constexpr const char* posterior_colour = "#d1423f";
inline constexpr const char* floor_colour = "#8a8f98";

/// The definitions that all figures share, inside an invisible <svg>.
std::string plot_symbols();

/// Rows truth, prior mean, analysis mean, error, spread; one column per time. A sphere in Robinson's projection.
std::string map_figure(const FieldMaps& maps, const std::string& alternative);

/// These maps as a PNG file, black on white, in 21 colours, or fewer (at least 7) if it would be larger than 240 kB.
std::string map_picture(const FieldMaps& maps);

enum class Quantity { error, spread };
/// One quantity of all methods against time. Both quantities have the same axis.
std::string curve_figure(const ExperimentReport& experiment, Quantity quantity, const std::string& alternative);

/// One quantity of all methods against the swept quantity, on logarithmic axes, with names and exponents.
std::string scaling_figure(const ScalingFigure& scaling, const std::string& alternative);
/// This figure as a PNG file, black on white.
std::string scaling_picture(const ScalingFigure& scaling);

enum class Extent { prior, posterior };
/// Members and truth over the prior range, or close up around posterior and truth. Two parameters: a plane;
/// any other number: one strip for each.
std::string parameter_figure(const std::vector<ParameterPosterior>& parameters, Extent extent,
                             const std::string& alternative);

/// Cost and gradient of a minimisation against its iterations, logarithmic; grey lines where the factor of R changes.
std::string convergence_figure(const Convergence& convergence, const std::string& alternative);
/// Names and colours of its curves.
std::vector<std::pair<std::string, LineStyle>> convergence_legend();

std::string rank_figure(const std::vector<double>& ranks, const std::string& alternative);

}  // namespace levda::experiments
