#include "experiments/study/comparison.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "autodiff/error.h"
#include "experiments/config/interrupted.h"
#include "experiments/config/version.h"
#include "experiments/study/json_numbers.h"
#include "experiments/study/report_data.h"
#include "experiments/study/results.h"
#include "experiments/twin/methods.h"
#include "nn/atomic_file.h"
#include "nn/progress.h"

namespace levda::experiments {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr double no_value = std::numeric_limits<double>::quiet_NaN();

/// What is compared with every method.
struct Baseline {
  const char* key;
  const char* help;
  MethodScores (Scorer::*score)() const;
  bool sees_noise;
};

constexpr Baseline baselines[]{
    {"climatology", "the training trajectories at the true frame, told which one", &Scorer::climatology, false},
    {"persistence", "the true fields of the last observed frame before, told them", &Scorer::persistence, false},
    {"lookup", "the training trajectory and start that fit the observations best", &Scorer::lookup, true},
    {"floor", "the surrogate from the true start and parameters", &Scorer::floor, false}};

/// Something to be scored: a baseline or a method.
struct Entry {
  std::string name;
  std::string help;
  Config config;
  const Baseline* baseline = nullptr;
  const MethodRow* method = nullptr;

  bool sees_noise() const {
    return baseline != nullptr ? baseline->sees_noise : method->key != "free" && method->key != "full_free";
  }
};

std::vector<Entry> entries(const Config& config, const std::vector<std::string>& names) {
  std::vector<Entry> all;
  for (const Baseline& baseline : baselines)
    all.push_back({.name = baseline.key, .help = baseline.help, .config = config, .baseline = &baseline});
  const auto add = [&](const std::string& name) {
    if (std::any_of(all.begin(), all.end(), [&](const Entry& e) { return e.name == name; })) return;
    const ChosenMethod chosen = choose_method(config, name);
    all.push_back({.name = name, .help = chosen.row->help, .config = chosen.config, .method = chosen.row});
  };
  add("free");
  for (const std::string& name : names) add(name);
  return all;
}

/// What the scores of one truth, draw and method depend on.
std::string job_fingerprint(const Entry& entry, const Dataset& data, const ComparisonOptions& options,
                            std::int64_t draw) {
  constexpr int format = 1;  // counts changes of what the scores mean
  Config config = entry.config;
  config.observations.truths = 1;  // a truth does not depend on how many others there are
  const bool encoded = entry.method != nullptr && entry.method->key == "ldensf";
  return observation_fingerprint(config, data) + fingerprint(config, {"assimilation"}) +
         (encoded ? fingerprint(config, {"encoder"}) : "") +
         fmt::format("weights = {}\nlevda = {}, comparison {}\nexperiment = {}\ndraw = {}\nmethod = {}\n",
                     options.weights, results_version(), format, options.experiment, draw,
                     entry.method != nullptr ? entry.method->key : entry.name);
}

MethodScores run_method(const Config& config, const da::Method& method, const Space& space, const Scorer& scorer,
                        const ObservationFile& file, const models::Description& about, std::uint64_t seed) {
  using Clock = std::chrono::steady_clock;
  const da::Ensemble prior = space.prior(file.experiment, file.truth.value().index);
  const std::optional<da::Ensemble> candidates =
      space.candidates(file.experiment, file.truth.value().index, config.assimilation.candidates);
  const std::unique_ptr<const da::ErrorCovariance> covariance = space.covariance(file);
  const da::Problem problem{.prior = prior,
                            .model = space.model(),
                            .observations = file.observations,
                            .covariance = *covariance,
                            .times = analysis_times(config, about, file.experiment),
                            .windows = {.length = config.assimilation.window, .shift = config.assimilation.shift},
                            .seed = seed,
                            .gross_error = config.assimilation.gross_error,
                            .walk = space.walk(),
                            .parameters = about.parameters(),
                            .candidates = candidates ? &*candidates : nullptr};
  const Clock::time_point begin = Clock::now();
  da::Analysis analysis = method.assimilate(problem);
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  carry_on(space.model(), problem.times.back(), forecast_times(config, about, file.experiment), analysis.ensembles);
  MethodScores scores = scorer.score([&](std::int64_t t) { return space.fields(analysis.ensembles[t]); },
                                     space.model_error(file.experiment, analysis.ensembles.back()),
                                     space.parameters(analysis.ensembles.back()));
  scores.seconds = seconds;
  if (const auto steps = analysis.diagnostics.find("iterations"); steps != analysis.diagnostics.end()) {
    scores.iterations = 0;
    for (const double window : steps->second) *scores.iterations += window;
  }
  return scores;
}

/// Scores of one method: [truth][draw].
using Cells = std::vector<std::vector<MethodScores>>;

using Frames = std::vector<da::FieldScores>;

da::FieldScores total(const Frames& frames) {
  da::FieldScores sum;
  for (const da::FieldScores& frame : frames) sum += frame;
  return sum;
}

/// f(truths that count) with all of them, and its jackknife error.
template <typename F>
Figure jackknife(std::size_t truths, const F& f) {
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < truths; ++i) all.push_back(i);
  Figure figure{.value = f(all), .error = no_value};
  if (truths < 2) return figure;
  std::vector<double> without;
  double mean = 0;
  for (std::size_t left = 0; left < truths; ++left) {
    std::vector<std::size_t> rest = all;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(left));
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

constexpr Figure none{.value = no_value, .error = no_value};

/// Scores of fields, of the analyses or of the forecasts.
struct FieldFigures {
  Mean rel_rmse;
  Figure crps = none;
  Figure ssr = none;
  Figure ssr_without_model_error = none;
  Figure coverage90 = none;
  std::vector<double> rel_rmse_per_time;
  std::vector<double> rel_spread_per_time;
};

FieldFigures field_figures(const Cells& cells, Frames MethodScores::*frames) {
  FieldFigures f;
  const bool ensemble = (cells[0][0].*frames)[0].is_ensemble();
  f.rel_rmse = mean_over(cells, [&](const MethodScores& s) { return total(s.*frames).relative_rmse(); });
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
  std::vector<da::FieldScores> truths;  // draws pooled
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
  return f;
}

ComparedMethod summarise(const Entry& entry, const Cells& cells) {
  ComparedMethod m{.key = entry.name,
                   .space = entry.method == nullptr                    ? ""
                            : entry.method->space == SpaceName::latent ? "latent"
                                                                       : "full",
                   .rel_rmse = none,
                   .param_error = none,
                   .crps = none,
                   .ssr = none,
                   .ssr_without_model_error = none,
                   .coverage90 = none,
                   .param_z_rms = none,
                   .seconds = none,
                   .rel_rmse_per_truth = {},
                   .rel_rmse_per_time = {},
                   .rel_spread_per_time = {},
                   .forecast_rel_rmse = none,
                   .forecast_crps = none,
                   .forecast_ssr = none,
                   .forecast_coverage90 = none,
                   .forecast_rel_rmse_per_time = {},
                   .forecast_rel_spread_per_time = {}};
  for (const auto& draws : cells)
    for (const MethodScores& scores : draws)
      if (!scores.failure.empty() && m.failures++ == 0) m.failure = scores.failure;
  if (m.failures > 0) return m;
  const FieldFigures frames = field_figures(cells, &MethodScores::frames);
  m.rel_rmse = frames.rel_rmse.figure;
  m.rel_rmse_per_truth = frames.rel_rmse.per_truth;
  m.crps = frames.crps;
  m.ssr = frames.ssr;
  m.ssr_without_model_error = frames.ssr_without_model_error;
  m.coverage90 = frames.coverage90;
  m.rel_rmse_per_time = frames.rel_rmse_per_time;
  m.rel_spread_per_time = frames.rel_spread_per_time;
  if (!cells[0][0].forecast.empty()) {
    const FieldFigures forecast = field_figures(cells, &MethodScores::forecast);
    m.forecast_rel_rmse = forecast.rel_rmse.figure;
    m.forecast_crps = forecast.crps;
    m.forecast_ssr = forecast.ssr;
    m.forecast_coverage90 = forecast.coverage90;
    m.forecast_rel_rmse_per_time = forecast.rel_rmse_per_time;
    m.forecast_rel_spread_per_time = forecast.rel_spread_per_time;
  }
  if (entry.method != nullptr || entry.name == "lookup")
    m.seconds = mean_over(cells, [](const MethodScores& scores) { return scores.seconds; }).figure;
  if (cells[0][0].parameters.empty()) return m;
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
  return m;
}

std::string shown(const Figure& figure, int digits) {
  if (!std::isfinite(figure.value)) return "-";
  if (!std::isfinite(figure.error)) return fmt::format("{:.{}f}", figure.value, digits);
  return fmt::format("{:.{}f} +- {:.{}f}", figure.value, digits, figure.error, digits);
}

std::string shown_seconds(const Figure& figure) {
  if (!std::isfinite(figure.value)) return "-";
  return fmt::format("{:.3g}", figure.value) +
         (std::isfinite(figure.error) ? fmt::format(" +- {:.1g}", figure.error) : "");
}

std::vector<std::string> columns_of(const Comparison& c) {
  std::vector<std::string> columns{"space", "rel. RMSE",    "param. error", "CRPS",
                                   "ssr",   "coverage 90%", "param. z",     "s"};
  if (c.forecast > 0) columns.insert(columns.end() - 1, {"forecast", "its CRPS", "its ssr"});
  return columns;
}

std::vector<std::string> cells_of(const ComparedMethod& m, const Comparison& c) {
  if (m.failures > 0) {
    std::vector<std::string> cells(columns_of(c).size(), "-");
    cells[0] = m.space;
    cells[1] = fmt::format("failed in {} of {} runs", m.failures, c.truths * c.seeds);
    return cells;
  }
  std::vector<std::string> cells{
      m.space,         shown(m.rel_rmse, 4),   shown(m.param_error, 4), shown(m.crps, 4),
      shown(m.ssr, 2), shown(m.coverage90, 3), shown(m.param_z_rms, 2), shown_seconds(m.seconds)};
  if (c.forecast > 0)
    cells.insert(cells.end() - 1, {shown(m.forecast_rel_rmse, 4), shown(m.forecast_crps, 4), shown(m.forecast_ssr, 2)});
  return cells;
}

std::string explained(const Comparison& c) {
  return fmt::format(
      "{}: {} {}truths, {} draw(s) of the observation errors each. +- is the standard error over truths (of means "
      "after averaging over draws; of ssr and z by leaving one truth out).{}",
      c.experiment, c.truths, c.validation ? "validation " : "", c.seeds,
      c.forecast > 0 ? fmt::format(" The forecast is of the {} frames after the last analysis.", c.forecast) : "");
}

}  // namespace

