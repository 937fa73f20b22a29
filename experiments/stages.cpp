#include "experiments/stages.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "autodiff/error.h"
#include "experiments/config/version.h"
#include "experiments/data/notes.h"
#include "experiments/data/observation_file.h"
#include "experiments/data/shards.h"
#include "experiments/data/shown_number.h"
#include "experiments/process.h"
#include "experiments/study/calibration.h"
#include "experiments/study/report_data.h"
#include "experiments/study/results.h"
#include "experiments/study/score_files.h"
#include "experiments/training/encoder_training.h"
#include "experiments/twin/full_state.h"
#include "experiments/twin/methods.h"
#include "experiments/twin/remarks.h"
#include "nn/atomic_file.h"
#include "nn/progress.h"

namespace levda::experiments {

namespace fs = std::filesystem;

namespace {

/// Relative difference by which a time in a file may miss the time that was meant.
constexpr double slack = 1e-9;

template <typename... Args>
void say(fmt::format_string<Args...> format, Args&&... args) {
  tell(stderr, "{}\n", fmt::format(format, std::forward<Args>(args)...));
}

/// Text that is equal exactly where analyses and their scores are.
std::string assimilation_fingerprint(const Experiment& e) {
  constexpr int format = 1;  // counts changes of what analyses and scores mean
  return observation_fingerprint(e.config(), *e.data) + fingerprint(e.config(), {"assimilation"}) +
         fmt::format("weights = {}\nlevda = {}, analysis {}\n", e.weights, results_version(), format);
}

/// Observations of a truth of this configuration. Throws InputError when the file is of another one.
ObservationFile read_twin(const Experiment& e, const std::string& experiment, std::int64_t truth) {
  const fs::path path = e.request.observation_path(experiment, truth);
  const std::vector<double> times = analysis_times(e.config(), e.surrogate->about, experiment);
  ObservationFile file = read_observations(path, e.surrogate->about, times.back() + slack * times.back());
  if (!file.truth) throw InputError(path.string(), "truth_member", "missing: not of a twin experiment");
  if (file.fingerprint != observation_fingerprint(e.config(), *e.data))
    throw InputError(path.string(), "levda_configuration", "of another configuration; run levda observe first");
  const Truth own = draw_truths(e.config(), *e.data, experiment)[static_cast<std::size_t>(truth)];
  if (std::tuple(file.truth->index, file.truth->member, file.truth->start, file.experiment) !=
      std::tuple(own.index, own.member, own.start, experiment))
    throw InputError(path.string(), "truth_index", "of another truth; run levda observe first");
  return file;
}

/// As fingerprint_of; a damaged file of a run has none, and is made anew.
std::string fingerprint_if_whole(const fs::path& path) {
  try {
    return fingerprint_of(path);
  } catch (const InputError&) {
    note(path.string(), "damaged; it is made anew");
    return "";
  }
}

/// Scores of an experiment's truths; nullopt where there are none of this configuration.
std::vector<std::optional<TruthScores>> finished_scores(const Experiment& e, const std::string& experiment) {
  const std::string configuration = assimilation_fingerprint(e);
  std::vector<std::optional<TruthScores>> scores;
  for (std::int64_t i = 0; i < e.config().observations.truths; ++i) {
    // Both files must be of this configuration: a kill may have come between them.
    const bool there = fingerprint_if_whole(e.request.analysis_path(experiment, i, "nc")) == configuration;
    scores.push_back(there ? read_truth_scores(e.request.analysis_path(experiment, i, "json"), configuration)
                           : std::nullopt);
    if (scores.back() && scores.back()->truth.index != i) scores.back().reset();
  }
  return scores;
}

/// The scores of all truths. Throws InputError when the scores of a truth are missing.
std::vector<TruthScores> all_scores(const Experiment& e, const std::string& experiment) {
  std::vector<TruthScores> all;
  for (std::optional<TruthScores>& scores : finished_scores(e, experiment)) {
    if (!scores)
      throw InputError(e.request.analysis_path(experiment, static_cast<std::int64_t>(all.size()), "json").string(), "",
                       "missing or of another configuration; run levda assimilate first");
    all.push_back(std::move(*scores));
  }
  return all;
}

std::vector<Summary> summaries_of(const Experiment& e) {
  std::vector<Summary> summaries;
  for (const std::string& experiment : experiment_names())
    summaries.push_back(summarise(study_of(e.config(), experiment, all_scores(e, experiment))));
  return summaries;
}

/// The truth with the median error, a typical truth.
std::int64_t median_truth(const std::vector<double>& errors) {
  std::vector<std::pair<double, std::int64_t>> sorted;
  for (const double error : errors) sorted.emplace_back(error, static_cast<std::int64_t>(sorted.size()));
  std::sort(sorted.begin(), sorted.end());
  return sorted[sorted.size() / 2].second;
}

/// Time of the last observation that is to be assimilated.
double last_observed(const da::Observations& o) {
  double last = 0;
  for (const std::int64_t i : o.in_window(0, std::numeric_limits<double>::infinity())) last = std::max(last, o.time[i]);
  return last;
}

/// LD-EnSF's encoder of an experiment, from a folder, or trained into it where the file is of another configuration.
models::TrainedEncoder encoder_in(const Experiment& e, const fs::path& folder, const std::string& experiment) {
  const fs::path path = folder / fmt::format("encoder-{}.safetensors", experiment);
  const fs::path checkpoint = folder / fmt::format("encoder-{}.checkpoint.safetensors", experiment);
  if (trained_configuration(path) != encoder_fingerprint(e.config(), *e.data, *e.surrogate, experiment)) {
    const SavesItself training;
    models::TrainedEncoder encoder = train_encoder(e.config(), *e.data, *e.surrogate, experiment,
                                                   {.checkpoint = checkpoint,
                                                    .threads = e.request.threads,
                                                    .progress = stderr,
                                                    .stop = e.request.stop,
                                                    .backend = e.request.backend});
    encoder.provenance["command"] = e.request.command;
    models::save_encoder(path, encoder);
    std::error_code ignored;
    fs::remove(nn::link_target(checkpoint), ignored);
  }
  say("encoder: {}", path.string());
  return models::load_encoder(path);
}

/// The request without finer truths, which take long to compute.
Request with_own_truths(Request request) {
  request.config.observations.refinement = 1;
  return request;
}

/// Makes the data set and the weights where they are not there, and opens the experiment.
Experiment provide(Request request, const Needs& needs, bool retrain, const std::vector<std::string>& methods = {}) {
  require_no_solver(request.config, methods);
  if (request.data.empty() && fingerprint_if_whole(request.data_path()) != fingerprint(request.config, {"data"}))
    generate(request);
  say("data: {}", request.data_path().string());
  // A configuration that cannot be assimilated is refused before a training, not after it.
  const Experiment untrained = open(with_own_truths(request), {.surrogate = false});
  for (const std::string& name : methods)
    if (runs_solver(name)) require_own_data(request.config, *untrained.data);
  if (retrain || !choose_weights(request, *untrained.data)) {
    if (!retrain) say("weights: the shipped ones are of another configuration; training");
    train(request, &*untrained.data);
  }
  say("weights: {}", request.weights_path().string());
  return open(request, needs, &untrained);
}

Summary compare_into(const fs::path& folder, const Experiment& e, const CompareOptions& options) {
  nn::remove_unfinished(folder / "scores");
  std::optional<models::TrainedEncoder> encoder;
  if (std::any_of(options.methods.begin(), options.methods.end(),
                  [](const std::string& name) { return name.starts_with("ldensf"); }))
    // It is measured on the data set's test trajectories, not on finer truths in their place.
    encoder = encoder_in(e.fine_truths.empty() ? e : open(e.request, {.twin = false}, &e), folder, options.experiment);
  const Summary summary = summarise(run_study(e.config(), *e.surrogate, *e.data,
                                              {.methods = options.methods,
                                               .draws = options.draws,
                                               .experiment = options.experiment,
                                               .validation = options.validation,
                                               .folder = folder,
                                               .weights = e.weights,
                                               .encoder = encoder ? &*encoder : nullptr,
                                               .stop = e.request.stop,
                                               .progress = stderr}));
  write_results(folder / "results.json", "comparison", e.config(), *e.surrogate, {summary});
  nn::write_text_file(folder / "table.md", text_of({summary}));
  return summary;
}

}  // namespace

void generate(const Request& request) {
  generate_files(request.config, request.data_path(),
                 {.threads = request.threads, .progress = stderr, .stop = request.stop});
}

void train(const Request& request, const Dataset* data) {
  const fs::path path = request.out / "weights.safetensors";
  const fs::path checkpoint = request.out / "training.checkpoint.safetensors";
  const std::int64_t pool = request.config.training.pool;
  std::optional<Dataset> read;
  if (data == nullptr || pool > 0) read = read_data(request, pool, pool > 0 ? Keep::none : Keep::all);
  const SavesItself training;
  models::Surrogate surrogate = train_surrogate(request.config, read ? *read : *data,
                                                {.checkpoint = checkpoint,
                                                 .threads = request.threads,
                                                 .progress = stderr,
                                                 .stop = request.stop,
                                                 .backend = request.backend,
                                                 .placement = Placement::automatic});
  surrogate.provenance["command"] = request.command;
  models::save_surrogate(path, surrogate);
  std::error_code ignored;
  fs::remove(nn::link_target(checkpoint), ignored);
  say("train: test_rel_rmse {}", surrogate.provenance.at("test_rel_rmse"));
}

void encode(const Experiment& e) {
  for (const std::string& experiment : experiment_names()) encoder_in(e, e.request.out, experiment);
}

void observe(const Experiment& e) {
  const Moments moments = field_moments(*e.data);
  for (const std::string& experiment : experiment_names())
    for (const Truth& truth : draw_truths(e.config(), *e.data, experiment))
      write_observations(e.request.observation_path(experiment, truth.index),
                         observe_truth(e.config(), *e.data, moments, truth, experiment), e.data->about);
  say("observations: {} truths in {}", e.config().observations.truths, (e.request.out / "observations").string());
}

void assimilate(const Experiment& e, std::int64_t batch) {
  const std::string configuration = assimilation_fingerprint(e);
  std::vector<ObservationFile> open;  // without scores
  std::int64_t done = 0;
  for (const std::string& experiment : experiment_names()) {
    const auto finished = finished_scores(e, experiment);
    for (std::size_t i = 0; i < finished.size(); ++i) {
      if (!finished[i]) open.push_back(read_twin(e, experiment, static_cast<std::int64_t>(i)));
      done += finished[i] ? 1 : 0;
    }
  }
  std::optional<TrainingTable> table;  // only where the training trajectories are not in memory
  if (e.data->in_memory > 0 && !open.empty()) table.emplace(e.config(), *e.surrogate, *e.data, open);
  const std::int64_t all = done + static_cast<std::int64_t>(open.size());
  nn::Progress progress("assimilate", all, stderr, done);
  const bool on_cpu = e.request.backend->device() == autodiff::Device::cpu;
  const auto together = static_cast<std::size_t>(batch > 0 ? batch : on_cpu ? 1 : all);
  for (std::size_t begin = 0, end = 0; begin < open.size(); begin = end) {
    while (end < open.size() && end - begin < together && open[end].experiment == open[begin].experiment) ++end;
    const auto group = std::span(open).subspan(begin, end - begin);
    const std::vector<LatentAnalysis> analyses = experiments::assimilate(e.config(), *e.surrogate, group);
    for (std::size_t k = 0; k < group.size(); ++k) {
      const std::string& experiment = group[k].experiment;
      const std::int64_t truth = group[k].truth->index;
      write_analysis(e.request.analysis_path(experiment, truth, "nc"), e.config(), *e.surrogate, group[k], analyses[k],
                     configuration);
      const TruthScores scores =
          score(e.config(), *e.surrogate, *e.data, group[k], analyses[k], table ? &*table : nullptr);
      write_truth_scores(e.request.analysis_path(experiment, truth, "json"), scores, configuration);
      progress.update(++done, experiment);
    }
    if (e.request.stopped())
      throw Interrupted(fmt::format("stopped after {} of {} truths; the same command goes on from there", done, all));
  }
  const fs::path path = e.request.out / "results.json";
  write_results(path, "run", e.config(), *e.surrogate, summaries_of(e));
  say("results: {}", path.string());
}

void assimilate_file(const Request& request, const FileOptions& options) {
  const std::shared_ptr<const models::Surrogate> surrogate = read_surrogate(request);
  const models::Description& about = surrogate->about;
  Config config = request.config;
  if (!config.case_name.empty() && about.case_name != config.case_name)
    throw InputError(request.weights_path().string(), "case",
                     fmt::format("is {}, not {}", about.case_name, config.case_name));
  const std::int64_t frames = config.assimilation.frames > 0 ? config.assimilation.frames : about.frames;
  const double last_time = (1 + slack) * static_cast<double>(frames) * about.frame_interval;
  ObservationFile observations = read_observations(options.observations, about, last_time);
  if (!options.experiment.empty()) observations.experiment = options.experiment;
  if (observations.experiment.empty()) observations.experiment = "warm";
  if (observations.experiment == "cold") {
    const da::Observations& o = observations.observations;
    for (const std::int64_t i : o.in_window(0, (1 - slack) * about.frame_interval))
      throw InputError(options.observations.string(), "time",
                       fmt::format("{}: {} is before the first frame, {}, where a cold start has no fields yet",
                                   da::row_name(i, observations.lines), o.time[i], about.frame_interval));
  }
  // Frames up to the last observation. The first frame of a cold start comes one step after the control vector.
  const double span = last_observed(observations.observations) / about.frame_interval;
  const auto observed = static_cast<std::int64_t>(observations.experiment == "cold" ? std::ceil(span - slack)
                                                                                    : std::floor(span + slack) + 1);
  config.assimilation = resolve(config.assimilation, about.frames, observed);
  check_frames(config, about, request.weights_path().string());
  if (observations.experiment == "warm") tell_starts(config, about, request.config.assimilation.start_max >= 0);
  const LatentAnalysis analysis = experiments::assimilate(config, *surrogate, {&observations, 1}).front();
  const fs::path path = request.out / "analysis.nc";
  write_analysis(path, config, *surrogate, observations, analysis,
                 fingerprint(config, {"assimilation", "seed"}) +
                     fmt::format("weights = {}\n", checksum(models::content(*surrogate))));
  tell_misfit(analysis, observations.observations);
  const da::Ensemble& last = analysis.ensembles.back();
  const std::vector<double> members = physical_parameters(*surrogate, last);
  for (std::int64_t k = 0; k < about.parameters(); ++k) {
    double sum = 0;
    double squares = 0;
    for (std::int64_t i = 0; i < last.size(); ++i) sum += members[i * about.parameters() + k];
    const double mean = sum / static_cast<double>(last.size());
    tell_range(about, k, mean);
    for (std::int64_t i = 0; i < last.size(); ++i) squares += std::pow(members[i * about.parameters() + k] - mean, 2);
    const double deviation = std::sqrt(squares / static_cast<double>(last.size() - 1));
    print_result(fmt::format("{} = {}\n", about.parameter_names[k],
                             with_unit(shown_number(mean, deviation), about.parameter_units[k])));
  }
  say("analysis: {}", path.string());
}

void report(const Experiment& e) {
  const std::vector<Summary> summaries = summaries_of(e);
  std::vector<ShownTruth> shown;
  for (const Summary& s : summaries) {
    const std::int64_t index = median_truth(s.method("levda").analysis.rel_rmse_per_truth);
    shown.push_back({.observations = read_twin(e, s.experiment, index),
                     .analysis = read_analysis(e.request.analysis_path(s.experiment, index, "nc"), *e.surrogate)});
  }
  const fs::path path = e.request.out / "report.html";
  const Report page = make_report(e.config(), *e.surrogate, *e.data, summaries, shown);
  write_report(path, page);
  write_pictures(e.request.out / "pictures", page.experiments.front());
  print_result(text_of(summaries));
  say("report: {}", path.string());
}

void calibrate(const Request& request, const std::string& experiment) {
  if (request.config.observations.refinement > 1)
    throw InputError("configuration", "observations.refinement",
                     "a calibration takes its truths from the data set's own solver");
  const Experiment e = open(request, {.keep = Keep::all});
  print_result(text_of(experiments::calibrate(e.config(), *e.surrogate, *e.data, experiment,
                                              {.progress = stderr, .stop = request.stop})));
}

void compare(const Request& request, const CompareOptions& options) {
  if (options.validation && request.config.observations.refinement > 1)
    throw InputError("configuration", "observations.refinement",
                     "--validation takes truths from the data set's own solver");
  for (const std::string& name : options.methods)
    choose_method(request.config, name);  // wrong names are refused before hours of other work
  const Experiment e = provide(request, {.keep = Keep::all, .members = true}, false, options.methods);
  const fs::path folder = request.out / (options.validation ? "validation" : "compare");
  const Summary summary = compare_into(folder, e, options);
  write_report(folder / "report.html", make_report(e.config(), *e.surrogate, *e.data, {summary}));
  print_result(text_of({summary}));
  say("comparison: {}", folder.string());
}

void sweep(const Request& request, const CompareOptions& options, const std::string& over) {
  for (const std::string& name : options.methods) choose_method(request.config, name);
  if (request.config.case_name.empty() && over.find("scattered:") != std::string::npos)
    throw InputError("--over", over, "scattered values need a solver, which a system of one's own has not");
  const Experiment base =
      provide(with_own_truths(request), {.keep = Keep::all, .members = true}, false, options.methods);
  SweepResult result{.sweep = parse_sweep(over, base.data->about.grid), .summaries = {}};
  const auto request_of = [&](std::size_t i) {
    Request changed = base.request;
    changed.config = request.config;  // not yet settled
    for (const std::string& setting : result.sweep.settings[i]) apply_setting(changed.config, setting);
    check(changed.config);
    for (const std::string& name : options.methods) choose_method(changed.config, name);
    return changed;
  };
  for (std::size_t i = 0; i < result.sweep.values.size(); ++i)  // check all before the first is computed
    open(with_own_truths(request_of(i)), base.needs, &base);
  const fs::path folder = request.out / "sweep" / result.sweep.name;
  Experiment e = base;
  for (std::size_t i = 0; i < result.sweep.values.size(); ++i) {
    say("sweep: {} = {}", result.sweep.name, result.sweep.values[i]);
    e = open(request_of(i), base.needs, &e);
    result.summaries.push_back(compare_into(folder / result.sweep.values[i], e, options));
  }
  write_results(folder / "results.json", base.config(), *base.surrogate, result);
  nn::write_text_file(folder / "table.md", text_of(result));
  write_sweep_report(folder, base.config(), *base.surrogate, *base.data, result);
  print_result(text_of(result));
  say("sweep: {}", folder.string());
}

void run(const Request& request, bool retrain, std::int64_t batch) {
  const Experiment e = provide(request, {.keep = Keep::tests}, retrain);
  bool observed = true;
  for (const std::string& experiment : experiment_names())
    for (std::int64_t i = 0; i < e.config().observations.truths; ++i)
      observed = observed && fingerprint_if_whole(e.request.observation_path(experiment, i)) ==
                                 observation_fingerprint(e.config(), *e.data);
  if (!observed) observe(e);
  assimilate(e, batch);
  report(e);
}

}  // namespace levda::experiments
