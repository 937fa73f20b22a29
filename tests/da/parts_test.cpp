/// Observations, covariances, ensembles, the analogues.

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "autodiff/error.h"
#include "autodiff/random.h"
#include "da/analogue.h"
#include "da/ensemble.h"

using namespace levda;
using namespace levda::da;
using autodiff::Tensor;
using autodiff::Var;

TEST_CASE("observations that cannot be used are refused with the file, the column and the row") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto good = [] {
    Observations o;
    o.add(0, 1, 2, 0, 3, 0.1);
    o.add(5, 1, 2, 1, 3, 0.1);
    return o;
  };
  CHECK_NOTHROW(check(good(), "o.nc", 10, 2));
  const auto refused = [&](const auto& change, const char* message) {
    Observations o = good();
    change(o);
    CHECK_THROWS_WITH_AS(check(o, "o.nc", 10, 2), message, InputError);
  };
  refused([](auto& o) { o.time[1] = 10.5; }, "o.nc: time: row 1: 10.5 is outside the time span, 0 to 10");
  refused([](auto& o) { o.time[0] = -1; }, "o.nc: time: row 0: -1 is outside the time span, 0 to 10");
  refused([&](auto& o) { o.time[0] = nan; }, "o.nc: time: row 0: nan is outside the time span, 0 to 10");
  refused([&](auto& o) { o.x[1] = nan; }, "o.nc: x: row 1: nan is not a place");
  refused([&](auto& o) { o.y[1] = nan; }, "o.nc: y: row 1: nan is not a place");
  refused([](auto& o) { o.channel[0] = 2; }, "o.nc: channel: row 0: 2 is not in 0 .. 1");
  refused([&](auto& o) { o.value[1] = nan; }, "o.nc: value: row 1: nan is not finite");
  refused([](auto& o) { o.error_std[0] = 0; }, "o.nc: error_std: row 0: 0 is not positive");
  refused([&](auto& o) { o.error_std[0] = nan; }, "o.nc: error_std: row 0: nan is not positive");
  refused([](auto& o) { o.op[1] = "speeed"; },
          "o.nc: op: row 1: \"speeed\" is no operator (value, speed, arctan, disc, line, test fourth power, test wrong "
          "shape)");
  refused([&](auto& o) { o.extent_x[1] = nan; }, "o.nc: extent_x: row 1: nan is not finite");
  refused([&](auto& o) { o.extent_y[0] = nan; }, "o.nc: extent_y: row 0: nan is not finite");
  refused([](auto& o) { o.op.pop_back(); }, "o.nc: op: 1 rows, where value has 2");
  refused([](auto& o) { o.add(5, 1, 2, 1, 3, 0.1); }, "o.nc: value: row 2: repeats row 1");
  Observations both = good();  // one place and value through two operators is no copy
  both.add(5, 1, 2, 1, 3, 0.1, used, "arctan");
  CHECK_NOTHROW(check(both, "o.nc", 10, 2));
  refused([](auto& o) { o.x.pop_back(); }, "o.nc: x: 1 rows, where value has 2");
  refused([](auto& o) { o.qc = {7, 6}; }, "o.nc: qc: no observation is to be assimilated");
  // Entries that are not to be assimilated may have any values.
  Observations rejected = good();
  rejected.value[0] = nan;
  rejected.qc[0] = incoming_rejected;
  CHECK_NOTHROW(check(rejected, "o.nc", 10, 2));
  CHECK(rejected.in_window(0, 10) == std::vector<std::int64_t>{1});
  CHECK(good().in_window(0, 5) == std::vector<std::int64_t>{0});
}