const ComparedMethod& Comparison::method(const std::string& key) const {
  for (const ComparedMethod& m : methods)
    if (m.key == key) return m;
  throw Error(fmt::format("comparison: {} is not there", key));
}

Comparison compare(const Config& config, const models::Surrogate& surrogate, const Dataset& data,
                   const ComparisonOptions& options) {
  const std::vector<std::string>& names = experiment_names();
  if (std::find(names.begin(), names.end(), options.experiment) == names.end())
    throw InputError("--experiment", options.experiment, fmt::format("is none of {}", fmt::join(names, ", ")));
  const std::vector<Entry> all = entries(config, options.methods);
  const std::vector<Truth> truths = options.validation ? validation_truths(config, data, options.experiment)
                                                       : draw_truths(config, data, options.experiment);
  const Moments moments = field_moments(data);
  const auto path = [&](const Entry& entry, const Truth& truth, std::int64_t draw) {
    return options.folder / "scores" /
           fmt::format("{}-{:02}-{}-{}.json", options.experiment, truth.index, draw, entry.name);
  };

  std::vector<Cells> scores(all.size(), Cells(truths.size()));
  std::vector<std::vector<std::vector<std::optional<TruthScores>>>> finished(all.size());  // [entry][truth][draw]
  std::int64_t total_jobs = 0;
  std::int64_t done = 0;
  for (std::size_t e = 0; e < all.size(); ++e)
    for (const Truth& truth : truths) {
      auto& draws = finished[e].emplace_back();
      for (std::int64_t draw = 0; draw < (all[e].sees_noise() ? options.seeds : 1); ++draw) {
        draws.push_back(
            read_truth_scores(path(all[e], truth, draw), job_fingerprint(all[e], data, options, draw), {all[e].name}));
        ++total_jobs;
        done += draws.back() ? 1 : 0;
      }
    }
  nn::Progress progress("compare", total_jobs, options.progress, done);
  const LatentSpace latent(config, surrogate);
  std::optional<FullSpace> full;  // made where it is needed: a solver may have to burn in
  const auto space_of = [&](const MethodRow& row) -> const Space& {
    if (row.space == SpaceName::latent) return latent;
    if (!full) full.emplace(config, surrogate, data, moments);
    return *full;
  };
  for (std::size_t i = 0; i < truths.size(); ++i)
    for (std::int64_t draw = 0; draw < options.seeds; ++draw) {
      std::optional<ObservationFile> file;  // made where there is something to be done
      std::optional<Scorer> scorer;
      for (std::size_t e = 0; e < all.size(); ++e) {
        const Entry& entry = all[e];
        if (draw >= static_cast<std::int64_t>(finished[e][i].size())) continue;
        std::optional<TruthScores>& own = finished[e][i][draw];
        if (!own) {
          if (options.stop && options.stop())
            throw Interrupted(
                fmt::format("stopped after {} of {} runs; the same command goes on from there", done, total_jobs));
          if (!file) {
            file = observe_truth(config, data, moments, truths[i], options.experiment, draw);
            scorer.emplace(config, surrogate, data, *file);
          }
          own = TruthScores{.truth = truths[i], .methods = {}};
          MethodScores& result = own->methods[entry.name];
          if (entry.baseline != nullptr) {
            result = ((*scorer).*entry.baseline->score)();
          } else {
            try {
              const Space& space = space_of(*entry.method);
              const auto method = entry.method->make({.config = entry.config,
                                                      .about = surrogate.about,
                                                      .solver = full ? &full->model() : nullptr,
                                                      .encoder = options.encoder});
              result = run_method(entry.config, *method, space, *scorer, *file, surrogate.about,
                                  method_seed(config, truths[i], draw));
            } catch (const InputError&) {
              throw;  // of the configuration
            } catch (const Error& error) {
              result.failure = error.what();  // of the method: the others go on
            }
          }
          write_truth_scores(path(entry, truths[i], draw), *own, job_fingerprint(entry, data, options, draw));
          progress.update(++done, fmt::format("{} {}", entry.name, result.failure));
        }
        scores[e][i].push_back(own->methods.at(entry.name));
      }
    }
  Comparison comparison{.experiment = options.experiment,
                        .validation = options.validation,
                        .truths = static_cast<std::int64_t>(truths.size()),
                        .seeds = options.seeds,
                        .forecast = config.assimilation.forecast,
                        .methods = {}};
  for (std::size_t e = 0; e < all.size(); ++e) comparison.methods.push_back(summarise(all[e], scores[e]));
  return comparison;
}

