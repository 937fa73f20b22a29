#include "experiments/study/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "autodiff/error.h"
#include "experiments/data/shown_number.h"

namespace levda::experiments {

namespace {

[[noreturn]] void fail(const std::string& value, const std::string& message) {
  throw InputError("--over", value, message);
}

double positive(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != 0 || !(value > 0) || !std::isfinite(value)) fail(text, "a number above 0 is needed");
  return value;
}

/// grid:KXxKY with kx ky = n sensors and kx / ky nearest to nx / ny.
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
    const double found = std::abs(std::log(static_cast<double>(kx * kx) / static_cast<double>(n) / shape));
    if (found >= distance) continue;
    distance = found;
    best = kx;
  }
  if (best == 0) fail(text, "no grid has this number of sensors; random:N takes any number");
  return fmt::format("grid:{}x{}", best, n / best);
}

/// The number of sensors of "grid:4x4", "random:5" or "scattered:5".
double count_of(const std::string& sensors) {
  long long a = 0;
  long long b = 1;
  if (std::sscanf(sensors.c_str(), "grid:%lldx%lld", &a, &b) != 2 &&
      std::sscanf(sensors.c_str(), "random:%lld", &a) != 1 && std::sscanf(sensors.c_str(), "scattered:%lld", &a) != 1)
    fail(sensors, "neither a number nor grid:NXxNY, random:N or scattered:N");
  if (a < 1 || b < 1) fail(sensors, "no sensors");
  return static_cast<double>(a) * static_cast<double>(b);
}

/// One quantity of all methods that have it.
template <typename F>
ScalingFigure figure_of(const SweepResult& result, const char* title, const F& quantity) {
  ScalingFigure figure{.title = title, .x_label = result.sweep.name, .curves = {}};
  for (const MethodSummary& m : result.summaries.front().methods) {
    ScalingCurve curve{.method = m.key, .x = result.sweep.x, .y = {}, .error = {}};
    for (const Summary& summary : result.summaries) {
      const Figure& found = quantity(summary.method(m.key));
      curve.y.push_back(found.value);
      curve.error.push_back(found.error);
    }
    curve.exponent = growth_exponent(curve.x, curve.y);
    if (std::any_of(curve.y.begin(), curve.y.end(), [](double y) { return y > 0; }))
      figure.curves.push_back(std::move(curve));
  }
  return figure;
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

SweepFigures figures_of(const SweepResult& result) {
  return {figure_of(result, "relative error of the mean",
                    [](const MethodSummary& m) -> const Figure& { return m.analysis.rel_rmse; }),
          figure_of(result, "seconds per truth", [](const MethodSummary& m) -> const Figure& { return m.seconds; })};
}

ScoreTable table_of(const ScalingFigure& figure, const Sweep& sweep) {
  ScoreTable table{.columns = {figure.title + ", " + sweep.name}, .rows = {}};
  table.columns.insert(table.columns.end(), sweep.values.begin(), sweep.values.end());
  table.columns.emplace_back("exponent");
  for (const ScalingCurve& curve : figure.curves) {
    std::vector<std::string>& cells = table.rows.emplace_back(std::vector<std::string>{curve.method});
    for (std::size_t i = 0; i < curve.y.size(); ++i) {
      if (!std::isfinite(curve.y[i]))
        cells.emplace_back("-");
      else
        cells.push_back(curve.error[i] > 0 ? shown_number(curve.y[i], curve.error[i])
                                           : fmt::format("{:.3g}", curve.y[i]));
    }
    cells.push_back(std::isfinite(curve.exponent) ? fmt::format("{:.2f}", curve.exponent) : "-");
  }
  return table;
}

std::string text_of(const SweepResult& result) {
  const SweepFigures figures = figures_of(result);
  std::string text;
  for (const ScalingFigure* figure : {&figures.error, &figures.seconds})
    text += markdown_table(table_of(*figure, result.sweep)) + "\n";
  const Summary& first = result.summaries.front();
  return text + fmt::format(
                    "{}: {} truths, {} draw(s) of the observation errors each; +- is the standard error over truths. "
                    "Exponent: slope of the logarithm over that of {}.\n",
                    first.experiment, first.truths, first.draws, result.sweep.name);
}

}  // namespace levda::experiments
