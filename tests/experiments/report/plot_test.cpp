#include "experiments/report/plot.h"

#include <doctest/doctest.h>

#include <array>
#include <string>

using namespace levda::experiments;

TEST_CASE("an axis of values with a large offset has labels that differ") {
  Plot plot(400, 300);
  plot.place(60, 20, 300, 200);
  plot.axis('x', {1000000.2, 1000000.9});
  plot.axis('y', {-0.5, 0.5});
  plot.points("p", std::array{1000000.3, 1000000.8}, std::array{0.0, 0.25});
  plot.curves({"$p with lines"});
  const std::string svg = plot.draw("test");
  for (const char* label : {"1000000.25", "1000000.5", "1000000.75", "-0.5", "0.5"})
    CHECK_MESSAGE(svg.find(label) != std::string::npos, label);
  CHECK(digits_of({0, 1}) == 3);
  CHECK(digits_of({-5, 5}) == 3);
  CHECK(digits_of({1e6, 1e6 + 1}) == 10);  // 1000000.001 has as many
  CHECK(digits_of({101300, 101350}) >= 6);
  CHECK(digits_of({1, 1}) == 3);
}