void write_comparison(const fs::path& path, const Config& config, const models::Surrogate& surrogate,
                      const Comparison& comparison) {
  Json methods;
  for (const ComparedMethod& m : comparison.methods) {
    Json& own = methods[m.key] = {{"space", m.space}};
    const auto add = [&](const char* key, const Figure& figure) {
      own[key] = json_number(figure.value);
      own[std::string(key) + "_error"] = json_number(figure.error);
    };
    add("rel_rmse", m.rel_rmse);
    own["rel_rmse_per_truth"] = json_numbers(m.rel_rmse_per_truth);
    own["rel_rmse_per_time"] = json_numbers(m.rel_rmse_per_time);
    own["rel_spread_per_time"] = json_numbers(m.rel_spread_per_time);
    add("param_error", m.param_error);
    add("param_z_rms", m.param_z_rms);
    add("ssr", m.ssr);
    add("ssr_without_model_error", m.ssr_without_model_error);
    add("crps", m.crps);
    add("coverage90", m.coverage90);
    add("seconds", m.seconds);
    if (comparison.forecast > 0) {
      add("forecast_rel_rmse", m.forecast_rel_rmse);
      own["forecast_rel_rmse_per_time"] = json_numbers(m.forecast_rel_rmse_per_time);
      own["forecast_rel_spread_per_time"] = json_numbers(m.forecast_rel_spread_per_time);
      add("forecast_ssr", m.forecast_ssr);
      add("forecast_crps", m.forecast_crps);
      add("forecast_coverage90", m.forecast_coverage90);
    }
    own["failures"] = m.failures;
    if (m.failures > 0) own["failure"] = m.failure;
  }
  const Json all{{"schema", 1},
                 {"kind", "comparison"},
                 {"case", surrogate.about.case_name},
                 {"preset", config.preset},
                 {"seed", config.seed},
                 {"version", version()},
                 {"truths", comparison.truths},
                 {"truths_from", comparison.validation ? "validation" : "test"},
                 {"draws", comparison.seeds},
                 {"sensors", config.observations.sensors},
                 {"every", config.observations.every},
                 {"sigma", config.observations.sigma},
                 {"members", config.assimilation.members},
                 {"window", config.assimilation.window},
                 {"shift", config.assimilation.shift},
                 {"experiments", {{comparison.experiment, {{"methods", methods}}}}}};
  nn::write_text_file(path, all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::string markdown_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths(rows[0].size(), 3);
  for (const auto& row : rows)
    for (std::size_t k = 0; k < row.size(); ++k) widths[k] = std::max(widths[k], row[k].size());
  std::string text;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t k = 0; k < rows[r].size(); ++k) text += fmt::format("| {:<{}} ", rows[r][k], widths[k]);
    text += "|\n";
    if (r > 0) continue;
    for (const std::size_t width : widths) text += fmt::format("|{:-<{}}", "", width + 2);
    text += "|\n";
  }
  return text;
}

