#include "experiments/study/results.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "autodiff/error.h"
#include "experiments/config/version.h"
#include "experiments/study/json_numbers.h"
#include "nn/atomic_file.h"

namespace levda::experiments {

using Json = nlohmann::ordered_json;

namespace {

constexpr const char* format_name = "levda-scores-1";
constexpr double no_value = std::numeric_limits<double>::quiet_NaN();

double value_or_nan(const Json& entry) { return entry.is_null() ? no_value : entry.get<double>(); }

/// Iterations as a list of objects.
Json convergence(const std::vector<da::Iteration>& iterations) {
  Json list = Json::array();
  for (const da::Iteration& one : iterations)
    list.push_back({{"window", one.window},
                    {"factor", json_number(one.factor)},
                    {"cost_background", json_number(one.cost_background)},
                    {"cost_observations", json_number(one.cost_observations)},
                    {"gradient_norm", json_number(one.gradient_norm)},
                    {"gradient_difference", json_number(one.gradient_difference)},
                    {"damping", json_number(one.damping)}});
  return list;
}

da::FieldScores total(const std::vector<da::FieldScores>& frames) {
  da::FieldScores sum;
  for (const da::FieldScores& frame : frames) sum += frame;
  return sum;
}

/// Mean of f over truths; NaN where f is.
template <typename F>
double mean_over(const std::vector<TruthScores>& truths, const F& f) {
  double sum = 0;
  for (const TruthScores& truth : truths) sum += f(truth);
  return sum / static_cast<double>(truths.size());
}

ForecastSummary summarise_forecast(const std::string& name, const std::vector<TruthScores>& truths) {
  const auto of = [&](const TruthScores& truth) -> const auto& { return truth.methods.at(name).forecast; };
  da::FieldScores pooled;
  for (const TruthScores& truth : truths) pooled += total(of(truth));
  const bool ensemble = pooled.is_ensemble();
  ForecastSummary s{.rel_rmse = mean_over(truths, [&](const auto& x) { return total(of(x)).relative_rmse(); }),
                    .ssr = ensemble ? pooled.spread_skill() : no_value,
                    .crps = ensemble ? pooled.crps() : no_value,
                    .coverage90 = ensemble ? pooled.coverage90() : no_value,
                    .rel_rmse_per_time = {},
                    .rel_spread_per_time = {}};
  for (std::size_t t = 0; t < of(truths[0]).size(); ++t) {
    s.rel_rmse_per_time.push_back(mean_over(truths, [&](const auto& x) { return of(x)[t].relative_rmse(); }));
    if (ensemble)
      s.rel_spread_per_time.push_back(mean_over(truths, [&](const auto& x) { return of(x)[t].relative_spread(); }));
  }
  return s;
}

MethodSummary summarise_method(const std::string& name, const std::vector<TruthScores>& truths) {
  const auto of = [&](const TruthScores& truth) -> const MethodScores& { return truth.methods.at(name); };
  MethodSummary s{};
  s.method = name;
  da::FieldScores pooled;
  for (const TruthScores& truth : truths) {
    const da::FieldScores own = total(of(truth).frames);
    s.rel_rmse += own.relative_rmse() / static_cast<double>(truths.size());
    s.rel_rmse_worst = std::max(s.rel_rmse_worst, own.relative_rmse());
    s.rel_rmse_per_truth.push_back(own.relative_rmse());
    pooled += own;
  }
  const std::size_t frames = of(truths[0]).frames.size();
  for (std::size_t t = 0; t < frames; ++t) {
    s.rel_rmse_per_time.push_back(mean_over(truths, [&](const auto& x) { return of(x).frames[t].relative_rmse(); }));
    if (pooled.is_ensemble())
      s.rel_spread_per_time.push_back(
          mean_over(truths, [&](const auto& x) { return of(x).frames[t].relative_spread(); }));
  }
  s.param_error = mean_over(truths, [&](const auto& x) {
    double sum = 0;
    for (const da::ParameterScore& p : of(x).parameters) sum += p.error;
    return sum / static_cast<double>(of(x).parameters.size());
  });
  s.param_z_rms = std::sqrt(mean_over(truths, [&](const auto& x) {
    double sum = 0;
    for (const da::ParameterScore& p : of(x).parameters) sum += p.z * p.z;
    return sum / static_cast<double>(of(x).parameters.size());
  }));
  const bool ensemble = pooled.is_ensemble();
  s.ssr = ensemble ? pooled.spread_skill() : no_value;
  s.ssr_without_surrogate_error = ensemble ? pooled.spread_skill_without_surrogate_error() : no_value;
  s.crps = ensemble ? pooled.crps() : no_value;
  s.coverage90 = ensemble ? pooled.coverage90() : no_value;
  if (ensemble) s.ranks = pooled.ranks();
  s.seconds_per_truth =
      name == "climatology" ? no_value : mean_over(truths, [&](const auto& x) { return of(x).seconds; });
  if (!of(truths[0]).forecast.empty()) s.forecast = summarise_forecast(name, truths);
  for (const TruthScores& truth : truths) {
    std::vector<double> costs;
    for (const da::Iteration& one : of(truth).convergence) costs.push_back(one.cost_background + one.cost_observations);
    if (!costs.empty()) s.costs.push_back(std::move(costs));
  }
  s.iterations = mean_over(truths, [&](const auto& x) { return of(x).iterations.value_or(no_value); });
  return s;
}

std::string shown(double value, int digits) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, digits) : "-";
}

}  // namespace

