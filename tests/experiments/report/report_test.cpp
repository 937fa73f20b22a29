#include "experiments/report/report.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "autodiff/error.h"
#include "experiments/report/gnuplot.h"
#include "nn/atomic_file.h"
#include "tests/experiments/report/page.h"

using namespace levda;
using namespace levda::experiments;
using levda::testing::count;

namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path;
  Folder() {
    std::string name = (fs::temp_directory_path() / "levda-report-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
};

/// 8 x 6 nodes, two times, two methods; `parameters` of them; labels with characters that HTML or gnuplot
/// could read.
Report small_report(int parameters) {
  FieldMaps maps{.channel = "eta <&> \"'`touch hacked`",
                 .unit = "m",
                 .nx = 8,
                 .ny = 6,
                 .x_max = 7,
                 .y_max = 5,
                 .length_unit = "km",
                 .times = {"0 s", "it's 1 s"},
                 .sensors = {{1, 1}, {5, 2}},
                 .shares = {0.5, 2}};
  for (auto* rows : {&maps.truth, &maps.prior_mean, &maps.analysis_mean, &maps.spread})
    for (int t = 0; t < 2; ++t) {
      std::vector<float> field;
      for (int i = 0; i < 48; ++i) field.push_back(static_cast<float>(std::sin(0.3 * i + t)));
      rows->push_back(field);
    }
  maps.analysis_mean[1][7] = NAN;
  ExperimentReport experiment{
      .name = "warm <b>",
      .description = "a < b & c",
      .truth_label = "truth 1",
      .maps = {maps},
      .frames = {maps},
      .time_unit = "h",
      .times = {0, 1, 2},
      .curves = {{"LEVDA", {0.1, 0.1, NAN}, {0.1, 0.1, 0.1}}, {"free <run>", {1, 1, INFINITY}, {}}},
      .floor = 0.08,
      .convergence = {{100, 100, 1}, {0, 1, 2}, {50, 20, 30}, {9, 1e-3, 1e-9}, {1, 1, NAN}},
      .ranks = {0.2, 0.3, 0.5},
      .score_columns = {"rel. RMSE"},
      .score_rows = {{"LEVDA", {"0.1"}}, {"free <run>", {"1.0"}}}};
  for (int p = 0; p < parameters; ++p)
    experiment.parameters.push_back({"p<" + std::to_string(p) + ">", "1", 0, 1, 0.5, {0.1, 0.9}, {0.45, 0.55}});
  return {.title = "levda <test>", .facts = {{"a & b", "<script>alert(1)</script>"}}, .experiments = {experiment}};
}

}  // namespace

TEST_CASE("a report is one file that loads nothing") {
  const Folder folder;
  for (const int parameters : {0, 1, 2, 3}) {
    CAPTURE(parameters);
    const fs::path path = folder.path / "new" / "report.html";
    write_report(path, small_report(parameters));
    const std::string html = nn::read_text_file(path);
    CHECK(html.starts_with("<!doctype html>"));
    CHECK(html.ends_with("</html>\n"));
    CHECK(html.find("http:") == std::string::npos);
    CHECK(html.find("https:") == std::string::npos);
    CHECK(html.find("src=") == std::string::npos);
    CHECK(html.find("url(") == std::string::npos);
    // Every reference is to this page or holds its data.
    CHECK(count(html, "href=") ==
          count(html, "href='#") + count(html, "href=\"#") + count(html, "href='data:image/png;"));
    // Maps of 5 rows and 2 times, 3 colour bars.
    CHECK(count(html, "href='data:image/png;") == 13);
    CHECK(count(html, "role=\"img\"") == (parameters > 0 ? 10 : 8));  // the movie's three canvases among them
    CHECK(count(html, "<script>") == 1);
    CHECK(count(html, "</script>") == 1);
    for (const char* element : {"figure", "div", "p", "select", "label", "button", "ul", "table", "section"})
      CHECK_MESSAGE(count(html, std::string("<") + element + ">") + count(html, std::string("<") + element + " ") ==
                        count(html, std::string("</") + element + ">"),
                    element);
    CHECK(count(html, "<svg") == count(html, "</svg>"));
    CHECK(count(html, "<g ") + count(html, "<g>") == count(html, "</g>"));
    CHECK(count(html, "<tr class=\"levda\"") == 1);
    CHECK(std::distance(fs::directory_iterator(path.parent_path()), {}) == 1);
  }
}

TEST_CASE("labels of a report are text, never markup or commands") {
  const Folder folder;
  const fs::path path = folder.path / "report.html";
  write_report(path, small_report(2));
  const std::string html = nn::read_text_file(path);
  CHECK(html.find("<title>levda &lt;test&gt;</title>") != std::string::npos);
  CHECK(html.find("&lt;script&gt;alert(1)&lt;/script&gt;") != std::string::npos);
  CHECK(count(html, "<script") == 1);  // the movie's
  CHECK(html.find("free &lt;run&gt;") != std::string::npos);
  CHECK(html.find("eta &lt;&amp;&gt; &quot;&#39;`touch hacked`") != std::string::npos);
  CHECK(html.find("it's 1 s") != std::string::npos);
  CHECK(html.find("<run>") == std::string::npos);
  CHECK_FALSE(fs::exists("hacked"));
}