std::string comparison_table(const Comparison& comparison) {
  std::vector<std::vector<std::string>> rows{columns_of(comparison)};
  rows[0].insert(rows[0].begin(), "method");
  for (const ComparedMethod& m : comparison.methods) {
    rows.push_back(cells_of(m, comparison));
    rows.back().insert(rows.back().begin(), m.key);
  }
  std::string text = markdown_table(rows) + "\n" + explained(comparison) + "\n";
  for (const ComparedMethod& m : comparison.methods)
    if (m.failures > 0) text += fmt::format("{} failed, first: {}\n", m.key, m.failure);
  return text;
}

void write_comparison_report(const fs::path& path, const Config& config, const models::Surrogate& s,
                             const Dataset& data, const Comparison& comparison) {
  const TimeUnit time = shown_time_unit(s.about);
  Report report{
      .title = fmt::format("{}, preset {}: methods compared", s.about.case_name, config.preset),
      .facts = {{"Observations",
                 fmt::format("{}, every {} frame(s), error {} standard deviations", config.observations.sensors,
                             config.observations.every, config.observations.sigma)},
                {"Ensemble", fmt::format("{} members, windows of {} frames shifted by {}", config.assimilation.members,
                                         config.assimilation.window, config.assimilation.shift)},
                {"Data", fmt::format("{} training and {} test trajectories", data.train, data.test)},
                {"Program", fmt::format("levda {} on {}, {}", version(), machine(), timestamp())}},
      .experiments = {}};
  std::vector<std::string> keys;
  for (const ComparedMethod& m : comparison.methods) keys.push_back(m.key);
  for (const Entry& entry : entries(config, keys)) report.facts.emplace_back(entry.name, entry.help);
  ExperimentReport experiment{.name = comparison.experiment,
                              .description = explained(comparison),
                              .truth_label = {},
                              .maps = {},
                              .frames = {},
                              .time_unit = time.name,
                              .times = {},
                              .curves = {},
                              .forecast_from = {},
                              .floor = comparison.method("floor").rel_rmse.value,
                              .parameters = {},
                              .ranks = {},
                              .scalings = {},
                              .score_columns = columns_of(comparison),
                              .score_rows = {}};
  for (const double t : analysis_times(config, s.about, comparison.experiment))
    experiment.times.push_back(t / time.length);
  if (comparison.forecast > 0) experiment.forecast_from = experiment.times.back();
  for (const double t : forecast_times(config, s.about, comparison.experiment))
    experiment.times.push_back(t / time.length);
  for (const ComparedMethod& m : comparison.methods) {
    experiment.score_rows.emplace_back(m.key, cells_of(m, comparison));
    if (m.key == "floor") continue;
    MethodCurve& curve = experiment.curves.emplace_back(MethodCurve{m.key, m.rel_rmse_per_time, m.rel_spread_per_time});
    const auto append = [](std::vector<double>& to, const std::vector<double>& more) {
      to.insert(to.end(), more.begin(), more.end());
    };
    append(curve.error, m.forecast_rel_rmse_per_time);
    append(curve.spread, m.forecast_rel_spread_per_time);
  }
  report.experiments.push_back(std::move(experiment));
  write_report(path, report);
}

}  // namespace levda::experiments
