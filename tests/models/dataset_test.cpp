/// Data sets of arrays: what is filled in, what is refused.

#include "models/dataset.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "autodiff/error.h"

using namespace levda;
using namespace levda::models;

namespace {

constexpr std::int64_t members = 10;

/// 4 frames of 2 channels at 15 places; values count up from 0, the parameter of member i is 3 + i.
Dataset arrays(Grid grid = {.nx = 5, .ny = 3, .x0 = -1, .y0 = 10, .dx = 0.25, .dy = 2}) {
  Dataset set{.about = {.grid = std::move(grid), .frames = 4, .first_time = 7, .frame_interval = 0.5}};
  for (int i = 0; i < members * 4 * 2 * 15; ++i) set.fields.push_back(static_cast<float>(i));
  for (int i = 0; i < members; ++i) set.parameters.push_back(3 + i);
  return set;
}

Grid points() {
  std::vector<double> x;
  std::vector<double> y;
  for (int i = 0; i < 15; ++i) {
    x.push_back(i * i);
    y.push_back(-0.5 * i);
  }
  return Grid::of_points(x, y, 2);
}

}  // namespace

TEST_CASE("arrays on a grid: everything that is left out is filled in") {
  const Dataset set = make_dataset(arrays(), members);
  CHECK(set.train == 6);
  CHECK(set.valid == 2);
  CHECK(set.test == 2);
  CHECK(set.about.channel_names == std::vector<std::string>{"channel_0", "channel_1"});
  CHECK(set.about.channel_units == std::vector<std::string>{"1", "1"});
  CHECK(set.about.parameter_names == std::vector<std::string>{"parameter_0"});
  CHECK(set.about.parameter_min == std::vector<double>{3});
  CHECK(set.about.parameter_max == std::vector<double>{12});
  CHECK(set.about.grid.offset_x == std::vector<double>{0, 0});
  CHECK(set.fields == arrays().fields);
  CHECK(set.frame(1, 2)[3] == 1 * 120 + 2 * 30 + 3);
  CHECK(set.parameters_at(4, 3)[0] == 7);
  CHECK_FALSE(has_missing(set));
  // Channel 0 of the training members: blocks of 15 values, every other one.
  CHECK(set.moments->mean[1] - set.moments->mean[0] == doctest::Approx(15).epsilon(1e-12));
  CHECK(set.fingerprint == make_dataset(arrays(), members).fingerprint);
}

TEST_CASE("arrays at points, with parameters that change in time and names as given") {
  Dataset raw = arrays(points());
  raw.varying = true;
  raw.parameters.clear();
  for (int i = 0; i < members * 4; ++i) raw.parameters.push_back(i);
  raw.about.channel_names = {"wind", "height"};
  raw.about.parameter_names = {"drag"};
  raw.about.parameter_max = {100};
  raw.train = 7;
  raw.valid = 1;
  raw.test = 2;
  const Dataset set = make_dataset(raw, members);
  CHECK(set.about.grid.listed());
  CHECK(set.parameters_at(2, 3)[0] == 11);
  CHECK(set.about.channel_names[1] == "height");
  CHECK(set.about.parameter_min[0] == 0);
  CHECK(set.about.parameter_max[0] == 100);
  CHECK(set.first_test() == 8);
}

TEST_CASE("missing values: NaN and the mask are the same") {
  Dataset nan = arrays();
  std::vector<std::uint8_t> mask(nan.fields.size(), 0);
  for (std::size_t i = 0; i < mask.size(); i += 7) {
    mask[i] = 1;
    nan.fields[i] = std::nanf("");
  }
  const Dataset by_nan = make_dataset(nan, members);
  const Dataset by_mask = make_dataset(arrays(), members, mask);
  CHECK(has_missing(by_mask));
  CHECK(by_mask.moments->mean == by_nan.moments->mean);
  CHECK(by_mask.moments->mean != make_dataset(arrays(), members).moments->mean);
  for (std::size_t i = 0; i < mask.size(); ++i) CHECK(std::isnan(by_mask.fields[i]) == (mask[i] == 1));
}

TEST_CASE("members that are not in memory are asked for, the others are not") {
  Dataset set = make_dataset(arrays(), members);
  const std::vector<float> all = set.fields;
  set.in_memory = 7;
  set.fields.erase(set.fields.begin(), set.fields.begin() + 7 * 120);
  const auto visit = [&](std::int64_t first, std::int64_t last) {
    std::vector<float> seen;
    set.each_member(first, last, [&](std::int64_t, std::span<const float> fields) {
      seen.insert(seen.end(), fields.begin(), fields.end());
    });
    return seen;
  };
  CHECK_THROWS_WITH_AS(visit(5, 9), "the fields of trajectory 5 are not in memory", Error);
  std::vector<std::int64_t> asked;
  set.read = [&](std::int64_t first, std::int64_t last, const MemberVisitor& f) {
    asked = {first, last};
    for (; first < last; ++first) f(first, std::span(all).subspan(static_cast<std::size_t>(first * 120), 120));
  };
  CHECK(visit(5, 9) == std::vector<float>(all.begin() + 5 * 120, all.begin() + 9 * 120));
  CHECK(asked == std::vector<std::int64_t>{5, 7});
  asked.clear();
  CHECK(visit(7, 9).size() == 240);
  CHECK(asked.empty());
}

