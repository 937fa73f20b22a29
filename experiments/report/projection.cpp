#include "experiments/report/projection.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "experiments/report/report.h"
#include "models/interpolation.h"

namespace levda::experiments {

namespace {

constexpr std::int64_t entries = 19;  // 0, 5, .., 90 degrees
constexpr std::array<double, entries> parallel_lengths{1.0000, 0.9986, 0.9954, 0.9900, 0.9822, 0.9730, 0.9600,
                                                       0.9427, 0.9216, 0.8962, 0.8679, 0.8350, 0.7986, 0.7597,
                                                       0.7186, 0.6732, 0.6213, 0.5722, 0.5322};
constexpr std::array<double, entries> parallel_distances{0.0000, 0.0620, 0.1240, 0.1860, 0.2480, 0.3100, 0.3720,
                                                         0.4340, 0.4958, 0.5571, 0.6176, 0.6769, 0.7346, 0.7903,
                                                         0.8435, 0.8936, 0.9394, 0.9761, 1.0000};

/// Value of the table, continued to the other hemisphere with the given sign.
double tabulated(const std::array<double, entries>& table, double latitude, double sign) {
  const double position = std::clamp(latitude, -90., 90.) / 5 + (entries - 1);
  const models::CubicStencil stencil = models::cubic_stencil(position, 2 * entries - 1);
  double sum = 0;
  for (std::int64_t k = 0; k < 4; ++k) {
    const std::int64_t entry = stencil.first + k - (entries - 1);
    sum += stencil.weights[k] * (entry < 0 ? sign * table[-entry] : table[entry]);
  }
  return sum;
}

}  // namespace

double Robinson::width(double latitude) { return tabulated(parallel_lengths, latitude, 1); }

double Robinson::y(double latitude) { return half_height * tabulated(parallel_distances, latitude, -1); }

double Robinson::latitude(double y) {
  double south = -90, north = 90;
  while (north - south > 1e-9) (Robinson::y((south + north) / 2) < y ? south : north) = (south + north) / 2;
  return (south + north) / 2;
}

Projection::Projection(const FieldMaps& maps)
    : nx_(maps.nx), ny_(maps.ny), sphere_(maps.geometry == models::Geometry::sphere), y_first_(maps.y_min) {
  // A value stands for the cell around its node, so a map reaches half a cell beyond the outermost nodes.
  const double dx = nx_ > 1 ? (maps.x_max - maps.x_min) / static_cast<double>(nx_ - 1) : 1;
  dy_ = ny_ > 1 ? (maps.y_max - maps.y_min) / static_cast<double>(ny_ - 1) : dx;
  if (!sphere_) {
    columns_ = static_cast<double>(nx_);
    x_ = {maps.x_min - dx / 2, maps.x_max + dx / 2};
    y_ = {maps.y_min - dy_ / 2, maps.y_max + dy_ / 2};
    lines_ = {{{x_.low, y_.low}, {x_.high, y_.low}, {x_.high, y_.high}, {x_.low, y_.high}, {x_.low, y_.low}}};
    return;
  }
  columns_ = 360 / dx;
  first_column_ = -maps.x_min / dx;
  x_ = {-Robinson::half_width, Robinson::half_width};
  y_ = {-Robinson::half_height, Robinson::half_height};
  const auto on = [](double longitude, double latitude) {
    return Point{Robinson::half_width * (longitude / 180 - 1) * Robinson::width(latitude), Robinson::y(latitude)};
  };
  const auto meridian = [&](double longitude) {
    Line line;
    for (int latitude = -90; latitude <= 90; latitude += 10) line.push_back(on(longitude, latitude));
    return line;
  };
  Line outline = meridian(0);
  const Line right = meridian(360);
  outline.insert(outline.end(), right.rbegin(), right.rend());
  outline.push_back(outline.front());
  lines_.push_back(outline);
  for (int longitude = 60; longitude < 360; longitude += 60) lines_.push_back(meridian(longitude));
  for (int latitude = -60; latitude <= 60; latitude += 30) lines_.push_back({on(0, latitude), on(360, latitude)});
}

Projection::Point Projection::at(double x, double y) const {
  if (!sphere_) return {x, y};
  const double turns = x / 360 - std::floor(x / 360);
  return {Robinson::half_width * (2 * turns - 1) * Robinson::width(y), Robinson::y(y)};
}

std::vector<Projection::Row> Projection::rows(std::int64_t count) const {
  std::vector<Row> rows;
  for (std::int64_t j = 0; j < count; ++j) {
    const double height = y_.high - (static_cast<double>(j) + 0.5) / static_cast<double>(count) * y_.length();
    const double place = sphere_ ? Robinson::latitude(height) : height;
    rows.push_back({(place - y_first_) / dy_, sphere_ ? Robinson::width(place) : 1});
  }
  return rows;
}

std::vector<float> Projection::raster(std::span<const float> field, std::int64_t width, std::int64_t height) const {
  std::vector<float> values(static_cast<std::size_t>(width * height), NAN);
  const std::vector<Row> all = rows(height);
  const auto column = [&](std::int64_t i) {
    return sphere_ ? (i % nx_ + nx_) % nx_ : std::clamp<std::int64_t>(i, 0, nx_ - 1);
  };
  for (std::int64_t j = 0; j < height; ++j) {
    const Row& row = all[height - 1 - j];
    const double y = std::clamp(row.position, 0., static_cast<double>(ny_ - 1));
    const auto y0 = static_cast<std::int64_t>(y);
    const std::int64_t y1 = std::min(y0 + 1, ny_ - 1);
    const double fy = y - static_cast<double>(y0);
    for (std::int64_t i = 0; i < width; ++i) {
      const double from_middle = (2 * (static_cast<double>(i) + 0.5) / static_cast<double>(width) - 1) / row.width;
      if (std::abs(from_middle) > 1) continue;
      const double x = first_column_ + columns_ * (1 + from_middle) / 2;
      const double fx = x - std::floor(x);
      const std::int64_t x0 = column(static_cast<std::int64_t>(std::floor(x)));
      const std::int64_t x1 = column(static_cast<std::int64_t>(std::floor(x)) + 1);
      const double mean = (1 - fy) * ((1 - fx) * field[y0 * nx_ + x0] + fx * field[y0 * nx_ + x1]) +
                          fy * ((1 - fx) * field[y1 * nx_ + x0] + fx * field[y1 * nx_ + x1]);
      values[j * width + i] =
          std::isfinite(mean) ? static_cast<float>(mean) : field[(fy < 0.5 ? y0 : y1) * nx_ + (fx < 0.5 ? x0 : x1)];
    }
  }
  return values;
}

}  // namespace levda::experiments
