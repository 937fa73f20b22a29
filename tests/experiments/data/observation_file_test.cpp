/// Files of observations: operators and correlated errors, as somebody else writes them.

#include "experiments/data/observation_file.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "autodiff/error.h"
#include "experiments/data/info.h"
#include "experiments/data/netcdf_file.h"
#include "tests/nn/temporary_folder.h"

using namespace levda;
using namespace levda::experiments;

namespace {

models::Description about() {
  models::Description d;
  d.case_name = "test";
  d.channel_names = {"u", "v"};
  d.channel_units = {"m s-1", "m s-1"};
  d.grid = {.nx = 11, .ny = 11, .dx = 1, .dy = 1, .offset_x = {0, 0}, .offset_y = {0, 0}};
  d.frame_interval = 1;
  return d;
}

constexpr std::int64_t rows = 3;

/// A file as others make it; more(file) adds to it.
template <typename F>
std::filesystem::path write(const std::filesystem::path& path, const F& more) {
  NetcdfWriter file(path);
  file.dimension("row", rows);
  const auto column = [&](const std::string& name, const std::vector<double>& values) {
    file.variable(name, Type::Float64, {"row"});
    file.write(name, values);
  };
  column("time", {0, 1, 2});
  column("x", {2, 5, 9});
  column("y", {5, 5, 5});
  column("value", {0.1, 0.2, 0.3});
  file.write_strings("channel", "row", {"u", "v", "u"});
  more(file, column);
  file.commit();
  return path;
}

}  // namespace

TEST_CASE("files of observations: operators with their extents, written and read") {
  const testing::TemporaryFolder folder;
  const auto path = write(folder.path() / "o.nc", [](NetcdfWriter& file, const auto& column) {
    file.write_strings("op", "row", {"speed", "disc", "value"});
    column("extent_x", {0, 1.5, 0});
    column("error_std", {1, 2, 3});
  });
  const ObservationFile file = read_observations(path, about(), 10);
  const da::Observations& o = file.observations;
  CHECK(o.op == std::vector<std::string>{"speed", "disc", "value"});
  CHECK(o.extent_x == std::vector<double>{0, 1.5, 0});
  CHECK(o.extent_y == std::vector<double>{0, 0, 0});
  CHECK(error_covariance(file)->variance() == std::vector<double>{1, 4, 9});
  // What errors of the fields add: to a disc and a value as they are, to the speed of equal components as well.
  const std::vector<double> mean{0.5, -1};
  const std::vector<double> deviation{1, 1};
  const auto with_fields =
      error_covariance(file, about(), mean, deviation, [](std::int64_t, std::int64_t) { return 0.5; })->variance();
  for (std::size_t i = 0; i < 3; ++i) CHECK(std::abs(with_fields[i] - o.error_std[i] * o.error_std[i] - 0.5) <= 1e-14);
  write_observations(folder.path() / "again.nc", file, about());
  const da::Observations again = read_observations(folder.path() / "again.nc", about(), 10).observations;
  CHECK(again.op == o.op);
  CHECK(again.extent_x == o.extent_x);
  const std::string told = describe_file(folder.path() / "again.nc");
  CHECK(told.find("operator disc:         1 values: mean of the channel over the disc") != std::string::npos);
}

