/// Data sets that someone else made, in every layout that experiments/README.md allows.

#include "experiments/data/dataset_file.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "autodiff/error.h"
#include "experiments/data/netcdf_file.h"
#include "tests/nn/temporary_folder.h"

using namespace levda;
using namespace levda::experiments;

namespace {

using Shape = std::vector<std::int64_t>;

std::vector<double> even(std::int64_t count, double first, double step) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(first + static_cast<double>(i) * step);
  return values;
}

/// A foreign file of 10 members, 4 frames, 2 channels on 3 x 5 nodes; field counts up from 0.
struct Foreign {
  std::vector<double> time = even(4, 7, 0.5);
  std::vector<double> y = even(3, 10, 2);
  std::vector<double> x = even(5, -1, 0.25);
  std::vector<double> parameters = even(10, 3, 1);
  std::vector<float> field;
  bool listed = false;
  bool varying = false;
  std::function<void(NetcdfWriter&)> more = [](NetcdfWriter&) {};

  Foreign() {
    for (int i = 0; i < 10 * 4 * 2 * 15; ++i) field.push_back(static_cast<float>(i));
  }

  Dataset read() const {
    const testing::TemporaryFolder folder;
    const std::filesystem::path path = folder.path() / "own.nc";
    NetcdfWriter file(path);
    file.dimension("member", 10);
    file.dimension("time", static_cast<std::int64_t>(time.size()));
    file.dimension("channel", 2);
    file.dimension("parameter", 1);
    std::vector<std::string> dimensions{"member", "time", "channel"};
    if (listed) {
      file.dimension("point", 15);
      dimensions.emplace_back("point");
    } else {
      file.dimension("y", 3);
      file.dimension("x", 5);
      dimensions.insert(dimensions.end(), {"y", "x"});
    }
    file.variable("time", Type::Float64, {"time"}, {{"units", "hours since 2000-01-01"}});
    file.write("time", time);
    file.variable("x", Type::Float64, {listed ? "point" : "x"}, {{"units", "degrees_east"}});
    file.write("x", x);
    if (!y.empty()) {
      file.variable("y", Type::Float64, {listed ? "point" : "y"});
      file.write("y", y);
    }
    file.variable("field", Type::Float32, dimensions);
    file.write("field", field);
    file.variable("parameters", Type::Float64,
                  varying ? std::vector<std::string>{"member", "time", "parameter"}
                          : std::vector<std::string>{"member", "parameter"});
    file.write("parameters", parameters);
    more(file);
    file.commit();
    return read_dataset(path);
  }

  /// The message without the folder.
  std::string refusal() const {
    try {
      read();
    } catch (const InputError& error) {
      const std::string text = error.what();
      return text.substr(text.rfind('/') + 1);
    }
    return "read";
  }
};

}  // namespace

TEST_CASE("a foreign grid: what is left out is filled in") {
  const Dataset set = Foreign().read();
  CHECK(set.about.case_name == "own");
  CHECK(set.train == 6);
  CHECK(set.valid == 2);
  CHECK(set.test == 2);
  CHECK(set.about.frames == 4);
  CHECK(set.about.first_time == 7);
  CHECK(set.about.frame_interval == 0.5);
  CHECK(set.about.time_unit == "hours");
  CHECK(set.about.place_unit == "degrees_east");
  CHECK(set.about.channel_names == std::vector<std::string>{"channel_0", "channel_1"});
  CHECK(set.about.parameter_names == std::vector<std::string>{"parameter_0"});
  CHECK(set.about.parameter_min == std::vector<double>{3});
  CHECK(set.about.parameter_max == std::vector<double>{12});
  CHECK_FALSE(set.about.grid.listed());
  CHECK(set.about.grid.nx == 5);
  CHECK(set.about.grid.dy == 2);
  CHECK(set.fields == Foreign().field);
  CHECK_FALSE(set.varying);
  CHECK(set.parameters_at(4, 3)[0] == 7);
  CHECK(set.between.points == 0);
}

TEST_CASE("the arrays of a file make the data set of the file") {
  for (const bool listed : {false, true}) {
    Foreign foreign;
    foreign.listed = listed;
    if (listed) {
      foreign.x = even(15, 0, 1);
      foreign.y = even(15, 5, -0.5);
    }
    foreign.field[3] = std::nanf("");
    const Dataset set = foreign.read();
    models::Grid grid{.nx = 5, .ny = 3, .x0 = -1, .y0 = 10, .dx = 0.25, .dy = 2};
    if (listed) grid = models::Grid::of_points(foreign.x, foreign.y, 2);
    const Dataset arrays = models::make_dataset({.about = {.grid = grid,
                                                           .frames = 4,
                                                           .first_time = 7,
                                                           .frame_interval = 0.5,
                                                           .time_unit = "hours",
                                                           .place_unit = "degrees_east",
                                                           .time_reference = "2000-01-01"},
                                                 .parameters = foreign.parameters,
                                                 .fields = foreign.field},
                                                10);
    CHECK(arrays.fingerprint == set.fingerprint);
    CHECK(arrays.moments->mean == set.moments->mean);
    CHECK(arrays.about.channel_names == set.about.channel_names);
    CHECK(arrays.train == set.train);
  }
}

