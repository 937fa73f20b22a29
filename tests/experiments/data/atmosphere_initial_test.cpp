#include "experiments/data/atmosphere_initial.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <functional>
#include <limits>

#include "autodiff/error.h"
#include "experiments/data/netcdf_file.h"
#include "tests/nn/temporary_folder.h"

using namespace levda;
using namespace levda::experiments;

namespace {

/// What a file holds; a test changes it.
struct Content {
  std::vector<double> latitude{60, 20, -20, -60};
  std::vector<double> longitude{-180, -90, 0, 90, 180};
  std::string latitude_name = "lat";
  std::string longitude_name = "lon";
  std::vector<std::string> order{"time", "lat", "lon"};
  std::vector<std::string> fields{"u", "v", "h", "orography"};
  std::int64_t times = 1;
  bool hole = false;
};

/// The number of a field, 1 .. 4, its latitude and longitude, in one number.
double value(std::size_t field, double latitude, double longitude) {
  return 1e6 * static_cast<double>(field + 1) + 1e3 * latitude + (longitude < 0 ? longitude + 360 : longitude);
}

void write(const std::filesystem::path& path, const Content& content) {
  NetcdfWriter file(path);
  file.dimension("time", content.times);
  file.dimension("lat", static_cast<std::int64_t>(content.latitude.size()));
  file.dimension("lon", static_cast<std::int64_t>(content.longitude.size()));
  file.variable(content.latitude_name, Type::Float32, {"lat"});
  file.write(content.latitude_name, content.latitude);
  file.variable(content.longitude_name, Type::Float64, {"lon"});
  file.write(content.longitude_name, content.longitude);
  for (std::size_t field = 0; field < content.fields.size(); ++field) {
    std::vector<double> values;
    const bool rows = content.order[content.order.size() - 2] == "lat";
    for (std::int64_t t = 0; t < (content.order[0] == "time" ? content.times : 1); ++t)
      for (std::size_t a = 0; a < (rows ? content.latitude : content.longitude).size(); ++a)
        for (std::size_t b = 0; b < (rows ? content.longitude : content.latitude).size(); ++b)
          values.push_back(value(field, content.latitude[rows ? a : b], content.longitude[rows ? b : a]));
    if (content.hole && field == 1) values[3] = std::numeric_limits<double>::quiet_NaN();
    file.variable(content.fields[field], Type::Float64, content.order);
    file.write(content.fields[field], values);
  }
  file.commit();
}

}  // namespace

TEST_CASE("the atmosphere's initial state, however its file is turned") {
  const levda::testing::TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "initial.nc";
  for (const int turned : {0, 1, 2}) {
    Content content;
    if (turned == 1) {
      content.order = {"lon", "lat"};
      content.latitude = {-60, -20, 20, 60};
      content.longitude = {0, 90, 180, 270};
      content.latitude_name = "latitude";
      content.longitude_name = "longitude";
    }
    if (turned == 2) content.longitude = {180, 90, 0, -90};
    write(path, content);
    const models::AtmosphereInitial initial = read_atmosphere_initial(path);
    CHECK(initial.latitude == std::vector<double>{-60, -20, 20, 60});
    CHECK(initial.longitude == std::vector<double>{0, 90, 180, 270});
    std::vector<std::vector<double>> expected(4);
    for (std::size_t field = 0; field < 4; ++field)
      for (const double latitude : initial.latitude)
        for (const double longitude : initial.longitude) expected[field].push_back(value(field, latitude, longitude));
    CHECK(initial.u == expected[0]);
    CHECK(initial.v == expected[1]);
    CHECK(initial.h == expected[2]);
    CHECK(initial.orography == expected[3]);
  }
}

TEST_CASE("a file that is no initial state of the atmosphere: file and variable are named") {
  const levda::testing::TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "initial.nc";
  const auto refused = [&](const char* message, const std::function<void(Content&)>& change) {
    Content content;
    change(content);
    write(path, content);
    CHECK_THROWS_WITH_AS(read_atmosphere_initial(path), (path.string() + ": " + message).c_str(), InputError);
  };
  refused("lat: no such variable, nor latitude, of degrees", [](Content& c) { c.latitude_name = "north"; });
  refused("lon: no such variable, nor longitude, of degrees", [](Content& c) { c.longitude_name = "x"; });
  refused("orography: no such variable", [](Content& c) { c.fields.pop_back(); });
  refused("lat: 91 is not in -90 .. 90 degrees", [](Content& c) { c.latitude[0] = 91; });
  refused("lat: 20 comes twice", [](Content& c) { c.latitude[0] = 20; });
  refused("lon: 3 places, but 4 are needed", [](Content& c) { c.longitude = {0, 120, 240}; });
  refused("u: its dimensions are not lat and lon", [](Content& c) { c.times = 2; });
  refused("v: has missing values", [](Content& c) { c.hole = true; });
  CHECK_THROWS_AS(read_atmosphere_initial(folder.path() / "absent.nc"), InputError);
}
