#pragma once

/// Where and when fields have values: the grid, and what describes a data set. No neural network is needed for it.

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "autodiff/choices.h"
#include "autodiff/tensor.h"

namespace levda {

namespace models {

/// The surface that a grid's coordinates x and y lie on.
enum class Geometry : std::uint8_t {
  plane,  ///< ends at its outermost nodes
  torus,  ///< periodic in x and in y: node nx is node 0
  sphere  ///< x is longitude, periodic, y latitude, both in degrees
};

}  // namespace models

template <>
inline constexpr std::array choices<models::Geometry>{Choice{models::Geometry::plane, "plane"},
                                                      Choice{models::Geometry::torus, "torus"},
                                                      Choice{models::Geometry::sphere, "sphere"}};

namespace models {

/// Where fields have values, in physical units: a regular grid of nodes or a list of points. Channel c of cell (i, j)
/// of a grid lies at (x0 + (i + offset_x[c]) dx, y0 + (j + offset_y[c]) dy); one decoder row, at the cell's node,
/// serves all its channels. A list is nx cells in one row, ny = 1, without offsets.
struct Grid {
  std::int64_t nx = 0;
  std::int64_t ny = 0;
  double x0 = 0;
  double y0 = 0;
  double dx = 1;
  double dy = 1;
  std::vector<double> offset_x;  ///< per channel, in cells
  std::vector<double> offset_y;
  std::vector<double> x;  ///< (nx) for a list of points, else empty; x0 is the least, dx = extent / (nx - 1), y alike
  std::vector<double> y;
  Geometry geometry = Geometry::plane;  ///< plane for a list of points
  /// (c, ny, nx), 1 where no trajectory ever has a value, as on land; empty: there is no such place.
  std::vector<std::uint8_t> never = {};

  /// A list of points. Throws Error: fewer than two, x and y of unequal length, or all at one place.
  static Grid of_points(std::vector<double> x, std::vector<double> y, std::int64_t channels);

  bool listed() const { return !x.empty(); }
  std::int64_t cells() const { return nx * ny; }
  double node_x(std::int64_t i) const { return listed() ? x[i] : x0 + static_cast<double>(i) * dx; }
  /// Cell i of row j.
  double node_y(std::int64_t i, std::int64_t j) const { return listed() ? y[i] : y0 + static_cast<double>(j) * dy; }
  double width() const { return dx * static_cast<double>(nx - 1); }
  double height() const { return dy * static_cast<double>((listed() ? nx : ny) - 1); }
  bool periodic_x() const { return geometry != Geometry::plane; }
  bool periodic_y() const { return geometry == Geometry::torus; }
  /// Network coordinate in [-1, 1] of a node position in physical units; 0 along an axis without extent. Where the axis
  /// is periodic, -1 and 1 are one place; latitudes are divided by 90.
  double normal_x(double place) const { return normal(place, x0, periodic_x() ? period_x() : width()); }
  double normal_y(double place) const {
    if (geometry == Geometry::sphere) return place / 90;
    return normal(place, y0, periodic_y() ? period_y() : height());
  }
  /// Whether a place lies in the domain or at most one cell outside (with a list of points, a hundredth of its extent);
  /// along a periodic axis at most one period outside.
  bool contains_x(double place) const {
    return periodic_x() ? std::abs(normal_x(place)) <= 3 : near(place, x0, dx, width());
  }
  bool contains_y(double place) const {
    if (geometry == Geometry::sphere) return std::abs(place) <= 90;
    return periodic_y() ? std::abs(normal_y(place)) <= 3 : near(place, y0, dy, height());
  }
  /// The node of the cell whose value of a channel lies at a place.
  double node_of_x(std::int64_t channel, double place) const { return place - offset_x[channel] * dx; }
  double node_of_y(std::int64_t channel, double place) const { return place - offset_y[channel] * dy; }
  /// Whether that node lies in the domain, or outside by no more than contains_x and contains_y allow.
  bool contains(std::int64_t channel, double place_x, double place_y) const {
    return contains_x(node_of_x(channel, place_x)) && contains_y(node_of_y(channel, place_y));
  }
  /// Whether the channel never has a value at the node next to a place: cell `nearest` of `never`.
  bool is_never(std::int64_t channel, double place_x, double place_y) const;
  /// The fault in the coordinates of a sphere; empty where there is none.
  std::string fault() const;
  /// Area of cell i of row j: on a sphere the cosine of the latitude, elsewhere 1.
  double area(std::int64_t i, std::int64_t j) const;

 private:
  double period_x() const { return dx * static_cast<double>(nx); }
  double period_y() const { return dy * static_cast<double>(ny); }
  static double normal(double place, double first, double extent) {
    return extent > 0 ? 2 * (place - first) / extent - 1 : 0;
  }
  bool near(double place, double first, double step, double extent) const {
    const double margin = listed() ? 0.01 * extent : step;
    return extent == 0 || (place >= first - margin && place <= first + extent + margin);
  }
};

/// The description of a data set; the file of the weights holds it too.
struct Description {
  std::string case_name;
  std::vector<std::string> parameter_names;
  std::vector<std::string> parameter_units;
  std::vector<double> parameter_min;  ///< the prior range, physical units
  std::vector<double> parameter_max;
  std::vector<std::string> channel_names;
  std::vector<std::string> channel_units;
  Grid grid;
  std::int64_t frames = 0;
  double first_time = 0;      ///< time of frame 0 after the initial condition
  double frame_interval = 0;  ///< one latent step
  std::string time_unit = "s";
  std::string place_unit = "m";  ///< of x, and of y where place_unit_y is empty
  std::string place_unit_y;
  std::string time_reference;  ///< what times are counted from, "2020-01-01 00:00:00"; empty: not said
  std::string calendar;        ///< of the reference, as CF names it; empty: standard
  /// Those of time, x, y and channel whose unit was not said: the ones above are defaults.
  std::vector<std::string> unsaid_units;

  const std::string& unit_y() const { return place_unit_y.empty() ? place_unit : place_unit_y; }
  std::int64_t parameters() const { return static_cast<std::int64_t>(parameter_names.size()); }
  std::int64_t channels() const { return static_cast<std::int64_t>(channel_names.size()); }
};

/// The nodes of a grid, every `stride`-th in x and y (of a list, every one), as network coordinates (points, 2)
/// float32, y outermost.
autodiff::Tensor grid_points(const Grid& grid, std::int64_t stride);

/// Areas of the cells of these nodes, in their order.
std::vector<double> grid_areas(const Grid& grid, std::int64_t stride);

}  // namespace models

}  // namespace levda
