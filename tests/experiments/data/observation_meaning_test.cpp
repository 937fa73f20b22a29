/// Files of observations by others: units, times, places and flags mean what their owner meant, or are refused.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <netcdf.h>
#include <sys/stat.h>

#include <array>
#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <thread>

#include "autodiff/error.h"
#include "experiments/data/info.h"
#include "experiments/data/observation_file.h"
#include "experiments/data/units.h"
#include "tests/nn/temporary_folder.h"

using namespace levda;
using namespace levda::experiments;
namespace fs = std::filesystem;

namespace {

models::Description about() {
  models::Description d;
  d.case_name = "test";
  d.channel_names = {"t", "p"};
  d.channel_units = {"K", "Pa"};
  d.grid = {.nx = 11, .ny = 11, .dx = 1, .dy = 1, .offset_x = {0, 0}, .offset_y = {0, 0}};
  d.frame_interval = 1;
  d.time_unit = "hours";
  d.time_reference = "2020-01-01";
  d.place_unit = "km";
  d.place_unit_y = "hPa";
  return d;
}

using Columns = std::map<std::string, std::vector<double>>;
using Units = std::map<std::string, std::string>;

/// Two observations, of t and p.
fs::path write(
    const fs::path& path, const Units& units, Columns columns = {}, const std::function<void(int)>& more = [](int) {},
    int mode = NC_NETCDF4) {
  columns.merge(Columns{
      {"time", {0, 1}}, {"x", {2, 5}}, {"y", {5, 6}}, {"value", {3, 4}}, {"error_std", {1, 2}}, {"channel", {0, 1}}});
  int id = -1;
  int row = 0;
  REQUIRE(nc_create(path.c_str(), mode | NC_CLOBBER, &id) == NC_NOERR);
  nc_def_dim(id, "row", 2, &row);
  for (const auto& [name, values] : columns) {
    int variable = 0;
    nc_def_var(id, name.c_str(), NC_DOUBLE, 1, &row, &variable);
    if (const auto unit = units.find(name); unit != units.end())
      nc_put_att_text(id, variable, "units", unit->second.size(), unit->second.c_str());
  }
  more(id);
  nc_enddef(id);
  for (const auto& [name, values] : columns) {
    int variable = 0;
    nc_inq_varid(id, name.c_str(), &variable);
    nc_put_var_double(id, variable, values.data());
  }
  REQUIRE(nc_close(id) == NC_NOERR);
  return path;
}

std::string refusal(const fs::path& path, const models::Description& of = about()) {
  try {
    read_observations(path, of, 10);
  } catch (const InputError& error) {
    const std::string text = error.what();
    return text.substr(path.string().size() + 2);
  }
  return "";
}

struct File {
  testing::TemporaryFolder folder;
  fs::path path = folder.path() / "o.nc";
};

bool near(double a, double b) { return std::abs(a - b) <= 1e-12 * (std::abs(a) + std::abs(b)); }

}  // namespace

TEST_CASE("observations: each axis has its own unit, in the data set's spelling or another one") {
  const File f;
  const da::Observations o =
      read_observations(write(f.path, {{"x", "km"}, {"y", "hPa"}, {"time", "hour"}}), about(), 10).observations;
  CHECK(o.x == std::vector<double>{2, 5});
  CHECK(o.y == std::vector<double>{5, 6});
  CHECK(refusal(write(f.path, {{"y", "K"}})).starts_with("y:units: \"K\", where the surrogate has \"hPa\""));
  CHECK(refusal(write(f.path, {{"time", "km"}})).starts_with("time:units: \"km\", where the surrogate has \"hours\""));
  models::Description degrees = about();
  degrees.place_unit = "degrees_east";
  degrees.place_unit_y = "degrees_north";
  CHECK(refusal(write(f.path, {{"x", "degree_E"}, {"y", "degrees_N"}}), degrees).empty());
  CHECK(refusal(write(f.path, {{"x", "degrees_north"}}), degrees).starts_with("x:units: \"degrees_north\""));
}

