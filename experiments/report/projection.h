#pragma once

/// Where the places of a field lie on a flat map.

#include <cstdint>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

#include "experiments/report/colours.h"
#include "models/grid.h"

namespace levda::experiments {

struct FieldMaps;

/// Robinson's projection on a sphere of radius 1: x = 0.8487 X (longitude - central meridian, in radians), y = 1.3523
/// Y, where X and Y are tabulated every 5 degrees of latitude (A. H. Robinson, A New Map Projection: Its Development
/// and Characteristics, International Yearbook of Cartography 14, 1974, 145-155). Between them a cubic through the four
/// entries around (Robinson used Aitken's scheme, which differs in the fourth digit).
struct Robinson {
  static constexpr double half_width = 0.8487 * std::numbers::pi;  ///< x of the outermost meridian on the equator
  static constexpr double half_height = 1.3523;                    ///< y of the pole

  /// Length of a parallel, in that of the equator, for a latitude in degrees; 0.5322 at a pole.
  static double width(double latitude);
  /// y of a parallel; taken as a pole beyond one.
  static double y(double latitude);
  /// The parallel at y, to 1e-9 degrees.
  static double latitude(double y);
};

/// A plane or a torus is a rectangle in its own coordinates; a sphere is Robinson's projection around the meridian 180,
/// so that longitudes grow from 0 at the left end to 360 at the right one.
class Projection {
 public:
  using Point = std::pair<double, double>;
  using Line = std::vector<Point>;

  explicit Projection(const FieldMaps& maps);

  Range x() const { return x_; }
  Range y() const { return y_; }
  /// The point of the map for a place (x, y) of the data.
  Point at(double x, double y) const;
  /// The outline first; for a sphere then meridians every 60 and parallels every 30 degrees.
  const std::vector<Line>& lines() const { return lines_; }

  /// A row of a raster over the map: its height in rows of the field, and its width as a share of the map's.
  struct Row {
    double position = 0;
    double width = 1;
  };
  /// The places of `count` rows, top first.
  std::vector<Row> rows(std::int64_t count) const;
  /// Column of the field at a share of a row's length: first_column() + share * columns().
  double first_column() const { return first_column_; }
  double columns() const { return columns_; }
  /// Whether the column after the last is the first: on a sphere. A torus is drawn up to its edges, as a plane is.
  bool periodic() const { return sphere_; }

  /// A field (ny, nx) on a raster of (height, width) values, bottom row first: bilinear, the nearest value beside one
  /// that is not finite, NaN off the map. On a rectangle, (ny, nx) gives the field itself.
  std::vector<float> raster(std::span<const float> field, std::int64_t width, std::int64_t height) const;

 private:
  std::int64_t nx_;
  std::int64_t ny_;
  bool sphere_;
  double y_first_;  ///< of the field
  double dy_;
  double first_column_ = -0.5;
  double columns_;
  Range x_;
  Range y_;
  std::vector<Line> lines_;
};

}  // namespace levda::experiments