TEST_CASE("files of observations: full and banded covariances, of which rows that are not used may hold anything") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const testing::TemporaryFolder folder;
  for (const bool full : {true, false}) {
    CAPTURE(full);
    const auto path = write(folder.path() / "o.nc", [&](NetcdfWriter& file, const auto&) {
      file.dimension("column", full ? 3 : 2);
      const char* name = full ? "error_covariance" : "error_band";
      file.variable(name, Type::Float64, {"row", "column"});
      file.write(name, full ? std::vector<double>{4, 1, nan, 1, 9, nan, nan, nan, nan}
                            : std::vector<double>{4, nan, 9, 1, nan, nan});
      file.variable("qc", Type::Int32, {"row"});
      file.write("qc", std::vector<std::int32_t>{0, 0, 5});
    });
    const ObservationFile file = read_observations(path, about(), 10);
    CHECK(file.observations.error_std[0] == 2);
    CHECK(file.observations.error_std[1] == 3);
    const auto r = error_covariance(file);
    CHECK(r->variance() == std::vector<double>{4, 9, 1});
    // R^-1 of the first two: (9, -1; -1, 4) / 35.
    const autodiff::Var x(autodiff::Tensor::from(std::vector<double>{1, 0, 0}, {1, 3}));
    const std::vector<double> inverse = r->solve(x).value().to_vector();
    CHECK(std::abs(inverse[0] - 9.0 / 35) <= 1e-15);
    CHECK(std::abs(inverse[1] + 1.0 / 35) <= 1e-15);
    CHECK(inverse[2] == 0);
    CHECK_THROWS_AS(write_observations(folder.path() / "again.nc", file, about()), InputError);
  }
}

TEST_CASE("files of observations: operators and covariances that cannot be are refused") {
  const testing::TemporaryFolder folder;
  const auto refused = [&](const auto& more, const std::string& message) {
    const auto path = write(folder.path() / "o.nc", more);
    CHECK_THROWS_WITH_AS(read_observations(path, about(), 10), (path.string() + ": " + message).c_str(), InputError);
  };
  const auto deviations = [](const auto& column) { column("error_std", {1, 1, 1}); };
  refused(
      [&](NetcdfWriter& file, const auto& column) {
        deviations(column);
        file.write_strings("op", "row", {"value", "mean", "value"});
      },
      "op: row 1: \"mean\" is no operator (value, speed, arctan, disc, line)");
  refused(
      [&](NetcdfWriter& file, const auto& column) {
        deviations(column);
        file.write_strings("op", "row", {"value", "value", "disc"});
        column("extent_x", {0, 0, 4});
      },
      "op: row 2: the operator disc reaches (12.2819, 6.3594), outside the domain");
  refused(
      [&](NetcdfWriter& file, const auto& column) {
        deviations(column);
        file.write_strings("op", "row", {"line", "value", "value"});
      },
      "op: row 0: a line without extent: extent_x and extent_y are 0");
  refused([](NetcdfWriter&, const auto&) {}, "error_std: no such variable");
  const auto matrix = [&](const char* name, std::int64_t columns, const std::vector<double>& values) {
    return [=](NetcdfWriter& file, const auto&) {
      file.dimension("column", columns);
      file.variable(name, Type::Float64, {"row", "column"});
      file.write(name, values);
    };
  };
  refused(matrix("error_covariance", 2, {1, 0, 0, 1, 0, 0}), "error_covariance: shape (3, 2), where (3, 3) is needed");
  refused(matrix("error_covariance", 3, {1, 2, 0, 2, 1, 0, 0, 0, 1}),
          "error_covariance: error covariance: not positive definite");
  refused(matrix("error_covariance", 3, {1, 0, 0, 0, -1, 0, 0, 0, 1}), "error_std: row 1: -1 is not positive");
  refused(matrix("error_band", 2, {1, 0, 1, 2, 1, 0}), "error_band: error covariance: not positive definite, at row 1");
  refused(
      [&](NetcdfWriter& file, const auto& column) {
        deviations(column);
        matrix("error_band", 1, {1, 1, 1})(file, column);
      },
      "error_band: stands beside error_std");
  models::Description other = about();
  other.channel_names[1] = "w";
  const auto path = write(folder.path() / "o.nc", [&](NetcdfWriter& file, const auto& column) {
    deviations(column);
    file.write_strings("op", "row", {"speed", "value", "value"});
  });
  CHECK_THROWS_WITH_AS(read_observations(path, other, 10),
                       (path.string() + ": channel: \"v\" is not a channel of the surrogate (u, w)").c_str(),
                       InputError);
}