TEST_CASE("arrays that cannot be are refused with the field") {
  const auto refused = [](const std::string& message, const std::function<void(Dataset&)>& change) {
    Dataset set = arrays();
    change(set);
    CHECK_THROWS_WITH_AS(make_dataset(set, members), ("data set: " + message).c_str(), InputError);
  };
  constexpr float infinity = std::numeric_limits<float>::infinity();
  refused("field: holds a value that is not finite", [&](Dataset& d) { d.fields[9] = infinity; });
  refused("field: holds no value at all", [](Dataset& d) { d.fields.assign(d.fields.size(), std::nanf("")); });
  refused("field: 1199 values, no multiple of 10 members x 4 frames x 15 nodes",
          [](Dataset& d) { d.fields.pop_back(); });
  refused("field: channel channel_1 of the data set is constant, or has no values", [](Dataset& d) {
    for (std::size_t i = 0; i < d.fields.size(); ++i)
      if (i / 15 % 2 == 1) d.fields[i] = 4;
  });
  refused("field: channel_0 has no value in the validation members", [](Dataset& d) {
    for (std::size_t i = 6 * 120; i < 8 * 120; ++i)
      if (i / 15 % 2 == 0) d.fields[i] = std::nanf("");
  });
  refused("parameters: 9 values, no multiple of 10", [](Dataset& d) { d.parameters.pop_back(); });
  refused("parameters: 0 parameters, at least 1 and at most 4096", [](Dataset& d) { d.parameters.clear(); });
  refused("parameters: holds a value that is not finite", [](Dataset& d) { d.parameters[3] = std::nan(""); });
  refused("parameters: parameter_0 is the same everywhere: its prior range 4 .. 4 is empty",
          [](Dataset& d) { d.parameters.assign(10, 4); });
  refused("parameters: parameter_0 has values from 3 to 12, outside its prior range 3 .. 5",
          [](Dataset& d) { d.about.parameter_max = {5}; });
  refused("parameter_min: 2 numbers for 1 parameters", [](Dataset& d) { d.about.parameter_min = {0, 1}; });
  refused("channel_name: 1 names, where 2 are needed", [](Dataset& d) { d.about.channel_names = {"u"}; });
  refused("channel_name: \"u\" stands twice", [](Dataset& d) { d.about.channel_names = {"u", "u"}; });
  refused("channel_units: \"m, s\" holds a comma", [](Dataset& d) { d.about.channel_units = {"m, s", "m"}; });
  refused("member: 10 members, where train, valid and test say 11",
          [](Dataset& d) { d.train = 9, d.valid = 1, d.test = 1; });
  refused("member: 0 validation and 2 test members, at least 1 of each is needed",
          [](Dataset& d) { d.train = 8, d.test = 2; });
  refused("frames: 1, at least 2 are needed", [](Dataset& d) { d.about.frames = 1; });
  refused("time: 4 frames from 7 on, 0 apart", [](Dataset& d) { d.about.frame_interval = 0; });
  refused("grid: 0 x 3 nodes", [](Dataset& d) { d.about.grid.nx = 0; });
  refused("x: a grid of 5 x 3 nodes, -1 and 2 apart", [](Dataset& d) { d.about.grid.dx = -1; });
  refused("offset_x: 1 numbers for 2 channels", [](Dataset& d) { d.about.grid.offset_x = {0}; });
  refused("offset_y: 1.5 is more than a cell", [](Dataset& d) { d.about.grid.offset_y = {0, 1.5}; });
  refused("geometry: latitudes of a sphere lie between -90 and 90 degrees", [](Dataset& d) {
    d.about.grid.geometry = Geometry::sphere;
    d.about.grid.y0 = 89;
  });
  const auto listed = [](Dataset& d) {  // 15 places on a line
    Grid& grid = d.about.grid;
    grid = {.nx = 15, .ny = 1};
    for (int i = 0; i < 15; ++i) grid.x.push_back(i), grid.y.push_back(0);
  };
  refused("x: 14 places, where the grid has 15 x 1 nodes", [&](Dataset& d) { listed(d), d.about.grid.x.pop_back(); });
  refused("y: nan is not a place", [&](Dataset& d) { listed(d), d.about.grid.y[3] = std::nan(""); });
  refused("geometry: a list of points lies on a plane",
          [&](Dataset& d) { listed(d), d.about.grid.geometry = Geometry::torus; });
  refused("x: all points lie at one place", [&](Dataset& d) { listed(d), d.about.grid.x.assign(15, 1); });
  Dataset by_hand = arrays();
  listed(by_hand);
  by_hand.about.grid.dx = 99;  // extent and spacing are those of the places
  CHECK(make_dataset(by_hand, members).about.grid.dx == 1);
  refused("between_fraction: 0 values, where 30 are needed", [](Dataset& d) { d.between.points = 1; });
  Dataset set = arrays();
  CHECK_THROWS_WITH_AS(make_dataset(set, members, std::vector<std::uint8_t>(3)),
                       "data set: missing: 3 values for 1200 of field", InputError);
}
