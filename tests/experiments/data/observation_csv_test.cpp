#include "experiments/data/observation_csv.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/error.h"

using namespace levda;
using experiments::parse_observations_csv;

namespace {

models::Description about() {
  models::Description d;
  d.channel_names = {"u", "eta"};
  d.grid = {.nx = 3, .ny = 3, .dx = 1, .dy = 1, .offset_x = {0, 0}, .offset_y = {0, 0}};
  return d;
}

void refused(const std::string& text, const std::string& message) {
  CAPTURE(text);
  CHECK_THROWS_WITH_AS(parse_observations_csv(text, "o.csv", about()), message.c_str(), InputError);
}

}  // namespace

TEST_CASE("csv: columns in any order, names or positions of channels, comments, quotes, other columns") {
  const da::Observations o = parse_observations_csv(
      "\xEF\xBB\xBF# of the harbour\r\n"
      "station, value,time,\"x\",y,channel,error_std,qc\r\n"
      "\"A, north\",-0.25,10,1e2,+3,eta,0.5,0\r\n"
      "\r\n"
      "B,nan,2.5,0,0,0,1,6\n"
      "# the end",
      "o.csv", about());
  REQUIRE(o.size() == 2);
  CHECK(o.time == std::vector<double>{10, 2.5});
  CHECK(o.x == std::vector<double>{100, 0});
  CHECK(o.y == std::vector<double>{3, 0});
  CHECK(o.channel == std::vector<std::int64_t>{1, 0});
  CHECK(o.value[0] == -0.25);
  CHECK(std::isnan(o.value[1]));
  CHECK(o.error_std == std::vector<double>{0.5, 1});
  CHECK(o.qc == std::vector<std::int32_t>{0, 6});
}

TEST_CASE("csv: qc may be left out, and y where the domain has no extent along it") {
  const std::string text = "time,x,channel,value,error_std\n1,2,u,3,4\n";
  refused(text, "o.csv: y: line 1: no such column; time, x, y, channel, value, error_std are needed");
  models::Description line = about();
  line.grid = models::Grid::of_points({0, 1, 3}, {5, 5, 5}, 2);
  const da::Observations o = parse_observations_csv(text, "o.csv", line);
  REQUIRE(o.size() == 1);
  CHECK(o.qc[0] == da::used);
  CHECK(o.y[0] == 0);
}

TEST_CASE("csv: operators and their extents, each as it is wanted") {
  const da::Observations o = parse_observations_csv(
      "time,x,y,channel,value,error_std,op,extent_x\n1,2,2,u,3,4,disc,0.5\n1,2,2,u,3,4,value,0\n", "o.csv", about());
  CHECK(o.op == std::vector<std::string>{"disc", "value"});
  CHECK(o.extent_x == std::vector<double>{0.5, 0});
  CHECK(o.extent_y == std::vector<double>{0, 0});
  CHECK(parse_observations_csv("time,x,y,channel,value,error_std\n1,2,2,u,3,4\n", "o.csv", about()).op[0] == "value");
  refused("time,x,y,channel,value,error_std,op,extent_y\n1,2,2,u,3,4,disc,\n",
          "o.csv: extent_y: line 2: \"\" is not a number");
}

TEST_CASE("csv: what is wrong is named with its line and column") {
  const std::string header = "time,x,y,channel,value,error_std\n";
  refused("", "o.csv: is empty: the first line names the columns");
  refused("# nothing\n\n", "o.csv: is empty: the first line names the columns");
  refused("time,x,y,channel,value\n",
          "o.csv: error_std: line 1: no such column; time, x, y, channel, value, error_std are "
          "needed");
  refused("time,x,y,channel,value,error_std,x\n", "o.csv: x: line 1: the column stands twice");
  refused(header + "0,1,1,u,2\n", "o.csv: line 2: 5 fields, where the first line names 6");
  refused(header + "0,1,1,u,2,0.1\n0,east,1,u,2,0.1\n", "o.csv: x: line 3: \"east\" is not a number");
  refused(header + "0,1,1,u,2 m,0.1\n", "o.csv: value: line 2: \"2 m\" is not a number");
  refused(header + "0,1,1,u,,0.1\n", "o.csv: value: line 2: \"\" is not a number");
  refused(header + "0,1,1,salt,2,0.1\n", "o.csv: channel: line 2: \"salt\" is not a channel of the surrogate (u, eta)");
  refused(header + "0,1,1,2,2,0.1\n", "o.csv: channel: line 2: \"2\" is not a channel of the surrogate (u, eta)");
  refused("time,x,y,channel,value,error_std,qc\n0,1,1,u,2,0.1,0.5\n",
          "o.csv: qc: line 2: \"0.5\" is not a whole number");
}