TEST_CASE("observations: in files of the classic kinds") {
  const File f;
  for (const int mode : {0, NC_64BIT_OFFSET, NC_64BIT_DATA})
    CHECK(read_observations(write(
                                f.path, {{"x", "km"}}, {}, [](int) {}, mode),
                            about(), 10)
              .observations.value == std::vector<double>{3, 4});
}

TEST_CASE("observations: units of values and errors" * doctest::skip(!has_udunits())) {
  const File f;
  // An error is a difference: it has no offset. Both channels of a file with units must be in such a unit.
  const Columns only_t{{"channel", {0, 0}}};
  const da::Observations o =
      read_observations(write(f.path, {{"value", "degC"}, {"error_std", "degC"}, {"x", "m"}}, only_t), about(), 10)
          .observations;
  CHECK(near(o.value[0], 276.15));
  CHECK(o.error_std == std::vector<double>{1, 2});
  CHECK(near(o.x[1], 0.005));
  CHECK(
      refusal(write(f.path, {{"value", "degC"}})).starts_with("value:units: \"degC\", where the surrogate has \"Pa\""));
  CHECK(refusal(write(f.path, {{"value", "degC"}}, only_t)) ==
        "error_std:units: left out, where value has a unit that is not the surrogate's");
  CHECK(refusal(write(f.path, {{"error_std", "mK"}}, only_t)) ==
        "value:units: left out, where error_std has a unit that is not the surrogate's");
  CHECK(refusal(write(f.path, {{"value", "K"}}, only_t)).empty());
  models::Description unsaid = about();
  unsaid.unsaid_units = {"channel", "x"};
  CHECK(read_observations(write(f.path, {{"value", "degC"}, {"x", "m"}}, only_t), unsaid, 10).observations.value ==
        std::vector<double>{3, 4});
}

TEST_CASE("observations: times counted from another reference are converted, other calendars refused") {
  const File f;
  const Columns times{{"time", {0, 60}}};
  const auto read = [&](const std::string& unit) {
    return read_observations(write(f.path, {{"time", unit}}, times), about(), 10).observations.time;
  };
  CHECK(read("minutes since 2020-01-01 03:00:00") == std::vector<double>{3, 4});
  CHECK(read("minutes since 2020-01-01") == std::vector<double>{0, 1});
  CHECK(refusal(write(f.path, {{"time", "hours since 2019-12-31"}})).starts_with("time: row 0: -24 is outside"));
  const auto julian = [](int id) {
    int time = 0;
    nc_inq_varid(id, "time", &time);
    nc_put_att_text(id, time, "calendar", 6, "julian");
  };
  CHECK(refusal(write(f.path, {{"time", "hours since 2020-01-01"}}, {}, julian)) ==
        "time:units: the calendar \"julian\", where the surrogate has \"standard\"");
}

TEST_CASE("observations: a time within 1e-5 of an interval of a frame is the frame's") {
  const File f;
  const auto read = [&](double a, double b) {
    return read_observations(write(f.path, {}, {{"time", {a, b}}}), about(), 10).observations.time;
  };
  CHECK(read(-5.6e-17, 10.000009) == std::vector<double>{0, 10});
  CHECK(read(static_cast<double>(2.0000005F), 2.9999905) == std::vector<double>{2, 3});
  CHECK(read(0.5, 2.99998) == std::vector<double>{0.5, 2.99998});
  CHECK(refusal(write(f.path, {}, {{"time", {-2e-5, 0}}})).starts_with("time: row 0: -2e-05 is outside"));
}