void write_truth_scores(const std::filesystem::path& path, const TruthScores& scores, const std::string& fingerprint) {
  Json methods;
  for (const auto& [name, method] : scores.methods) {
    Json frames = Json::array();
    for (const da::FieldScores& frame : method.frames) frames.push_back(json_numbers(frame.pack()));
    Json parameters = Json::array();
    for (const da::ParameterScore& p : method.parameters)
      parameters.push_back({{"error", json_number(p.error)}, {"z", json_number(p.z)}});
    methods[name] = {{"frames", frames},
                     {"parameters", parameters},
                     {"seconds", method.seconds},
                     {"iterations", json_number(method.iterations.value_or(no_value))}};
    if (!method.forecast.empty()) {
      Json& forecast = methods[name]["forecast"] = Json::array();
      for (const da::FieldScores& frame : method.forecast) forecast.push_back(json_numbers(frame.pack()));
    }
    if (!method.failure.empty()) methods[name]["failure"] = method.failure;
    if (!method.convergence.empty()) methods[name]["convergence"] = convergence(method.convergence);
  }
  const Json all{
      {"format", format_name},
      {"configuration", fingerprint},
      {"truth", {{"index", scores.truth.index}, {"member", scores.truth.member}, {"start", scores.truth.start}}},
      {"methods", methods}};
  nn::write_text_file(path, all.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::optional<TruthScores> read_truth_scores(const std::filesystem::path& path, const std::string& fingerprint,
                                             const std::vector<std::string>& methods) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  const Json all = Json::parse(nn::read_text_file(path), nullptr, false);
  try {
    if (all.at("format") != format_name) throw InputError(path.string(), "format", "not scores of levda");
    if (all.at("configuration") != fingerprint) return std::nullopt;
    TruthScores scores;
    const Json& truth = all.at("truth");
    scores.truth = {truth.at("index"), truth.at("member"), truth.at("start")};
    for (const auto& [name, entry] : all.at("methods").items()) {
      MethodScores& method = scores.methods[name];
      const auto read_frames = [](const Json& list, std::vector<da::FieldScores>& to) {
        for (const Json& frame : list) {
          std::vector<double> sums;
          for (const Json& sum : frame) sums.push_back(value_or_nan(sum));
          to.push_back(da::FieldScores::unpack(sums));
        }
      };
      read_frames(entry.at("frames"), method.frames);
      if (entry.contains("forecast")) read_frames(entry.at("forecast"), method.forecast);
      for (const Json& p : entry.at("parameters"))
        method.parameters.push_back({value_or_nan(p.at("error")), value_or_nan(p.at("z"))});
      method.seconds = entry.at("seconds");
      if (!entry.at("iterations").is_null()) method.iterations = entry.at("iterations").get<double>();
      if (entry.contains("convergence"))
        for (const Json& one : entry.at("convergence"))
          method.convergence.push_back({.window = one.at("window"),
                                        .factor = value_or_nan(one.at("factor")),
                                        .cost_background = value_or_nan(one.at("cost_background")),
                                        .cost_observations = value_or_nan(one.at("cost_observations")),
                                        .gradient_norm = value_or_nan(one.at("gradient_norm")),
                                        .gradient_difference = value_or_nan(one.at("gradient_difference")),
                                        .damping = value_or_nan(one.at("damping"))});
      if (entry.contains("failure")) method.failure = entry.at("failure");
    }
    for (const std::string& method : methods)
      if (const MethodScores& own = scores.methods[method]; own.frames.empty() && own.failure.empty())
        throw InputError(path.string(), method, "no scores");
    return scores;
  } catch (const InputError&) {
    throw;
  } catch (const std::exception&) {
    throw InputError(path.string(), "", "not a file of scores");
  }
}

const MethodSummary& ExperimentSummary::method(const std::string& wanted) const {
  return *std::find_if(methods.begin(), methods.end(), [&](const auto& m) { return m.method == wanted; });
}

ExperimentSummary summarise(const std::string& experiment, const std::vector<TruthScores>& truths) {
  ExperimentSummary summary{.name = experiment, .truths = static_cast<std::int64_t>(truths.size()), .methods = {}};
  const MethodSummary floor = summarise_method("floor", truths);
  summary.floor = floor.rel_rmse;
  summary.floor_worst = floor.rel_rmse_worst;
  summary.floor_per_truth = floor.rel_rmse_per_truth;
  for (const char* name : {"free", "climatology", "lookup", "levda"})
    summary.methods.push_back(summarise_method(name, truths));
  return summary;
}

void write_results(const std::filesystem::path& path, const Config& config, const models::Surrogate& surrogate,
                   const std::vector<ExperimentSummary>& experiments) {
  const auto provenance = [&](const std::string& key) {
    const auto entry = surrogate.provenance.find(key);
    return entry == surrogate.provenance.end() ? no_value : std::strtod(entry->second.c_str(), nullptr);
  };
  Json all{{"schema", 1},
           {"case", surrogate.about.case_name},
           {"preset", config.preset},
           {"seed", config.seed},
           {"version", version()},
           {"surrogate",
            {{"parameters", surrogate.net.parameters().count()},
             {"train_seconds", json_number(provenance("train_seconds"))},
             {"test_rel_rmse", json_number(provenance("test_rel_rmse"))}}},
           {"truths", experiments.at(0).truths}};
  for (const ExperimentSummary& experiment : experiments) {
    Json methods;
    for (const MethodSummary& m : experiment.methods) {
      methods[m.method] = {{"rel_rmse", json_number(m.rel_rmse)},
                           {"rel_rmse_worst", json_number(m.rel_rmse_worst)},
                           {"rel_rmse_per_truth", json_numbers(m.rel_rmse_per_truth)},
                           {"rel_rmse_per_time", json_numbers(m.rel_rmse_per_time)},
                           {"param_error", json_number(m.param_error)},
                           {"param_z_rms", json_number(m.param_z_rms)},
                           {"ssr", json_number(m.ssr)},
                           {"ssr_without_surrogate_error", json_number(m.ssr_without_surrogate_error)},
                           {"crps", json_number(m.crps)},
                           {"coverage90", json_number(m.coverage90)},
                           {"seconds_per_truth", json_number(m.seconds_per_truth)},
                           {"iterations", json_number(m.iterations)}};
      if (m.forecast)
        methods[m.method]["forecast"] = {{"rel_rmse", json_number(m.forecast->rel_rmse)},
                                         {"rel_rmse_per_time", json_numbers(m.forecast->rel_rmse_per_time)},
                                         {"rel_spread_per_time", json_numbers(m.forecast->rel_spread_per_time)},
                                         {"ssr", json_number(m.forecast->ssr)},
                                         {"crps", json_number(m.forecast->crps)},
                                         {"coverage90", json_number(m.forecast->coverage90)}};
      for (const std::vector<double>& costs : m.costs)
        methods[m.method]["cost_per_iteration"].push_back(json_numbers(costs));
    }
    all["experiments"][experiment.name] = {{"floor",
                                            {{"rel_rmse", experiment.floor},
                                             {"rel_rmse_worst", experiment.floor_worst},
                                             {"rel_rmse_per_truth", json_numbers(experiment.floor_per_truth)}}},
                                           {"methods", methods}};
  }
  nn::write_text_file(path, all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::vector<std::string> score_columns(const ExperimentSummary& experiment) {
  std::vector<std::string> columns{"rel. RMSE",         "worst", "/ floor",      "param. error", "param. z",  "ssr",
                                   "ssr without R_sur", "CRPS",  "coverage 90%", "s / truth",    "iterations"};
  if (experiment.methods.front().forecast)
    for (const char* column : {"forecast", "its ssr", "its CRPS"}) columns.emplace_back(column);
  return columns;
}

std::vector<std::string> score_cells(const MethodSummary& m, double floor) {
  std::vector<std::string> cells{shown(m.rel_rmse, 4),
                                 shown(m.rel_rmse_worst, 4),
                                 shown(m.rel_rmse / floor, 2),
                                 shown(m.param_error, 4),
                                 shown(m.param_z_rms, 2),
                                 shown(m.ssr, 2),
                                 shown(m.ssr_without_surrogate_error, 2),
                                 shown(m.crps, 4),
                                 shown(m.coverage90, 3),
                                 shown(m.seconds_per_truth, 2),
                                 shown(m.iterations, 0)};
  if (m.forecast)
    for (const std::string& cell :
         {shown(m.forecast->rel_rmse, 4), shown(m.forecast->ssr, 2), shown(m.forecast->crps, 4)})
      cells.push_back(cell);
  return cells;
}

std::string score_table(const std::vector<ExperimentSummary>& experiments) {
  std::string text;
  for (const ExperimentSummary& experiment : experiments) {
    const std::vector<std::string> columns = score_columns(experiment);
    text += fmt::format("{}{}: {} truths, floor {:.4f} (worst {:.4f})\n  {:<12}", text.empty() ? "" : "\n",
                        experiment.name, experiment.truths, experiment.floor, experiment.floor_worst, "");
    for (const std::string& column : columns)
      text += fmt::format("  {:>{}}", column, std::max<std::size_t>(column.size(), 7));
    text += '\n';
    for (const MethodSummary& method : experiment.methods) {
      text += fmt::format("  {:<12}", method.method);
      const std::vector<std::string> cells = score_cells(method, experiment.floor);
      for (std::size_t k = 0; k < cells.size(); ++k)
        text += fmt::format("  {:>{}}", cells[k], std::max<std::size_t>(columns[k].size(), 7));
      text += '\n';
    }
  }
  return text;
}

}  // namespace levda::experiments