TEST_CASE("a diagonal covariance: solve, square root, parts") {
  const DiagonalCovariance r({1.0, 4.0, 9.0});
  const Var x(Tensor::from(std::vector<double>{1.0, 2.0, 3.0, 4.0, 5.0, 6.0}, {2, 3}));
  CHECK(r.solve(x).value().to_vector() == std::vector<double>{1.0, 0.5, 3.0 / 3 / 3, 4.0, 1.25, 6.0 / 3 / 3});
  CHECK(r.whiten(x).value().to_vector() == std::vector<double>{1, 1, 1, 4, 2.5, 2});
  CHECK(r.colour(r.whiten(x)).value().to_vector() == x.value().to_vector());
  const auto part = r.part(std::vector<std::int64_t>{2, 0}, std::vector<double>{2, 1});
  CHECK(part->variance() == std::vector<double>{18, 1});
  CHECK_THROWS_WITH_AS(DiagonalCovariance({1.0, 0.0}), "error covariance: variance 1 is 0", Error);
  CHECK_THROWS_AS(DiagonalCovariance({std::numeric_limits<double>::quiet_NaN()}), Error);
}

TEST_CASE("mean, anomalies and spread of an ensemble") {
  const Ensemble e(Tensor::from(std::vector<double>{0.0, 1.0, 2.0, 1.0, 4.0, 4.0}, {3, 2}));
  CHECK(e.mean().to_vector() == std::vector<double>{2, 2});
  const std::vector<double> a = e.anomalies().to_vector();
  const std::vector<double> expected{-std::sqrt(2.0), -std::sqrt(0.5), 0,
                                     -std::sqrt(0.5), std::sqrt(2.0),  std::sqrt(2.0)};
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i] - expected[i]) <= 1e-15);
  CHECK(std::abs(e.spread()[0] - 2) <= 1e-15);
  CHECK(std::abs(e.spread()[1] - std::sqrt(3.0)) <= 1e-15);
  CHECK_THROWS_AS(Ensemble(Tensor::from(std::vector<double>{1.0, 2.0}, {1, 2})), Error);
  CHECK_THROWS_AS(Ensemble(Tensor::from(std::vector<double>{1.0, std::numeric_limits<double>::infinity()}, {2, 1})),
                  Error);
}

TEST_CASE("lookup finds the member and the start, between nodes and between frames as well") {
  // Fields linear in x, y and frame, with slopes of the member's own, so that interpolation is exact.
  models::Description about;
  about.channel_names = {"a", "b"};
  about.frames = 8;
  about.frame_interval = 10;
  about.grid = {.nx = 5, .ny = 4, .x0 = 100, .y0 = 200, .dx = 2, .dy = 3, .offset_x = {0.5, 0}, .offset_y = {0, 0.5}};
  const auto value = [&](std::int64_t member, double frame, std::int64_t c, double x, double y) {
    const auto m = static_cast<double>(member + 1);
    return m * (x - 100) + 0.3 * m * m * (y - 200) + std::sin(m) * 5 * frame + static_cast<double>(c);
  };
  std::vector<float> fields;
  for (std::int64_t m = 0; m < 4; ++m)
    for (std::int64_t f = 0; f < 8; ++f)
      for (std::int64_t c = 0; c < 2; ++c)
        for (int j = 0; j < 4; ++j)
          for (int i = 0; i < 5; ++i)
            fields.push_back(
                static_cast<float>(value(m, static_cast<double>(f), c, 100 + 2 * (i + about.grid.offset_x[c]),
                                         200 + 3 * (j + about.grid.offset_y[c]))));
  const Analogues analogues(about, fields);
  REQUIRE(analogues.members() == 4);
  Observations o;
  std::vector<double> variance;
  autodiff::Random random(1);
  for (int i = 0; i < 30; ++i) {
    const double x = 101 + 6 * random.uniform();
    const double y = 202 + 6 * random.uniform();
    const double t = 30 * random.uniform();
    const std::int64_t c = random.below(2);
    o.add(t, x, y, c, value(2, 3 + t / 10, c, x, y), 0.1);
    variance.push_back(0.01);
  }
  const DiagonalCovariance covariance(variance);
  const Analogue fit = analogues.nearest(o, covariance, 0, 7);
  CHECK(fit.member == 2);
  CHECK(fit.start == 3);
  CHECK(fit.misfit <= 30 * std::pow(1e-5 * 20 / 0.1, 2));  // float32 fields of size 20
  CHECK_THROWS_WITH_AS(analogues.nearest(o, covariance, 6, 7),
                       "lookup: the observations last longer than the trajectories", Error);
}
