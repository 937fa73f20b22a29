#include "experiments/report/projection.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "experiments/report/report.h"

using namespace levda::experiments;

namespace {

FieldMaps sphere(std::int64_t nx, std::int64_t ny) {
  const double dx = 360. / static_cast<double>(nx);
  const double dy = 180. / static_cast<double>(ny);
  return {.channel = "h",
          .nx = nx,
          .ny = ny,
          .x_max = 360 - dx,
          .y_min = -90 + dy / 2,
          .y_max = 90 - dy / 2,
          .geometry = levda::models::Geometry::sphere};
}

}  // namespace

TEST_CASE("Robinson's projection has the table's values at its latitudes and is smooth between them") {
  const double tolerance = 1e-14;  // the interpolation gives a node alone; round-off of sums of four terms below 1
  const std::array<double, 3> known[] = {{0, 1, 0}, {30, 0.96, 0.372}, {45, 0.8962, 0.5571}, {90, 0.5322, 1}};
  for (const auto& [latitude, length, distance] : known)
    for (const double sign : {-1., 1.}) {
      CHECK(std::abs(Robinson::width(sign * latitude) - length) <= tolerance);
      CHECK(std::abs(Robinson::y(sign * latitude) - sign * 1.3523 * distance) <= 1.3523 * tolerance);
    }
  CHECK(Robinson::y(100) == Robinson::y(90));
  for (int k = 0; k < 900; ++k) {
    const double latitude = 0.1 * k;
    CHECK(Robinson::y(latitude + 0.1) > Robinson::y(latitude));
    CHECK(Robinson::width(latitude + 0.1) < Robinson::width(latitude));
    // From step to step a parallel shrinks by 0.012 per degree at most (the table: 0.0511 in 5 degrees).
    CHECK(Robinson::width(latitude) - Robinson::width(latitude + 0.1) <= 0.0012);
  }
}

TEST_CASE("a latitude is found again from its place on the sheet") {
  for (double latitude = -90; latitude <= 90; latitude += 3.7)
    CHECK(std::abs(Robinson::latitude(Robinson::y(latitude)) - latitude) <= 2e-9);
  CHECK(std::abs(Robinson::latitude(5) - 90) <= 1e-9);
  CHECK(std::abs(Robinson::latitude(-5) + 90) <= 1e-9);
}

TEST_CASE("places on a sphere lie within its outline, periodic in longitude") {
  const Projection projection(sphere(8, 4));
  const auto near = [](const Projection::Point& a, double x, double y) {
    return std::abs(a.first - x) <= 1e-9 && std::abs(a.second - y) <= 1e-9;
  };
  CHECK(near(projection.at(180, 0), 0, 0));
  CHECK(near(projection.at(0, 0), -Robinson::half_width, 0));
  CHECK(near(projection.at(270, 90), 0.5 * 0.5322 * Robinson::half_width, 1.3523));
  CHECK(near(projection.at(270, -45), 0.5 * 0.8962 * Robinson::half_width, -1.3523 * 0.5571));
  CHECK(near(projection.at(-90, 0), projection.at(270, 0).first, 0));
  CHECK(near(projection.at(450, 0), projection.at(90, 0).first, 0));
  for (const Projection::Line& line : projection.lines())
    for (const auto& [x, y] : line) {
      CHECK(std::abs(x) <= projection.x().high);
      CHECK(std::abs(y) <= projection.y().high);
    }
}

TEST_CASE("a raster of a rectangle's own size is the field itself, missing values too") {
  FieldMaps maps{.channel = "h", .nx = 5, .ny = 3, .x_min = 2, .x_max = 10, .y_min = -1, .y_max = 1};
  std::vector<float> field;
  for (int i = 0; i < 15; ++i) field.push_back(static_cast<float>(std::cos(i)));
  field[7] = NAN;
  field[0] = INFINITY;
  const Projection projection(maps);
  CHECK(projection.x().low == 1);
  CHECK(projection.x().high == 11);
  CHECK(projection.y().low == -1.5);
  const std::vector<float> raster = projection.raster(field, 5, 3);
  for (std::size_t i = 0; i < 15; ++i) {
    CAPTURE(i);
    if (i == 7)
      CHECK(std::isnan(raster[i]));
    else if (i == 0)
      CHECK(raster[i] == field[i]);
    else
      CHECK(std::abs(raster[i] - field[i]) <= 1e-6f);  // weights are off by round-off
  }
}

TEST_CASE("a raster of a sphere shows each place where the projection puts it, and nothing beyond the outline") {
  const FieldMaps maps = sphere(72, 36);
  const Projection projection(maps);
  const auto value = [](double longitude, double latitude) {
    const double degree = std::numbers::pi / 180;
    return std::cos(latitude * degree) * std::cos(longitude * degree) + std::sin(latitude * degree);
  };
  std::vector<float> field;
  for (int j = 0; j < 36; ++j)
    for (int i = 0; i < 72; ++i) field.push_back(static_cast<float>(value(5. * i, -87.5 + 5. * j)));
  constexpr std::int64_t width = 101, height = 51;
  const std::vector<float> raster = projection.raster(field, width, height);
  std::int64_t shown = 0;
  for (std::int64_t j = 0; j < height; ++j)
    for (std::int64_t i = 0; i < width; ++i) {
      const double y = projection.y().low + (static_cast<double>(j) + 0.5) / height * projection.y().length();
      const double latitude = Robinson::latitude(y);
      const double x = projection.x().low + (static_cast<double>(i) + 0.5) / width * projection.x().length();
      const double turn = x / (Robinson::half_width * Robinson::width(latitude));
      const float found = raster[j * width + i];
      if (std::abs(turn) > 1) {
        CHECK(std::isnan(found));
        continue;
      }
      ++shown;
      // Bilinear on cells of 5 degrees: h^2 / 8 of both second derivatives, which are at most 1 and sqrt(2); within
      // half a cell of a pole the outermost row, half a cell away at a slope of at most sqrt(2).
      const double h = 5 * std::numbers::pi / 180;
      const double tolerance = std::abs(latitude) > 87.5 ? h : 0.31 * h * h;
      CHECK(std::abs(found - value(180 + 180 * turn, latitude)) <= tolerance);
    }
  CHECK(shown > 0.8 * width * height);
  CHECK(shown < 0.95 * width * height);
}