TEST_CASE("names by string coordinates, members by attributes, the prior range and staggering as said") {
  Foreign foreign;
  foreign.more = [](NetcdfWriter& file) {
    file.write_strings("channel", "channel", {"wind", "height"});
    file.write_strings("channel_units", "channel", {"m s-1", "m"});
    file.write_strings("parameter", "parameter", {"drag"});
    file.attribute("train", std::int64_t{7});
    file.attribute("valid", std::int64_t{1});
    file.attribute("test", std::int64_t{2});
    file.attribute("case", std::string("harbour"));
    file.variable("parameter_max", Type::Float64, {"parameter"});
    file.write("parameter_max", std::vector<double>{20});
    file.variable("offset_x", Type::Float64, {"channel"});
    file.write("offset_x", std::vector<double>{0.5, 0});
  };
  const Dataset set = foreign.read();
  CHECK(set.about.case_name == "harbour");
  CHECK(set.about.channel_names == std::vector<std::string>{"wind", "height"});
  CHECK(set.about.channel_units == std::vector<std::string>{"m s-1", "m"});
  CHECK(set.about.parameter_names == std::vector<std::string>{"drag"});
  CHECK(set.train == 7);
  CHECK(set.about.parameter_max == std::vector<double>{20});
  CHECK(set.about.grid.offset_x == std::vector<double>{0.5, 0});
  CHECK(set.about.grid.offset_y == std::vector<double>{0, 0});
}

TEST_CASE("axes that decrease are turned round with the fields") {
  const Dataset straight = Foreign().read();
  Foreign turned;
  std::reverse(turned.x.begin(), turned.x.end());
  std::reverse(turned.y.begin(), turned.y.end());
  for (std::size_t plane = 0; plane < turned.field.size(); plane += 15)
    std::reverse(turned.field.begin() + static_cast<std::ptrdiff_t>(plane),
                 turned.field.begin() + static_cast<std::ptrdiff_t>(plane) + 15);
  const Dataset set = turned.read();
  CHECK(set.fields == straight.fields);
  CHECK(set.about.grid.x0 == straight.about.grid.x0);
  CHECK(set.about.grid.dy == straight.about.grid.dy);
}

TEST_CASE("one axis that decreases: only it is turned, and its staggering with it") {
  Foreign foreign;
  std::reverse(foreign.x.begin(), foreign.x.end());
  foreign.more = [](NetcdfWriter& file) {
    for (const char* name : {"offset_x", "offset_y"}) {
      file.variable(name, Type::Float64, {"channel"});
      file.write(name, std::vector<double>{0.5, 0.25});
    }
  };
  const Dataset set = foreign.read();
  CHECK(set.about.grid.x0 == -1);
  CHECK(set.about.grid.y0 == 10);
  CHECK(set.about.grid.offset_x == std::vector<double>{-0.5, -0.25});
  CHECK(set.about.grid.offset_y == std::vector<double>{0.5, 0.25});
  for (int i = 0; i < 5; ++i) CHECK(set.fields[5 + i] == static_cast<float>(5 + 4 - i));
}

TEST_CASE("an axis that was rounded to float32 is even") {
  Foreign foreign;
  for (double& x : foreign.x) x = static_cast<float>(1000.1 * x);
  for (double& t : foreign.time) t = static_cast<float>(0.1 * t);
  const Dataset set = foreign.read();
  CHECK_FALSE(set.about.grid.listed());
  CHECK(set.about.frame_interval == doctest::Approx(0.05).epsilon(1e-6));
}

TEST_CASE("an uneven axis makes a list of points, in the fields' order") {
  Foreign foreign;
  foreign.y = {0, 1, 4};
  const models::Grid grid = foreign.read().about.grid;
  REQUIRE(grid.listed());
  CHECK(grid.cells() == 15);
  CHECK(grid.node_x(7) == foreign.x[2]);
  CHECK(grid.node_y(7, 0) == 1);
  CHECK(grid.normal_y(4) == 1);
  CHECK(grid.normal_x(-1) == -1);
}

TEST_CASE("a list of points, with y and without, and parameters that change in time") {
  Foreign foreign;
  foreign.listed = true;
  foreign.varying = true;
  foreign.x = even(15, 0, 1);
  foreign.y = even(15, 5, -0.5);
  foreign.parameters = even(40, 0, 1);
  const Dataset set = foreign.read();
  CHECK(set.about.grid.listed());
  CHECK(set.about.grid.nx == 15);
  CHECK(set.about.grid.ny == 1);
  CHECK(set.about.grid.y0 == -2);
  CHECK(set.about.grid.height() == 7);
  CHECK(set.varying);
  CHECK(set.parameters_of(2).size() == 4);
  CHECK(set.parameters_at(2, 3)[0] == 11);
  CHECK(set.frame(1, 2)[3] == static_cast<float>(1 * 120 + 2 * 30 + 3));
  foreign.y = {};
  CHECK(foreign.read().about.grid.height() == 0);
  CHECK(foreign.read().about.grid.normal_y(123) == 0);
}

