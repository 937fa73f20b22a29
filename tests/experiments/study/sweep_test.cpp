/// Sweeps: their settings, and slopes.

#include "experiments/study/sweep.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/error.h"

using namespace levda::experiments;
using levda::InputError;

TEST_CASE("the exponent of a power law is its power; what is not positive does not count") {
  std::vector<double> x{1, 3, 10, 40};
  std::vector<double> y;
  for (const double value : x) y.push_back(0.3 * std::pow(value, -0.5));
  CHECK(std::abs(growth_exponent(x, y) + 0.5) <= 1e-14);
  x.push_back(50);
  y.push_back(NAN);
  x.push_back(60);
  y.push_back(0);
  CHECK(std::abs(growth_exponent(x, y) + 0.5) <= 1e-14);
  CHECK(std::isnan(growth_exponent({2}, {1})));
  CHECK(std::isnan(growth_exponent({2, 2}, {1, 3})));
  CHECK_THROWS_AS(growth_exponent({1, 2}, {1}), levda::Error);
}

TEST_CASE("settings of a sweep") {
  levda::models::Grid wide;
  wide.nx = 128;
  wide.ny = 64;
  const Sweep sensors = parse_sweep("sensors=8,32,random:50,grid:3x4", wide);
  CHECK(sensors.settings[0] == std::vector<std::string>{"observations.sensors=grid:4x2"});
  CHECK(sensors.settings[1] == std::vector<std::string>{"observations.sensors=grid:8x4"});
  CHECK(sensors.settings[2] == std::vector<std::string>{"observations.sensors=random:50"});
  CHECK(sensors.x == std::vector<double>{8, 32, 50, 12});
  const Sweep window = parse_sweep("window=5,10", wide);
  CHECK(window.settings[1] == std::vector<std::string>{"assimilation.window=10", "assimilation.shift=10"});
  CHECK(parse_sweep("members=5", wide).settings[0][0] == "assimilation.members=5");
  CHECK(parse_sweep("sigma=0.01,1", wide).x == std::vector<double>{0.01, 1});
  CHECK(parse_sweep("observations.every=2", wide).settings[0][0] == "observations.every=2");
  for (const char* text : {"members", "members=", "members=5,", "members=-1", "members=x", "sensors=0", "sensors=2.5",
                           "sensors=9000", "sensors=131", "sensors=many:3", "data.nodes=8", "magic=1"})
    CHECK_THROWS_AS_MESSAGE(parse_sweep(text, wide), InputError, text);
}
