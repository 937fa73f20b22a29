#include "experiments/study/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>

#include "autodiff/error.h"
#include "experiments/config/version.h"
#include "experiments/report/figures.h"
#include "experiments/study/json_numbers.h"
#include "nn/atomic_file.h"

namespace levda::experiments {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

[[noreturn]] void fail(const std::string& value, const std::string& message) {
  throw InputError("--over", value, message);
}

double positive(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != 0 || !(value > 0) || !std::isfinite(value)) fail(text, "a number above 0 is needed");
  return value;
}

/// Of n sensors, kx x ky = n with kx / ky nearest to nx / ny, both within the grid.
std::string grid_of(const std::string& text, const models::Grid& grid) {
  const double wanted = positive(text);
  const auto n = static_cast<std::int64_t>(wanted);
  if (static_cast<double>(n) != wanted || n > grid.cells())
    fail(text, fmt::format("sensors on {} cells", grid.cells()));
  const double shape = static_cast<double>(grid.nx) / static_cast<double>(grid.ny);
  std::int64_t best = 0;
  double distance = std::numeric_limits<double>::infinity();
  for (std::int64_t kx = 1; kx <= std::min(n, grid.nx); ++kx) {
    if (n % kx != 0 || n / kx > grid.ny) continue;
    const double own = std::abs(std::log(static_cast<double>(kx * kx) / static_cast<double>(n) / shape));
    if (own >= distance) continue;
    distance = own;
    best = kx;
  }
  if (best == 0) fail(text, "no grid has so many sensors; random:N takes any number");
  return fmt::format("grid:{}x{}", best, n / best);
}

/// How many sensors "grid:4x4", "random:5" and "scattered:5" are.
double count_of(const std::string& sensors) {
  long long a = 0;
  long long b = 1;
  if (std::sscanf(sensors.c_str(), "grid:%lldx%lld", &a, &b) != 2 &&
      std::sscanf(sensors.c_str(), "random:%lld", &a) != 1 && std::sscanf(sensors.c_str(), "scattered:%lld", &a) != 1)
    fail(sensors, "neither a number nor grid:NXxNY, random:N or scattered:N");
  if (a < 1 || b < 1) fail(sensors, "no sensors");
  return static_cast<double>(a) * static_cast<double>(b);
}

/// One quantity of all methods that are worth a line.
ScalingFigure figure_of(const SweepResult& result, const char* title, Figure ComparedMethod::*of) {
  ScalingFigure figure{.title = title, .x_label = result.sweep.name, .curves = {}};
  for (const ComparedMethod& m : result.comparisons.front().methods) {
    ScalingCurve curve{.method = m.key, .x = result.sweep.x, .y = {}, .error = {}};
    bool any = false;
    for (const Comparison& comparison : result.comparisons) {
      const Figure& own = comparison.method(m.key).*of;
      curve.y.push_back(own.value);
      curve.error.push_back(own.error);
      any = any || own.value > 0;
    }
    curve.exponent = growth_exponent(curve.x, curve.y);
    if (any) figure.curves.push_back(std::move(curve));
  }
  return figure;
}

struct Quantities {
  ScalingFigure error;
  ScalingFigure seconds;
};

Quantities quantities_of(const SweepResult& result) {
  return {figure_of(result, "relative error of the mean", &ComparedMethod::rel_rmse),
          figure_of(result, "seconds per truth", &ComparedMethod::seconds)};
}

std::vector<std::string> columns_of(const SweepResult& result) {
  std::vector<std::string> columns = result.sweep.values;
  columns.emplace_back("exponent");
  return columns;
}

std::vector<std::string> cells_of(const ScalingCurve& curve) {
  std::vector<std::string> cells;
  for (std::size_t i = 0; i < curve.y.size(); ++i) {
    cells.push_back(std::isfinite(curve.y[i]) ? fmt::format("{:.3g}", curve.y[i]) : "-");
    if (std::isfinite(curve.error[i])) cells.back() += fmt::format(" +- {:.1g}", curve.error[i]);
  }
  cells.push_back(std::isfinite(curve.exponent) ? fmt::format("{:.2f}", curve.exponent) : "-");
  return cells;
}

}  // namespace

