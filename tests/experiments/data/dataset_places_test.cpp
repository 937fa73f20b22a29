/// Where the values of data sets by others lie: axes that jump, longitudes, geometry, land, and their units.

#include "experiments/data/dataset_places.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "autodiff/error.h"
#include "tests/nn/temporary_folder.h"

using namespace levda;
using namespace levda::experiments;

namespace {

/// 10 members, 4 frames, 1 channel; field counts up.
struct Set {
  std::vector<double> x{0, 10, 20, 30};
  std::vector<double> y{-10, 0, 10};
  Attributes of_x;
  Attributes of_y;
  Attributes of_time;
  Attributes of_field;
  std::string geometry;
  std::vector<std::size_t> never;  // nodes
  bool listed = false;

  Dataset read() const {
    const testing::TemporaryFolder folder;
    const std::filesystem::path path = folder.path() / "own.nc";
    NetcdfWriter file(path);
    file.dimension("member", 10);
    file.dimension("time", 4);
    file.dimension("channel", 1);
    file.dimension("parameter", 1);
    file.dimension(listed ? "point" : "x", static_cast<std::int64_t>(x.size()));
    if (!listed) file.dimension("y", static_cast<std::int64_t>(y.size()));
    if (!geometry.empty()) file.attribute("geometry", geometry);
    const auto write = [&](const std::string& name, const std::vector<std::string>& dimensions,
                           const Attributes& attributes, const std::vector<double>& values) {
      file.variable(name, Type::Float64, dimensions, attributes);
      file.write(name, values);
    };
    write("time", {"time"}, of_time, {0, 1, 2, 3});
    write("x", {listed ? "point" : "x"}, of_x, x);
    write("y", {listed ? "point" : "y"}, of_y, y);
    const std::size_t nodes = listed ? x.size() : x.size() * y.size();
    std::vector<double> field;
    for (std::size_t i = 0; i < 40 * nodes; ++i) field.push_back(static_cast<double>(i));
    for (std::size_t i = 0; i < field.size(); ++i)
      if (std::find(never.begin(), never.end(), i % nodes) != never.end()) field[i] = std::nan("");
    std::vector<std::string> dimensions{"member", "time", "channel"};
    if (!listed) dimensions.emplace_back("y");
    dimensions.emplace_back(listed ? "point" : "x");
    write("field", dimensions, of_field, field);
    write("parameters", {"member", "parameter"}, {}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    file.commit();
    return read_dataset(path);
  }

  std::string refusal() const {
    try {
      read();
    } catch (const InputError& error) {
      const std::string text = error.what();
      return text.substr(text.rfind("own.nc: ") + 8);
    }
    return "";
  }
};

const Attributes east{{"units", "degrees_east"}};

}  // namespace

TEST_CASE("places: longitudes across Greenwich and the date line") {
  Set set;
  set.x = {340, 350, 0, 10};
  CHECK(set.refusal() == "x: is neither increasing nor decreasing");
  set.of_x = east;
  const models::Grid grid = set.read().about.grid;
  CHECK(grid.x0 == 340);
  CHECK(grid.dx == 10);
  CHECK(grid.nx == 4);
  set.of_x = {{"units", "degrees"}, {"standard_name", "longitude"}};
  CHECK(set.read().about.grid.x0 == 340);
  set.x = {10, 0, 350, 340};
  CHECK(set.read().about.grid.x0 == -20);
  set.x = {170, 180, -170, -160};
  CHECK(set.read().about.grid.width() == 30);
  set.x = {340, 0, 350, 10};
  CHECK(set.refusal() == "x: is neither increasing nor decreasing");
  set.x = {0, 10, 20, 30};
  set.y = {0, 20, 10};
  CHECK(set.refusal() == "y: is neither increasing nor decreasing");
  set.listed = true;
  set.x = {355, 5, 358, 2};
  set.y = {0, 1, 2, 3};
  const models::Grid list = set.read().about.grid;
  CHECK(list.x == std::vector<double>{355, 365, 358, 362});
}

TEST_CASE("places: a geometry is honoured or refused") {
  Set set;
  set.geometry = "sphere";
  set.x.clear();
  for (int i = 0; i < 36; ++i) set.x.push_back(i < 18 ? 10 * i : 10 * i - 360);  // 0 .. 170, -180 .. -10
  CHECK(set.read().about.grid.geometry == models::Geometry::sphere);
  set.y = {-10, 0, 11};
  CHECK(set.refusal().starts_with("geometry: \"sphere\" needs a grid of evenly spaced x and y"));
  set.y = {-10, 0, 10};
  set.x.pop_back();
  CHECK(set.refusal().starts_with("geometry: longitudes of a sphere go round"));
  set.x = {0, 10, 20, 31};
  set.geometry = "torus";
  CHECK(set.refusal().starts_with("geometry: \"torus\" needs a grid"));
  set.geometry = "cube";
  CHECK(set.refusal().starts_with("geometry: \"cube\" is none of"));
}

TEST_CASE("places: each axis has its own unit, and those that are not said are known") {
  Set set;
  models::Description about = set.read().about;
  CHECK(about.unsaid_units == std::vector<std::string>{"time", "x", "y", "channel"});
  CHECK(about.unit_y() == "m");
  set.of_x = {{"units", "km"}};
  set.of_y = {{"units", "hPa"}};
  set.of_time = {{"units", "days since 1850-01-01 00:00:00"}, {"calendar", "NOLEAP"}};
  set.of_field = {{"units", "K"}};
  about = set.read().about;
  CHECK(about.unsaid_units.empty());
  CHECK(about.place_unit == "km");
  CHECK(about.unit_y() == "hPa");
  CHECK(about.time_unit == "days");
  CHECK(about.time_reference == "1850-01-01 00:00:00");
  CHECK(about.calendar == "noleap");
  CHECK(about.channel_units == std::vector<std::string>{"K"});
}

TEST_CASE("places: nodes that never have a value are remembered") {
  Set set;
  CHECK(set.read().about.grid.never.empty());
  set.never = {0, 5};
  const models::Grid grid = set.read().about.grid;
  REQUIRE(grid.never.size() == 12);
  CHECK(std::count(grid.never.begin(), grid.never.end(), 1) == 2);
  CHECK(grid.is_never(0, 14, -4));  // nearest to node 5, at (10, 0)
  CHECK_FALSE(grid.is_never(0, 16, -4));
  CHECK(grid.is_never(0, -1, -11));
}