TEST_CASE("a report of values that are zero or not finite is drawn all the same") {
  const Folder folder;
  for (const float value : {0.0f, NAN, INFINITY}) {
    CAPTURE(value);
    Report report = small_report(2);
    ExperimentReport& experiment = report.experiments[0];
    for (auto* rows : {&experiment.maps[0].truth, &experiment.maps[0].analysis_mean, &experiment.maps[0].spread})
      rows->assign(2, std::vector<float>(48, value));
    for (MethodCurve& curve : experiment.curves) curve.error.assign(3, value);
    for (ParameterPosterior& p : experiment.parameters) p.posterior.assign(2, value);
    experiment.ranks.assign(3, 0);
    CHECK_NOTHROW(write_report(folder.path / "report.html", report));
  }
}

TEST_CASE("a report without frames has no script") {
  const Folder folder;
  Report report = small_report(0);
  report.experiments[0].frames.clear();
  write_report(folder.path / "report.html", report);
  const std::string html = nn::read_text_file(folder.path / "report.html");
  CHECK(html.find("<script") == std::string::npos);
  CHECK(html.find("<figure class=\"movie\"") == std::string::npos);
}

TEST_CASE("a report and a picture of a sphere are small") {
  const Folder folder;
  FieldMaps maps{.channel = "vorticity",
                 .unit = "s-1",
                 .nx = 64,
                 .ny = 32,
                 .x_max = 360 - 360. / 64,
                 .y_min = -90 + 180. / 64,
                 .y_max = 90 - 180. / 64,
                 .length_unit = "degree",
                 .geometry = models::Geometry::sphere,
                 .times = {"t = 0 h", "t = 8 h"},
                 .sensors = {{0, 45}, {350, -80}}};
  for (auto* rows : {&maps.truth, &maps.prior_mean, &maps.analysis_mean, &maps.spread})
    for (int t = 0; t < 2; ++t) {
      std::vector<float>& field = rows->emplace_back();
      for (int j = 0; j < 32; ++j)
        for (int i = 0; i < 64; ++i) field.push_back(static_cast<float>(std::sin(0.4 * i + t) * std::sin(0.1 * j)));
    }
  const ExperimentReport experiment{
      .name = "warm", .truth_label = "truth 1", .maps = {maps}, .frames = {maps, maps}, .score_rows = {}};
  const fs::path path = folder.path / "report.html";
  write_report(path, {.title = "sphere", .facts = {}, .experiments = {experiment}});
  CHECK(fs::file_size(path) < 200'000);
  const std::string html = nn::read_text_file(path);
  CHECK(html.find("Robinson") != std::string::npos);
  CHECK(count(html, "href='data:image/png;") == 13);
  write_pictures(folder.path / "pictures", experiment);
  CHECK(fs::file_size(folder.path / "pictures" / "warm-vorticity.png") < 250'000);
}

TEST_CASE("a picture is a PNG file, the same each time, named by experiment and channel") {
  const Folder folder;
  ExperimentReport experiment = small_report(0).experiments[0];
  experiment.name = "warm";
  experiment.maps[0].channel = "u/v %\n";
  for (const char* name : {"a", "b"}) write_pictures(folder.path / name, experiment);
  const std::string png = nn::read_text_file(folder.path / "a" / "warm-u%2Fv %25%0A.png");
  CHECK(png.starts_with("\x89PNG\r\n\x1a\n"));
  CHECK(png == nn::read_text_file(folder.path / "b" / "warm-u%2Fv %25%0A.png"));
  CHECK(png.size() < 250'000);
}

TEST_CASE("a report below a regular file is refused and nothing is written") {
  const Folder folder;
  const fs::path file = folder.path / "file";
  std::ofstream(file) << "text";
  CHECK_THROWS_AS(write_report(file / "report.html", small_report(2)), InputError);
  CHECK(nn::read_text_file(file) == "text");
  CHECK(std::distance(fs::directory_iterator(folder.path), {}) == 1);
}

TEST_CASE("gnuplot's failures are one line") {
  CHECK_THROWS_WITH_AS(run_gnuplot("set terminal svg\nplot unknown(x)\n"),
                       "gnuplot: line 2: undefined function: unknown", Error);
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nonexistent", 1);
  CHECK_THROWS_WITH_AS(run_gnuplot("plot 0\n"), "gnuplot: not found; install gnuplot-nox", Error);
  setenv("PATH", path.c_str(), 1);
}