TEST_CASE("observations: a place and its image across a seam are one place") {
  const File f;
  models::Description ring = about();
  ring.grid = {.nx = 36,
               .ny = 17,
               .x0 = 0,
               .y0 = -80,
               .dx = 10,
               .dy = 10,
               .offset_x = {0, 0},
               .offset_y = {0, 0},
               .geometry = models::Geometry::sphere};
  Columns same{{"time", {0, 0}}, {"channel", {0, 0}}, {"value", {3, 3}}, {"error_std", {1, 1}}, {"y", {5, 5}}};
  const auto at = [&](double a, double b) {
    same["x"] = {a, b};
    return refusal(write(f.path, {}, same), ring);
  };
  CHECK(at(-4, 356) == "value: row 1: repeats row 0");
  CHECK(at(0.1, 360.1) == "value: row 1: repeats row 0");
  CHECK(at(0, 360) == "value: row 1: repeats row 0");
  CHECK(at(0, 359.9999) == "");
  same["y"] = {90, 90};
  CHECK(at(10, 50) == "value: row 1: repeats row 0");  // the pole
  ring.grid.geometry = models::Geometry::plane;
  same["y"] = {5, 5};
  CHECK(at(0, 350) == "");
}

TEST_CASE("observations: longitudes in either convention for a box across Greenwich") {
  const File f;
  models::Description box = about();
  box.place_unit = "degrees_east";
  box.grid.x0 = 340;
  box.grid.dx = 5;  // to 390
  const auto read = [&](double a, double b) {
    return read_observations(write(f.path, {}, {{"x", {a, b}}}), box, 10).observations.x;
  };
  CHECK(read(-10, 20) == std::vector<double>{350, 380});
  CHECK(read(350, 380) == std::vector<double>{350, 380});
  CHECK(refusal(write(f.path, {}, {{"x", {180, 350}}}), box).starts_with("x: row 0: 180 degrees_east is outside"));
}

TEST_CASE("observations: where the data set never has values nothing is used") {
  const File f;
  models::Description land = about();
  land.grid.never.assign(2 * 121, 0);
  land.grid.never[5 * 11 + 2] = 1;  // of channel 0, at (2, 5)
  const auto read = [&](double x) {
    return read_observations(write(f.path, {}, {{"x", {x, 2}}, {"y", {5, 5}}}), land, 10).observations.qc;
  };
  CHECK(read(2.4) == std::vector<std::int32_t>{4, 0});
  CHECK(read(2.6) == std::vector<std::int32_t>{0, 0});
  land.grid.never.assign(2 * 121, 1);
  CHECK(refusal(write(f.path, {}), land) ==
        "x: 2 of 2 values lie where the data set never has any, as on land (row 0, row 1)");
}

TEST_CASE("observations: flags are whole numbers, and a name in another case is refused") {
  const File f;
  CHECK(read_observations(write(f.path, {}, {{"qc", {0, 6}}}), about(), 10).observations.qc ==
        std::vector<std::int32_t>{0, 6});
  CHECK(refusal(write(f.path, {}, {{"qc", {0, 0.5}}})) == "qc: row 1: 0.5 is not a whole number");
  CHECK(refusal(write(f.path, {}, {{"qc", {0, std::nan("")}}})) == "qc: row 1: nan is not a whole number");
  CHECK(refusal(write(f.path, {}, {{"QC", {0, 6}}})) ==
        "QC: differs from the name that is read only by case; name it qc");
  CHECK(refusal(write(f.path, {}, {{"channel", {0, 0.5}}})) == "channel: row 1: 0.5 is not a whole number");
}