Sweep parse_sweep(const std::string& text, const models::Grid& grid) {
  const std::size_t sign = text.find('=');
  if (sign == std::string::npos) fail(text, "NAME=a,b,c is needed");
  Sweep sweep{.name = text.substr(0, sign), .values = {}, .x = {}, .settings = {}};
  for (std::size_t at = sign + 1; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    sweep.values.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  for (const std::string& value : sweep.values) {
    std::vector<std::string>& settings = sweep.settings.emplace_back();
    if (sweep.name == "sensors") {
      const bool plain = value.find(':') == std::string::npos;
      const std::string sensors = plain ? grid_of(value, grid) : value;
      settings.push_back("observations.sensors=" + sensors);
      sweep.x.push_back(count_of(sensors));
      continue;
    }
    sweep.x.push_back(positive(value));
    if (sweep.name == "members")
      settings.push_back("assimilation.members=" + value);
    else if (sweep.name == "window")
      settings = {"assimilation.window=" + value, "assimilation.shift=" + value};
    else if (sweep.name == "sigma" || sweep.name == "noise")
      settings.push_back("observations.sigma=" + value);
    else if (sweep.name.starts_with("observations.") || sweep.name.starts_with("assimilation."))
      settings.push_back(sweep.name + "=" + value);
    else
      fail(sweep.name, "is none of members, window, sensors, sigma, observations.KEY and assimilation.KEY");
  }
  return sweep;
}

double growth_exponent(const std::vector<double>& x, const std::vector<double>& y) {
  if (x.size() != y.size()) throw Error("exponent: unequal numbers of x and y");
  double n = 0, mean_x = 0, mean_y = 0;
  const auto counts = [&](std::size_t i) { return x[i] > 0 && y[i] > 0 && std::isfinite(x[i]) && std::isfinite(y[i]); };
  for (std::size_t i = 0; i < x.size(); ++i)
    if (counts(i)) {
      n += 1;
      mean_x += std::log(x[i]);
      mean_y += std::log(y[i]);
    }
  mean_x /= n;
  mean_y /= n;
  double covariance = 0, variance = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (counts(i)) {
      covariance += (std::log(x[i]) - mean_x) * (std::log(y[i]) - mean_y);
      variance += (std::log(x[i]) - mean_x) * (std::log(x[i]) - mean_x);
    }
  return variance > 0 ? covariance / variance : std::numeric_limits<double>::quiet_NaN();
}

void write_sweep(const fs::path& path, const Config& config, const SweepResult& result) {
  Json methods = Json::object();
  const Quantities all = quantities_of(result);
  const auto add = [&](const ScalingFigure& figure, const std::string& key) {
    for (const ScalingCurve& curve : figure.curves) {
      methods[curve.method][key] = json_numbers(curve.y);
      methods[curve.method][key + "_error"] = json_numbers(curve.error);
      methods[curve.method][key + "_exponent"] = json_number(curve.exponent);
    }
  };
  add(all.error, "rel_rmse");
  add(all.seconds, "seconds");
  const Json json{{"kind", "sweep"},
                  {"case", config.case_name},
                  {"preset", config.preset},
                  {"seed", config.seed},
                  {"version", version()},
                  {"experiment", result.comparisons.front().experiment},
                  {"truths", result.comparisons.front().truths},
                  {"draws", result.comparisons.front().seeds},
                  {"over", result.sweep.name},
                  {"values", result.sweep.values},
                  {"x", json_numbers(result.sweep.x)},
                  {"methods", methods}};
  nn::write_text_file(path, json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::string sweep_table(const SweepResult& result) {
  const Quantities all = quantities_of(result);
  std::string text;
  for (const ScalingFigure* figure : {&all.error, &all.seconds}) {
    std::vector<std::vector<std::string>> rows{{figure->title + ", " + result.sweep.name}};
    for (const std::string& column : columns_of(result)) rows[0].push_back(column);
    for (const ScalingCurve& curve : figure->curves) {
      rows.push_back({curve.method});
      for (const std::string& cell : cells_of(curve)) rows.back().push_back(cell);
    }
    text += markdown_table(rows) + "\n";
  }
  const Comparison& first = result.comparisons.front();
  return text + fmt::format(
                    "{}: {} truths, {} draw(s) of the observation errors each; +- is the standard error over truths. "
                    "Exponent: slope of the logarithm over that of {}.\n",
                    first.experiment, first.truths, first.seeds, result.sweep.name);
}

void write_sweep_figures(const fs::path& folder, const Config& config, const models::Surrogate& s,
                         const SweepResult& result) {
  const Quantities all = quantities_of(result);
  ExperimentReport experiment;
  experiment.name = result.comparisons.front().experiment;
  experiment.description = fmt::format(
      "{} truths, {} draw(s) of the observation errors each; all but {} is as above. The table has relative errors.",
      result.comparisons.front().truths, result.comparisons.front().seeds, result.sweep.name);
  experiment.scalings = {all.error, all.seconds};
  experiment.score_columns = columns_of(result);
  for (const ScalingCurve& curve : all.error.curves) experiment.score_rows.emplace_back(curve.method, cells_of(curve));
  const Report report{
      .title = fmt::format("{}, preset {}: over {}", s.about.case_name, config.preset, result.sweep.name),
      .facts = {{"Observations",
                 fmt::format("{}, every {} frame(s), error {} standard deviations", config.observations.sensors,
                             config.observations.every, config.observations.sigma)},
                {"Ensemble", fmt::format("{} members", config.assimilation.members)},
                {"Program", fmt::format("levda {} on {}, {}", version(), machine(), timestamp())}},
      .experiments = {experiment}};
  write_report(folder / "report.html", report);
  nn::write_text_file(folder / "error.png", scaling_picture(all.error));
  nn::write_text_file(folder / "seconds.png", scaling_picture(all.seconds));
}

}  // namespace levda::experiments