TEST_CASE("sets that differ in anything that a training sees have other fingerprints") {
  std::vector<std::string> all{Foreign().read().fingerprint};
  const auto add = [&](const auto& change) {
    Foreign foreign;
    change(foreign);
    all.push_back(foreign.read().fingerprint);
  };
  add([](Foreign& f) { f.field[77] += 1; });
  add([](Foreign& f) { f.parameters[1] = 3.5; });
  add([](Foreign& f) { f.x = even(5, 0, 0.25); });
  add([](Foreign& f) { f.time = even(4, 7, 0.25); });
  add([](Foreign& f) { f.y = {0, 1, 4}; });
  add([](Foreign& f) {
    f.more = [](NetcdfWriter& file) {
      file.attribute("train", std::int64_t{7});
      file.attribute("valid", std::int64_t{2});
      file.attribute("test", std::int64_t{1});
    };
  });
  std::sort(all.begin(), all.end());
  CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
  CHECK(Foreign().read().fingerprint == Foreign().read().fingerprint);
}

TEST_CASE("missing values do not count") {
  Foreign foreign;
  foreign.field[3] = std::nanf("");
  const Dataset set = foreign.read();
  CHECK(has_missing(set));
  CHECK_FALSE(has_missing(Foreign().read()));
  const Moments all = field_moments(Foreign().read());
  const Moments some = field_moments(set);
  // Channel 0 of the training members: 6 x 4 x 15 values, of which the one that was 3 is gone.
  CHECK(some.mean[0] == doctest::Approx((all.mean[0] * 360 - 3) / 359).epsilon(1e-12));
  CHECK(some.mean[1] == all.mean[1]);
}

TEST_CASE("foreign sets that cannot be used are refused with the file and the variable") {
  const auto refusal = [](const auto& change) {
    Foreign foreign;
    change(foreign);
    return foreign.refusal();
  };
  CHECK(refusal([](Foreign& f) { f.time[2] = 8.1; }) ==
        "own.nc: time: is not evenly spaced and increasing, in at least two frames");
  CHECK(refusal([](Foreign& f) { std::reverse(f.time.begin(), f.time.end()); }) ==
        "own.nc: time: is not evenly spaced and increasing, in at least two frames");
  CHECK(refusal([](Foreign& f) { f.parameters.assign(10, 4); }) ==
        "own.nc: parameters: parameter_0 is the same everywhere: its prior range 4 .. 4 is empty");
  CHECK(refusal([](Foreign& f) { f.x.assign(5, 1.0), f.y.assign(3, 2.0); }) ==
        "own.nc: x: is neither increasing nor decreasing");
  CHECK(refusal([](Foreign& f) { f.field[9] = std::numeric_limits<float>::infinity(); }) ==
        "own.nc: field: holds a value that is not finite");
  CHECK(refusal([](Foreign& f) {
          f.more = [](NetcdfWriter& file) {
            file.attribute("train", std::int64_t{9});
            file.attribute("valid", std::int64_t{1});
            file.attribute("test", std::int64_t{1});
          };
        }) == "own.nc: member: 10 members, where train, valid and test say 11");
  const auto named = [&](const std::string& first, const std::string& second) {
    return refusal([&](Foreign& f) {
      f.more = [=](NetcdfWriter& file) { file.write_strings("channel", "channel", {first, second}); };
    });
  };
  CHECK(named("u", "u") == "own.nc: channel: \"u\" stands twice");
  CHECK(named("u", "") == "own.nc: channel: name 1 is empty");
  CHECK(named("u", "h, above sea") == "own.nc: channel: \"h, above sea\" holds a comma");
  // Members 6 and 7 are for validation, 120 values each, 15 of a channel and frame.
  CHECK(refusal([](Foreign& f) {
          for (int i = 6 * 120; i < 8 * 120; ++i)
            if (i / 15 % 2 == 1) f.field[i] = std::nanf("");
        }) == "own.nc: field: channel_1 has no value in the validation members");
  CHECK(refusal([](Foreign& f) {
          f.more = [](NetcdfWriter& file) { file.write_strings("channel", "parameter", {"one"}); };
        }) == "own.nc: channel: 1 names, where 2 are needed");
  CHECK(refusal([](Foreign& f) {
          f.more = [](NetcdfWriter& file) {
            file.variable("parameter_max", Type::Float64, {"parameter"});
            file.write("parameter_max", std::vector<double>{5});
          };
        }) == "own.nc: parameters: parameter_0 has values from 3 to 12, outside its prior range 3 .. 5");
}
