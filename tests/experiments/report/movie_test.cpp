#include "experiments/report/movie.h"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/experiments/report/page.h"

using namespace levda::experiments;
using Bytes = std::vector<std::uint8_t>;

namespace {

/// What the page's script does with the code.
Bytes decoded(const CompactSteps& compact, std::size_t count, std::int64_t nx, std::int64_t ny) {
  Bytes steps;
  std::size_t at = 0;
  const auto bit = [&] {
    const int value = compact.code.at(at / 8) >> (7 - at % 8) & 1;
    ++at;
    return value;
  };
  for (std::int64_t k = 0; k < static_cast<std::int64_t>(count); ++k) {
    int d = 0;
    while (bit() == 1) ++d;
    for (int n = 0; n < compact.shift; ++n) d = 2 * d + bit();
    const bool left = k % nx > 0, below = k / nx % ny > 0;
    const int a = left ? steps[k - 1] : 0;
    const int b = below ? steps[k - nx] : 0;
    const int c = left && below ? steps[k - nx - 1] : 0;
    int guess = 0;
    if (!left)
      guess = b;
    else if (!below)
      guess = a;
    else
      guess = std::max(std::min(a, b), std::min(std::max(a, b), a + b - c));
    steps.push_back(static_cast<std::uint8_t>(guess + (d % 2 == 0 ? d / 2 : -(d + 1) / 2)));
  }
  return steps;
}

/// One channel of 6 x 4 nodes, 3 times.
FieldMaps small_frames() {
  FieldMaps frames{.channel = "eta <\"'&>",
                   .unit = "m",
                   .nx = 6,
                   .ny = 4,
                   .x_max = 5,
                   .y_max = 3,
                   .length_unit = "km",
                   .times = {"t = 0 h", "t = 1 h", "t = 2 h"},
                   .sensors = {{-0.5, 3.5}, {2.5, 1.5}}};
  for (int t = 0; t < 3; ++t) {
    frames.truth.emplace_back();
    frames.analysis_mean.emplace_back();
    for (int i = 0; i < 24; ++i) {
      frames.truth.back().push_back(static_cast<float>(std::sin(0.4 * i + t)));
      frames.analysis_mean.back().push_back(static_cast<float>(std::sin(0.4 * i + t) + 0.01 * std::cos(i)));
    }
  }
  return frames;
}

}  // namespace

TEST_CASE("values become steps of a palette: its ends at the limits, what is not finite apart") {
  const Fields fields{{-2, -1, 0, 1, 2}, {NAN, INFINITY, -INFINITY, 0.5f, -0.5f}};
  const Bytes expected{0, 0, 63, 126, 126, 127, 127, 127, 95, 32};  // 94.5 and 31.5 are rounded away from 0
  CHECK(palette_steps(fields, {-1, 1}) == expected);
  CHECK(palette_steps({{280, 270, 290}}, {270, 290}) == Bytes{63, 0, 126});
  CHECK(palette_steps({}, {-1, 1}).empty());
}

TEST_CASE("limits of colours hold for all times, and around the mean where that is far from 0") {
  Fields fields{std::vector<float>(1000, 1), std::vector<float>(1000, -2)};
  fields[0][3] = 1000;  // one of 2000: beyond the 99.5th percentile
  fields[1][4] = NAN;
  CHECK(diverging_range(fields).low == -2);
  CHECK(diverging_range(fields).high == 2);
  CHECK(sequential_range(fields).low == 0);
  CHECK(sequential_range(fields).high == 2);
  const Range warm = diverging_range({{270, 290}, {280, 280}});
  CHECK(warm.low == 270);
  CHECK(warm.high == 290);
  for (const Fields& nothing : {Fields{}, Fields{{}}, Fields{{NAN, INFINITY}}, Fields{{0, 0}}}) {
    CHECK(diverging_range(nothing).low == -1);
    CHECK(diverging_range(nothing).high == 1);
  }
  CHECK(diverging_range({{5, 5}}).length() == 2);  // never empty
}

TEST_CASE("compact steps are read again without loss, smooth ones from little room") {
  for (const auto& [nx, ny] : {std::pair{1, 1}, {1, 7}, {7, 1}, {16, 9}}) {
    CAPTURE(nx);
    CAPTURE(ny);
    const std::size_t count = 3 * nx * ny;
    for (const int kind : {0, 1, 2, 3}) {
      CAPTURE(kind);
      Bytes steps;
      std::uint32_t random = 1;
      for (std::size_t k = 0; k < count; ++k) {
        random = random * 1664525U + 1013904223U;
        const auto noise = static_cast<std::uint8_t>(random >> 24);
        const double smooth = 63 + 60 * std::sin(0.1 * static_cast<double>(k % nx));
        steps.push_back(kind == 0   ? noise
                        : kind == 1 ? static_cast<std::uint8_t>(smooth)
                        : kind == 2 ? (noise < 128 ? missing_step : static_cast<std::uint8_t>(smooth))
                                    : (k % 2 == 0 ? 0 : 255));
      }
      const CompactSteps code = compact(steps, nx, ny);
      CHECK(decoded(code, count, nx, ny) == steps);
      CHECK(code.code.size() <= 1 + count * 9 / 8);  // shift 7 takes 8 or 9 bits
      if (kind == 1 && ny > 1 && nx > 1) CHECK(code.code.size() < count / 2);
    }
  }
  CHECK(compact({}, 4, 4).code.empty());
}

TEST_CASE("base64 of RFC 4648") {
  const std::pair<const char*, const char*> known[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [text, code] : known) {
    const std::string_view view = text;
    CHECK(base64(Bytes(view.begin(), view.end())) == code);
  }
  CHECK(base64(Bytes{0xfb, 0xff, 0xbf}) == "+/+/");
}

TEST_CASE("a movie says all that its script needs, with one scale for truth and analysis at all times") {
  FieldMaps second = small_frames();
  second.analysis_mean[1][5] = NAN;
  const std::string html = movie_figure({small_frames(), second}, "caption");
  CHECK(html.find("<figure class=\"movie\" hidden") == 0);
  CHECK(html.find("eta &lt;&quot;&#39;&amp;&gt;") != std::string::npos);
  const auto movie = nlohmann::json::parse(levda::testing::attribute(html, "data-movie"));
  CHECK(movie.at("times").size() == 3);
  CHECK(movie.at("rows").size() == movie.at("height").get<std::size_t>());
  CHECK(movie.at("channels").size() == 2);
  for (const auto& channel : movie.at("channels")) {
    REQUIRE(channel.at("panels").size() == 3);
    CHECK(channel.at("panels")[0].at("scale") == channel.at("panels")[1].at("scale"));
    CHECK(channel.at("panels")[0].at("scale")[1] == "0");
    CHECK(channel.at("sensors")[0] == nlohmann::json({0, 0}));  // the corner of a cell, not its node
    CHECK(channel.at("sensors")[1] == nlohmann::json({0.5, 0.5}));
  }
  // Top first: from the last row of the field, half a cell beyond its nodes, to the first.
  CHECK(movie.at("rows").front()[0].get<double>() > 3.4);
  CHECK(movie.at("rows").back()[0].get<double>() < -0.4);
  CHECK(levda::testing::count(html, "<option") == 2);
  CHECK(levda::testing::count(movie_figure({small_frames()}, ""), "<option") == 0);
}
