#include "experiments/study/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autodiff/error.h"
#include "experiments/data/shown_number.h"

namespace levda::experiments {

namespace {

using Cells = std::vector<std::vector<MethodScores>>;
using Frames = std::vector<da::FieldScores>;

da::FieldScores total(const Frames& frames) {
  da::FieldScores sum;
  for (const da::FieldScores& frame : frames) sum += frame;
  return sum;
}

/// f(all truths) and its jackknife error.
template <typename F>
Figure jackknife(std::size_t truths, const F& f) {
  std::vector<std::size_t> all(truths);
  std::iota(all.begin(), all.end(), std::size_t{0});
  Figure figure{.value = f(all)};
  if (truths < 2) return figure;
  std::vector<double> without;
  double mean = 0;
  for (std::size_t left = 0; left < truths; ++left) {
    std::vector<std::size_t> rest;
    for (const std::size_t i : all)
      if (i != left) rest.push_back(i);
    without.push_back(f(rest));
    mean += without.back() / static_cast<double>(truths);
  }
  double squares = 0;
  for (const double value : without) squares += (value - mean) * (value - mean);
  figure.error = std::sqrt(squares * static_cast<double>(truths - 1) / static_cast<double>(truths));
  return figure;
}

struct Mean {
  Figure figure;
  std::vector<double> per_truth;
};

/// Mean over truths of the mean over draws of f.
template <typename F>
Mean mean_over(const Cells& cells, const F& f) {
  Mean mean;
  for (const auto& draws : cells) {
    double sum = 0;
    for (const MethodScores& scores : draws) sum += f(scores);
    mean.per_truth.push_back(sum / static_cast<double>(draws.size()));
  }
  mean.figure = jackknife(cells.size(), [&](const std::vector<std::size_t>& some) {
    double sum = 0;
    for (const std::size_t i : some) sum += mean.per_truth[i];
    return sum / static_cast<double>(some.size());
  });
  return mean;
}

FieldFigures field_figures(const Cells& cells, Frames MethodScores::*frames) {
  FieldFigures f;
  const bool ensemble = (cells[0][0].*frames)[0].is_ensemble();
  Mean error = mean_over(cells, [&](const MethodScores& s) { return total(s.*frames).relative_rmse(); });
  f.rel_rmse = error.figure;
  f.rel_rmse_worst = *std::max_element(error.per_truth.begin(), error.per_truth.end());
  f.rel_rmse_per_truth = std::move(error.per_truth);
  for (std::size_t t = 0; t < (cells[0][0].*frames).size(); ++t) {
    const auto at = [&](double (da::FieldScores::*score)() const) {
      return mean_over(cells, [&](const MethodScores& s) { return ((s.*frames)[t].*score)(); }).figure.value;
    };
    f.rel_rmse_per_time.push_back(at(&da::FieldScores::relative_rmse));
    if (ensemble) f.rel_spread_per_time.push_back(at(&da::FieldScores::relative_spread));
  }
  if (!ensemble) return f;
  f.crps = mean_over(cells, [&](const MethodScores& s) { return total(s.*frames).crps(); }).figure;
  f.coverage90 = mean_over(cells, [&](const MethodScores& s) { return total(s.*frames).coverage90(); }).figure;
  Frames truths;  // all draws pooled
  for (const auto& draws : cells) {
    truths.emplace_back();
    for (const MethodScores& scores : draws) truths.back() += total(scores.*frames);
  }
  const auto pooled = [&](double (da::FieldScores::*score)() const) {
    return jackknife(truths.size(), [&](const std::vector<std::size_t>& some) {
      da::FieldScores sum;
      for (const std::size_t i : some) sum += truths[i];
      return (sum.*score)();
    });
  };
  f.ssr = pooled(&da::FieldScores::spread_skill);
  f.ssr_without_model_error = pooled(&da::FieldScores::spread_skill_without_surrogate_error);
  f.ranks = total(truths).ranks();
  return f;
}

void add_parameters(MethodSummary& m, const Cells& cells) {
  m.param_error = mean_over(cells, [](const MethodScores& scores) {
                    double sum = 0;
                    for (const da::ParameterScore& p : scores.parameters) sum += p.error;
                    return sum / static_cast<double>(scores.parameters.size());
                  }).figure;
  m.param_z_rms = jackknife(cells.size(), [&](const std::vector<std::size_t>& some) {
    double squares = 0;
    double count = 0;
    for (const std::size_t i : some)
      for (const MethodScores& scores : cells[i])
        for (const da::ParameterScore& p : scores.parameters) {
          squares += p.z * p.z;
          count += 1;
        }
    return std::sqrt(squares / count);
  });
}

MethodSummary summarise(const ScoredMethod& method) {
  const Cells& cells = method.scores;
  MethodSummary m{.key = method.key, .help = method.help, .space = method.space};
  for (const auto& draws : cells)
    for (const MethodScores& scores : draws)
      if (!scores.failure.empty() && m.failures++ == 0) m.failure = scores.failure;
  if (m.failures > 0) return m;
  m.analysis = field_figures(cells, &MethodScores::frames);
  if (!cells[0][0].forecast.empty()) m.forecast = field_figures(cells, &MethodScores::forecast);
  if (!cells[0][0].parameters.empty()) add_parameters(m, cells);
  if (cells[0][0].seconds > 0)
    m.seconds = mean_over(cells, [](const MethodScores& scores) { return scores.seconds; }).figure;
  if (cells[0][0].iterations)
    m.iterations =
        mean_over(cells, [](const MethodScores& scores) { return scores.iterations.value_or(no_value); }).figure;
  for (const auto& draws : cells) {
    std::vector<double> costs;
    for (const da::Iteration& one : draws[0].convergence) costs.push_back(one.cost_background + one.cost_observations);
    if (!costs.empty()) m.costs.push_back(std::move(costs));
  }
  return m;
}

/// With so many decimals; a value that is so small that it would lose its digits has two of them.
std::string shown(double value, int digits) {
  if (!std::isfinite(value)) return "-";
  const bool small = digits > 0 && value != 0 && std::abs(value) * std::pow(10.0, digits) < 10;
  return small ? fmt::format("{:.2g}", value) : fmt::format("{:.{}f}", value, digits);
}

std::string shown(const Figure& figure, int digits) {
  if (!std::isfinite(figure.value) || !std::isfinite(figure.error)) return shown(figure.value, digits);
  return figure.error > 0 ? shown_number(figure.value, figure.error) : shown(figure.value, digits) + " +- 0";
}

std::string shown_seconds(const Figure& figure) {
  if (!std::isfinite(figure.value)) return "-";
  return figure.error > 0 ? shown_number(figure.value, figure.error) : fmt::format("{:.3g}", figure.value);
}

}  // namespace

const MethodSummary& Summary::method(const std::string& key) const {
  for (const MethodSummary& m : methods)
    if (m.key == key) return m;
  throw Error(fmt::format("summary: {} is not there", key));
}

Summary summarise(const Study& study) {
  Summary summary{.experiment = study.experiment,
                  .validation = study.validation,
                  .truths = study.truths,
                  .draws = study.draws,
                  .forecast = study.forecast,
                  .methods = {}};
  for (const ScoredMethod& method : study.methods) summary.methods.push_back(summarise(method));
  return summary;
}

ScoreTable score_table(const Summary& summary) {
  const double floor = summary.method("floor").analysis.rel_rmse.value;
  std::vector<std::string> columns{"method",    "space",        "rel. RMSE",
                                   "worst",     "/ floor",      "param. error",
                                   "param. z",  "ssr",          "ssr without R_sur",
                                   "CRPS",      "coverage 90%", "forecast",
                                   "its CRPS",  "its ssr",      "s",
                                   "iterations"};
  std::vector<std::vector<std::string>> rows;
  for (const MethodSummary& m : summary.methods) {
    const FieldFigures& a = m.analysis;
    const FieldFigures f = m.forecast.value_or(FieldFigures{});
    rows.push_back({m.key, m.space, shown(a.rel_rmse, 4), shown(a.rel_rmse_worst, 4),
                    shown(a.rel_rmse.value / floor, 2), shown(m.param_error, 4), shown(m.param_z_rms, 2),
                    shown(a.ssr, 2), shown(a.ssr_without_model_error.value, 2), shown(a.crps, 4),
                    shown(a.coverage90, 3), shown(f.rel_rmse, 4), shown(f.crps, 4), shown(f.ssr, 2),
                    shown_seconds(m.seconds), shown(m.iterations.value, 0)});
    if (m.failures > 0)
      rows.back()[2] = fmt::format("failed in {} of {} runs", m.failures, summary.truths * summary.draws);
  }
  ScoreTable table{.columns = {}, .rows = std::vector<std::vector<std::string>>(rows.size())};
  for (std::size_t k = 0; k < columns.size(); ++k) {
    if (std::all_of(rows.begin(), rows.end(), [&](const auto& row) { return row[k] == "-"; })) continue;
    table.columns.push_back(columns[k]);
    for (std::size_t i = 0; i < rows.size(); ++i) table.rows[i].push_back(rows[i][k]);
  }
  return table;
}

std::string explained(const Summary& s) {
  return fmt::format(
      "{}: {} {}truths, {} draw(s) of the observation errors each. +- is the standard error over truths (of means "
      "after averaging over draws; of ssr and z by leaving one truth out).{}",
      s.experiment, s.truths, s.validation ? "validation " : "", s.draws,
      s.forecast > 0 ? fmt::format(" The forecast is of the {} frames after the last analysis.", s.forecast) : "");
}

std::string markdown_table(const ScoreTable& table) {
  std::vector<std::size_t> widths;
  for (std::size_t k = 0; k < table.columns.size(); ++k) {
    widths.push_back(std::max<std::size_t>(table.columns[k].size(), 3));
    for (const auto& row : table.rows) widths[k] = std::max(widths[k], row[k].size());
  }
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (std::size_t k = 0; k < cells.size(); ++k) text += fmt::format("| {:<{}} ", cells[k], widths[k]);
    return text + "|\n";
  };
  std::string text = line(table.columns);
  for (const std::size_t width : widths) text += fmt::format("|{:-<{}}", "", width + 2);
  text += "|\n";
  for (const auto& row : table.rows) text += line(row);
  return text;
}

std::string text_of(const std::vector<Summary>& summaries) {
  std::string text;
  for (const Summary& summary : summaries) {
    if (!text.empty()) text += '\n';
    text += markdown_table(score_table(summary)) + "\n" + explained(summary) + "\n";
    for (const MethodSummary& m : summary.methods)
      if (m.failures > 0) text += fmt::format("{} failed, first: {}\n", m.key, m.failure);
  }
  return text;
}

}  // namespace levda::experiments