TEST_CASE("observations as text: dialects are named, lines counted with the header, a pipe is read") {
  const testing::TemporaryFolder folder;
  const auto text = [&](const std::string& name, const std::string& bytes) {
    std::ofstream(folder.path() / name, std::ios::binary) << bytes;
    return refusal(folder.path() / name);
  };
  const std::string good = "time,x,y,channel,value,error_std\n0,2,5,t,3,1\n1,5,6,p,4,2\n";
  const auto with = [&](char letter, const std::string& other) {
    std::string changed;
    for (const char c : good) changed += c == letter ? other : std::string(1, c);
    return changed;
  };
  CHECK(text("a.csv", good).empty());
  CHECK(text("A.CSV", with('\n', "\r\n")).empty());
  CHECK(text("a.csv", with(',', ";")) == "the first line has semicolons, where commas are needed");
  CHECK(text("a.csv", with(',', "\t")) == "the first line has tabs, where commas are needed");
  CHECK(text("a.csv", with('\n', "\r")) == "has lines that end with CR, where LF or CR LF is needed");
  std::string wide = "\xFF\xFE";
  for (const char c : good) wide += {c, '\0'};
  CHECK(text("a.csv", wide) == "is UTF-16, where UTF-8 is needed");
  CHECK(text("a.csv", wide.substr(2)) == "is not text (UTF-16 without its mark?)");
  CHECK(text("a.txt", good) == "is text, but not CSV by its name: a file of observations as text ends with .csv");
  CHECK(text("a.csv", "# by hand\n" + good + "\n-1,2,5,t,3,1\n").starts_with("time: line 6: -1 is outside"));
  CHECK(text("a.csv", good + "0,2,5,t,3,1\n") == "value: line 4: repeats line 2");
  CHECK(text("a.csv", "Time" + good.substr(4)) ==
        "Time: differs from the name that is read only by case; name it time");
  text("a.csv", good);
  CHECK(describe_file(folder.path() / "a.csv").find("channel t:             1 values") != std::string::npos);

  const fs::path pipe = folder.path() / "pipe";
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  std::jthread writer([&] { std::ofstream(pipe) << good; });
  CHECK(read_observations(pipe, about(), 10).observations.value == std::vector<double>{3, 4});
}

TEST_CASE("observations of IODA, version 3") {
  const File f;
  int id = -1;
  int location = 0;
  REQUIRE(nc_create(f.path.c_str(), NC_NETCDF4 | NC_CLOBBER, &id) == NC_NOERR);
  nc_def_dim(id, "Location", 4, &location);
  const auto group = [&](const char* name) {
    int found = 0;
    nc_def_grp(id, name, &found);
    return found;
  };
  const float fill = -3.4e38F;
  const auto put = [&](int of, const char* name, const std::array<float, 4>& values, const char* units) {
    int variable = 0;
    nc_def_var(of, name, NC_FLOAT, 1, &location, &variable);
    nc_put_att_float(of, variable, "_FillValue", NC_FLOAT, 1, &fill);
    if (units != nullptr) nc_put_att_text(of, variable, "units", std::string(units).size(), units);
    nc_put_var_float(of, variable, values.data());
  };
  const int meta = group("MetaData");
  put(meta, "longitude", {359, 1, 2, 3}, "degrees_east");
  put(meta, "latitude", {5, 5, 6, 7}, "degrees_north");
  int time = 0;
  nc_def_var(meta, "dateTime", NC_INT64, 1, &location, &time);
  const std::string since = "seconds since 2020-01-01T01:00:00Z";
  nc_put_att_text(meta, time, "units", since.size(), since.c_str());
  const std::array<long long, 4> seconds{0, 1800, 3600, 7200};
  nc_put_var_longlong(meta, time, seconds.data());
  const int values = group("ObsValue");
  put(values, "t", {280, 281, fill, 283}, "K");
  put(values, "humidity", {1, 2, 3, 4}, nullptr);
  put(group("ObsError"), "t", {1, 2, 3, 4}, "K");
  const int flags = group("PreQC");
  int flag = 0;
  nc_def_var(flags, "t", NC_INT, 1, &location, &flag);
  const std::array<int, 4> codes{0, 3, 0, 0};
  nc_put_var_int(flags, flag, codes.data());
  REQUIRE(nc_close(id) == NC_NOERR);

  models::Description earth = about();
  earth.place_unit = "degrees_east";
  earth.place_unit_y = "degrees_north";
  earth.grid.x0 = -5;
  const da::Observations o = read_observations(f.path, earth, 10).observations;
  CHECK(o.time == std::vector<double>{1, 1.5, 3});
  CHECK(o.x == std::vector<double>{-1, 1, 3});
  CHECK(o.y == std::vector<double>{5, 5, 7});
  CHECK(o.value == std::vector<double>{280, 281, 283});
  CHECK(o.error_std == std::vector<double>{1, 2, 4});
  CHECK(o.qc == std::vector<std::int32_t>{0, 6, 0});
  earth.channel_names = {"u", "v"};
  CHECK(refusal(f.path, earth) == "ObsValue: has t, humidity, of which none is a channel of the surrogate (u, v)");
}
