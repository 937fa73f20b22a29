#include "experiments/pipeline.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "autodiff/error.h"
#include "experiments/config/interrupted.h"
#include "experiments/config/version.h"
#include "experiments/data/dataset_file.h"
#include "experiments/data/netcdf_file.h"
#include "experiments/data/observation_file.h"
#include "experiments/data/shards.h"
#include "experiments/study/calibration.h"
#include "experiments/study/report_data.h"
#include "experiments/study/sweep.h"
#include "experiments/training/encoder_training.h"
#include "experiments/training/training.h"
#include "experiments/twin/fine_truths.h"
#include "experiments/twin/methods.h"
#include "nn/atomic_file.h"
#include "nn/progress.h"

namespace levda::experiments {

namespace fs = std::filesystem;

namespace {

/// Share by which a time in a file may miss the one that was meant.
constexpr double slack = 1e-9;

template <typename... Args>
void say(fmt::format_string<Args...> format, Args&&... args) {
  fmt::print(stderr, format, std::forward<Args>(args)...);
  std::fputc('\n', stderr);
}

/// Throws InputError naming what of the weights does not fit the data.
void check_match(const models::Surrogate& s, const Dataset& data, const fs::path& weights, bool with_case) {
  const models::Description& a = s.about;
  const models::Description& b = data.about;
  const auto need = [&](bool equal, const char* field) {
    if (!equal) throw InputError(weights.string(), field, "differs from the data set's");
  };
  need(!with_case || a.case_name == b.case_name, "case");
  need(a.channel_names == b.channel_names, "channel_names");
  need(a.parameter_names == b.parameter_names, "parameter_names");
  const auto near = [](const std::vector<double>& x, const std::vector<double>& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(),
                      [](double p, double q) { return std::abs(p - q) <= 1e-9 * (std::abs(p) + std::abs(q)); });
  };
  need(near(a.parameter_min, b.parameter_min), "parameter_min");
  need(near(a.parameter_max, b.parameter_max), "parameter_max");
  need(a.grid.nx == b.grid.nx && a.grid.ny == b.grid.ny && a.grid.listed() == b.grid.listed(), "grid");
  need(a.grid.geometry == b.grid.geometry, "grid_geometry");
  need(std::abs(a.grid.x0 - b.grid.x0) + std::abs(a.grid.y0 - b.grid.y0) <= 1e-6 * a.grid.dx, "grid_x0");
  need(std::abs(a.grid.dx - b.grid.dx) <= 1e-9 * a.grid.dx && std::abs(a.grid.dy - b.grid.dy) <= 1e-9 * a.grid.dy,
       "grid_dx");
  need(near(a.grid.x, b.grid.x), "grid.x");
  need(near(a.grid.y, b.grid.y), "grid.y");
  need(near(a.grid.offset_x, b.grid.offset_x), "grid.offset_x");
  need(near(a.grid.offset_y, b.grid.offset_y), "grid.offset_y");
  need(a.frames == b.frames, "frames");
  need(std::abs(a.first_time - b.first_time) <= 1e-9 * a.frame_interval, "first_time");
  need(std::abs(a.frame_interval - b.frame_interval) <= 1e-9 * a.frame_interval, "frame_interval");
}

/// The prior's latent states are of the weights' training trajectories, its full states of the data set's.
void check_members(const models::Surrogate& s, const Dataset& data, const fs::path& weights) {
  const std::vector<double> own = s.training_parameters.to_vector();
  const std::span<const double> there(data.parameters.data(), std::min(own.size(), data.parameters.size()));
  const bool same = s.training_parameters.shape()[0] == data.train && own.size() == there.size() &&
                    std::equal(own.begin(), own.end(), there.begin(), [](double a, double b) {
                      return std::abs(a - b) <= 1e-9 * (std::abs(a) + std::abs(b));
                    });
  if (!same)
    throw InputError(weights.string(), "training_parameters",
                     "trained on other trajectories than the data set's; methods would have different members");
}

/// The folder of the run, made and writable: fails now rather than after an hour.
fs::path checked_folder(const RunOptions& options) {
  check(options.config);
  const nn::AtomicFile probe(options.out / "probe");  // removed at once
  return options.out;
}

/// Time of the last observation that is to be assimilated.
double last_observed(const da::Observations& o) {
  double last = 0;
  for (const std::int64_t i : o.in_window(0, std::numeric_limits<double>::infinity())) last = std::max(last, o.time[i]);
  return last;
}

/// The configuration that the weights were trained with, or "" where the file is missing.
std::string weights_fingerprint(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return "";
  const models::Surrogate s = models::load_surrogate(path);
  const auto entry = s.provenance.find("levda_configuration");
  return entry == s.provenance.end() ? "" : entry->second;
}

/// The same of an encoder.
std::string encoder_fingerprint_of(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return "";
  const models::TrainedEncoder encoder = models::load_encoder(path);
  const auto entry = encoder.provenance.find("levda_configuration");
  return entry == encoder.provenance.end() ? "" : entry->second;
}

}  // namespace

fs::path pretrained_folder() {
  if (const char* folder = std::getenv("LEVDA_PRETRAINED")) return folder;
  // Where an installed program finds them, wherever it was installed to; in a build tree there is no such folder.
  std::error_code none;
  const fs::path installed = fs::read_symlink("/proc/self/exe", none).parent_path() / LEVDA_INSTALLED_PRETRAINED;
  return fs::is_directory(installed, none) ? installed.lexically_normal() : LEVDA_PRETRAINED_FOLDER;
}

Pipeline::Pipeline(RunOptions options) : options_(std::move(options)), lock_(checked_folder(options_)) {
  if (options_.retrain && !options_.weights.empty())
    throw InputError("--retrain", "", "goes to OUT/weights.safetensors; leave --weights out");
  for (const fs::path& folder : {options_.out, options_.out / "data", options_.out / "observations",
                                 options_.out / "analysis", options_.out / "pictures"})
    nn::remove_unfinished(folder);
}

fs::path Pipeline::data_path() const { return options_.data.empty() ? options_.out / dataset_name() : options_.data; }

fs::path Pipeline::weights_path() const {
  return options_.weights.empty() ? options_.out / "weights.safetensors" : options_.weights;
}

fs::path Pipeline::observation_path(const std::string& experiment, std::int64_t truth) const {
  return options_.out / "observations" / fmt::format("{}-{:02}.nc", experiment, truth);
}

fs::path Pipeline::analysis_path(const std::string& experiment, std::int64_t truth, const char* extension) const {
  return options_.out / "analysis" / fmt::format("{}-{:02}.{}", experiment, truth, extension);
}

std::string Pipeline::assimilation_fingerprint() {
  constexpr int format = 1;  // of analyses and scores: counts changes of what they mean
  return observation_fingerprint(options_.config, data()) + fingerprint(options_.config, {"assimilation"}) +
         fmt::format("weights = {}\nlevda = {}, analysis {}\n", weights_checksum(), results_version(), format);
}

std::string Pipeline::weights_checksum() {
  if (weights_checksum_.empty()) weights_checksum_ = checksum(models::content(surrogate()));
  return weights_checksum_;
}

ObservationFile Pipeline::read_twin(const std::string& experiment, std::int64_t truth) {
  const fs::path path = observation_path(experiment, truth);
  const std::vector<double> times = analysis_times(options_.config, surrogate().about, experiment);
  ObservationFile file = read_observations(path, surrogate().about, times.back() + slack * times.back());
  if (!file.truth) throw InputError(path.string(), "truth_member", "missing: not of a twin experiment");
  if (file.fingerprint != observation_fingerprint(options_.config, data()))
    throw InputError(path.string(), "levda_configuration", "of another configuration; run levda observe first");
  return file;
}

Dataset Pipeline::read_data(std::int64_t pool, Keep keep) const {
  Dataset data = read_dataset(data_path(), pool, options_.config.training.seed, keep);
  if (!options_.config.case_name.empty() && data.about.case_name != options_.config.case_name)
    throw InputError(data_path().string(), "case",
                     fmt::format("is {}, not {}", data.about.case_name, options_.config.case_name));
  return data;
}

const Dataset& Pipeline::data(Keep need) {
  need = options_.config.training.pool == 0 ? Keep::all : std::max(need, kept_);
  if (!data_ || kept_ < need) {
    data_.reset();
    truths_taken_.clear();
    data_ = read_data(0, need);
    kept_ = need;
  }
  return *data_;
}

const models::Surrogate& Pipeline::surrogate() {
  if (!surrogate_) {
    surrogate_ = models::load_surrogate(weights_path());
    surrogate_->net.parameters().move(*options_.backend);
  }
  return *surrogate_;
}

void Pipeline::generate() {
  if (!options_.data.empty())
    throw InputError("--data", options_.data.string(), "would be overwritten; generate goes to OUT/" + dataset_name());
  data_.reset();
  generate_files(options_.config, data_path(),
                 {.threads = options_.threads, .progress = stderr, .stop = options_.stop});
}

void Pipeline::train() {
  const fs::path path = options_.out / "weights.safetensors";
  const fs::path checkpoint = options_.out / "training.checkpoint.safetensors";
  const std::int64_t pool = options_.config.training.pool;
  std::optional<Dataset> pooled;
  if (pool > 0) {
    data_.reset();
    pooled = read_data(pool, Keep::none);
  }
  surrogate_ = train_surrogate(options_.config, pooled ? *pooled : data(),
                               {.checkpoint = checkpoint,
                                .threads = options_.threads,
                                .progress = stderr,
                                .stop = options_.stop,
                                .backend = options_.backend,
                                .placement = Placement::automatic});
  surrogate_->provenance["command"] = options_.command;
  models::save_surrogate(path, *surrogate_);
  surrogate_->net.parameters().move(*options_.backend);
  std::error_code ignored;
  fs::remove(checkpoint, ignored);
  weights_checksum_.clear();
  say("train: test_rel_rmse {}", surrogate_->provenance.at("test_rel_rmse"));
}

models::TrainedEncoder Pipeline::encoder_in(const fs::path& folder, const std::string& experiment) {
  const fs::path path = folder / fmt::format("encoder-{}.safetensors", experiment);
  const fs::path checkpoint = folder / fmt::format("encoder-{}.checkpoint.safetensors", experiment);
  const std::string configuration = encoder_fingerprint(options_.config, data(), surrogate(), experiment);
  // It may have been made before a stop.
  if (encoder_fingerprint_of(path) != configuration) {
    models::TrainedEncoder encoder = train_encoder(options_.config, data(), surrogate(), experiment,
                                                   {.checkpoint = checkpoint,
                                                    .threads = options_.threads,
                                                    .progress = stderr,
                                                    .stop = options_.stop,
                                                    .backend = options_.backend});
    encoder.provenance["command"] = options_.command;
    models::save_encoder(path, encoder);
    std::error_code ignored;
    fs::remove(checkpoint, ignored);
  }
  say("encoder: {}", path.string());
  return models::load_encoder(path);
}

void Pipeline::encode() {
  find_weights();
  check_match(surrogate(), data(), weights_path(), !options_.config.case_name.empty());
  for (const std::string& experiment : experiment_names()) encoder_in(options_.out, experiment);
}

void Pipeline::prepare_twin() {
  const models::Description& about = data().about;
  if (about.grid.listed())
    throw InputError(data_path().string(), "field",
                     "a list of points, where twin experiments need a regular grid; --observations FILE does not");
  if (has_missing(data()))
    throw InputError(data_path().string(), "field",
                     "has missing values, where twin experiments need complete fields; --observations FILE does not");
  Config& config = options_.config;
  config.assimilation = resolve(config.assimilation, about.frames, about.frames / 2);
  if (config.observations.truths == 0) config.observations.truths = std::min<std::int64_t>(16, data().test);
  const auto too_many = [&](const char* key, std::int64_t wanted, std::int64_t there, const char* of) {
    if (wanted > there)
      throw InputError("configuration", key,
                       fmt::format("{}, but {} has {} {}", wanted, data_path().string(), there, of));
  };
  too_many("observations.truths", config.observations.truths, data().test, "test trajectories");
  too_many("assimilation.members", config.assimilation.members, data().train, "training trajectories");
  constexpr std::int64_t least = 4;  // of a cubic
  if (about.grid.nx < least || about.grid.ny < least)
    throw InputError(
        data_path().string(), "field",
        fmt::format("{} x {} nodes, where twin experiments need {} x {}", about.grid.nx, about.grid.ny, least, least));
  check_sensors(config, about.grid);
  check_frames(config, about, data_path().string());
}

void Pipeline::observe() {
  require_netcdf("levda observe");
  data(Keep::tests);
  prepare_twin();
  take_truths();
  const Moments moments = field_moments(data());
  for (const std::string& experiment : experiment_names())
    for (const Truth& truth : draw_truths(options_.config, data(), experiment))
      write_observations(observation_path(experiment, truth.index),
                         observe_truth(options_.config, data(), moments, truth, experiment), data().about);
  say("observations: {} truths in {}", options_.config.observations.truths, (options_.out / "observations").string());
}

void Pipeline::take_truths() {
  std::string wanted;
  std::vector<std::int64_t> members;
  if (const std::int64_t times = options_.config.observations.refinement; times > 1) {
    for (const std::string& experiment : experiment_names())
      for (const Truth& truth : draw_truths(options_.config, data(), experiment)) members.push_back(truth.member);
    wanted = fmt::format("{} of {}", times, fmt::join(members, ", "));
  }
  if (wanted == truths_taken_) return;
  if (!truths_taken_.empty()) data_.reset();  // the next of a sweep, of other truths
  if (wanted.empty()) return;
  data();
  use_fine_truths(options_.config, members, options_.out / "truths.safetensors", *data_);
  truths_taken_ = wanted;
}

Pipeline::Finished Pipeline::finished_scores() {
  const std::string configuration = assimilation_fingerprint();
  Finished scores;
  for (const std::string& experiment : experiment_names()) {
    scores.emplace_back();
    for (std::int64_t i = 0; i < options_.config.observations.truths; ++i) {
      // Both files, and both of this configuration: a kill may have come between them.
      const bool there = fingerprint_of(analysis_path(experiment, i, "nc")) == configuration;
      scores.back().push_back(there ? read_truth_scores(analysis_path(experiment, i, "json"), configuration)
                                    : std::nullopt);
    }
  }
  return scores;
}

std::vector<std::vector<TruthScores>> Pipeline::all_scores() {
  std::vector<std::vector<TruthScores>> all;
  const auto finished = finished_scores();
  for (std::size_t e = 0; e < finished.size(); ++e) {
    all.emplace_back();
    for (std::size_t i = 0; i < finished[e].size(); ++i) {
      if (!finished[e][i])
        throw InputError(analysis_path(experiment_names()[e], static_cast<std::int64_t>(i), "json").string(), "",
                         "missing or of another configuration; run levda assimilate first");
      all.back().push_back(*finished[e][i]);
    }
  }
  return all;
}

std::optional<TrainingTable> Pipeline::training_table(const Finished& finished) {
  if (data().in_memory == 0) return std::nullopt;
  std::vector<ObservationFile> open;
  for (std::size_t e = 0; e < finished.size(); ++e)
    for (std::size_t i = 0; i < finished[e].size(); ++i)
      if (!finished[e][i]) open.push_back(read_twin(experiment_names()[e], static_cast<std::int64_t>(i)));
  if (open.empty()) return std::nullopt;
  return TrainingTable(options_.config, surrogate(), data(), open);
}

void Pipeline::assimilate() {
  require_netcdf("levda assimilate");
  if (!options_.observations.empty()) return assimilate_one_file();
  data(Keep::tests);
  find_weights();
  prepare_twin();
  check_match(surrogate(), data(), weights_path(), !options_.config.case_name.empty());
  take_truths();
  const std::string configuration = assimilation_fingerprint();
  const auto finished = finished_scores();
  const std::int64_t truths = options_.config.observations.truths;
  std::int64_t done = 0;
  for (const auto& experiment : finished)
    done += std::count_if(experiment.begin(), experiment.end(), [](const auto& s) { return s.has_value(); });
  const std::optional<TrainingTable> table = training_table(finished);
  nn::Progress progress("assimilate", truths * static_cast<std::int64_t>(finished.size()), stderr, done);
  const bool on_cpu = surrogate().net.parameters()[0].device() == autodiff::Device::cpu;
  const auto together = static_cast<std::size_t>(options_.batch > 0 ? options_.batch : on_cpu ? 1 : truths);
  for (std::size_t e = 0; e < finished.size(); ++e) {
    const std::string& experiment = experiment_names()[e];
    std::vector<std::int64_t> open;
    for (std::int64_t i = 0; i < truths; ++i)
      if (!finished[e][i]) open.push_back(i);
    for (std::size_t begin = 0; begin < open.size(); begin += together) {
      const auto group = std::span(open).subspan(begin, std::min(together, open.size() - begin));
      std::vector<ObservationFile> observations;
      for (const std::int64_t i : group) observations.push_back(read_twin(experiment, i));
      const std::vector<LatentAnalysis> analyses = experiments::assimilate(options_.config, surrogate(), observations);
      for (std::size_t k = 0; k < group.size(); ++k) {
        write_analysis(analysis_path(experiment, group[k], "nc"), options_.config, surrogate(), observations[k],
                       analyses[k], configuration);
        const TruthScores scores =
            score(options_.config, surrogate(), data(), observations[k], analyses[k], table ? &*table : nullptr);
        write_truth_scores(analysis_path(experiment, group[k], "json"), scores, configuration);
        progress.update(++done, experiment);
      }
      if (options_.stop && options_.stop())
        throw Interrupted(fmt::format("stopped after {} of {} truths; the same command goes on from there", done,
                                      truths * static_cast<std::int64_t>(finished.size())));
    }
  }
  std::vector<ExperimentSummary> results;
  const std::vector<std::vector<TruthScores>> scores = all_scores();
  for (std::size_t e = 0; e < scores.size(); ++e) results.push_back(summarise(experiment_names()[e], scores[e]));
  write_results(options_.out / "results.json", options_.config, surrogate(), results);
  say("results: {}", (options_.out / "results.json").string());
}

void Pipeline::assimilate_one_file() {
  const models::Description& about = surrogate().about;
  Config& config = options_.config;
  if (!config.case_name.empty() && about.case_name != config.case_name)
    throw InputError(weights_path().string(), "case", fmt::format("is {}, not {}", about.case_name, config.case_name));
  const std::int64_t frames = config.assimilation.frames > 0 ? config.assimilation.frames : about.frames;
  const double last_time = (1 + slack) * static_cast<double>(frames) * about.frame_interval;
  ObservationFile observations = read_observations(options_.observations, about, last_time);
  if (!options_.experiment.empty()) observations.experiment = options_.experiment;
  if (observations.experiment.empty()) observations.experiment = "warm";
  if (observations.experiment == "cold") {
    const da::Observations& o = observations.observations;
    for (const std::int64_t i : o.in_window(0, (1 - slack) * about.frame_interval))
      throw InputError(options_.observations.string(), "time",
                       fmt::format("row {}: {} is before the first frame, {}, where a cold start has no fields yet", i,
                                   o.time[i], about.frame_interval));
  }
  // The frames up to the last observation; the first one of a cold start comes one step after the control vector.
  const double span = last_observed(observations.observations) / about.frame_interval;
  const auto observed = static_cast<std::int64_t>(observations.experiment == "cold" ? std::ceil(span - slack)
                                                                                    : std::floor(span + slack) + 1);
  config.assimilation = resolve(config.assimilation, about.frames, observed);
  check_frames(config, about, weights_path().string());
  const LatentAnalysis analysis = experiments::assimilate(config, surrogate(), {&observations, 1}).front();
  const fs::path path = options_.out / "analysis.nc";
  write_analysis(path, config, surrogate(), observations, analysis,
                 fingerprint(config, {"assimilation", "seed"}) + "weights = " + weights_checksum() + "\n");
  const da::Ensemble& last = analysis.ensembles.back();
  const std::vector<double> members = physical_parameters(surrogate(), last);
  for (std::int64_t k = 0; k < about.parameters(); ++k) {
    double sum = 0;
    double squares = 0;
    for (std::int64_t i = 0; i < last.size(); ++i) sum += members[i * about.parameters() + k];
    const double mean = sum / static_cast<double>(last.size());
    for (std::int64_t i = 0; i < last.size(); ++i) squares += std::pow(members[i * about.parameters() + k] - mean, 2);
    fmt::print("{} = {:.6g} +- {:.2g} {}\n", about.parameter_names[k], mean,
               std::sqrt(squares / static_cast<double>(last.size() - 1)), about.parameter_units[k]);
  }
  say("analysis: {}", path.string());
}

void Pipeline::calibrate() {
  if (options_.config.observations.refinement > 1)
    throw InputError("configuration", "observations.refinement",
                     "a calibration takes its truths from the data set's own solver");
  find_weights();
  prepare_twin();
  check_match(surrogate(), data(), weights_path(), !options_.config.case_name.empty());
  const std::string experiment = options_.experiment.empty() ? "warm" : options_.experiment;
  const Calibration fitted = experiments::calibrate(options_.config, surrogate(), data(), experiment,
                                                    {.progress = stderr, .stop = options_.stop});
  fmt::print("{}", text_of(fitted));
}

void Pipeline::report() {
  require_netcdf("levda report");
  data(Keep::tests);
  find_weights();
  prepare_twin();
  take_truths();
  const std::vector<std::vector<TruthScores>> scores = all_scores();
  std::vector<ExperimentSummary> results;
  std::vector<ShownTruth> shown;
  for (std::size_t e = 0; e < scores.size(); ++e) {
    const std::string& experiment = experiment_names()[e];
    results.push_back(summarise(experiment, scores[e]));
    // The truth with the median error: a typical one.
    std::vector<std::pair<double, std::int64_t>> errors;
    for (const TruthScores& truth : scores[e]) {
      da::FieldScores sum;
      for (const da::FieldScores& frame : truth.methods.at("levda").frames) sum += frame;
      errors.emplace_back(sum.relative_rmse(), truth.truth.index);
    }
    std::sort(errors.begin(), errors.end());
    const std::int64_t index = errors[errors.size() / 2].second;
    shown.push_back({.observations = read_twin(experiment, index),
                     .analysis = read_analysis(analysis_path(experiment, index, "nc"), surrogate())});
  }
  const fs::path path = options_.out / "report.html";
  const Report report = make_report(options_.config, surrogate(), data(), results, shown);
  write_report(path, report);
  write_pictures(options_.out / "pictures", report.experiments.front());
  fmt::print("{}", score_table(results));
  say("report: {}", path.string());
}

bool Pipeline::use_shipped_weights() {
  if (!options_.weights.empty()) return true;
  const std::string wanted = training_fingerprint(options_.config, data());
  if (weights_fingerprint(weights_path()) == wanted) return true;
  const fs::path shipped =
      pretrained_folder() / fmt::format("{}-{}.safetensors", options_.config.case_name, options_.config.preset);
  if (weights_fingerprint(shipped) != wanted) return false;
  options_.weights = shipped;
  return true;
}

void Pipeline::find_weights() {
  std::error_code ignored;
  if (!fs::exists(weights_path(), ignored)) use_shipped_weights();
}

void Pipeline::provide() {
  const Config& config = options_.config;
  if (!options_.data.empty())
    data();
  else if (fingerprint_of(data_path()) != fingerprint(config, {"data"}))
    generate();
  say("data: {}", data_path().string());
  prepare_twin();  // what cannot be is said before a training, not after it

  if (options_.retrain || !use_shipped_weights()) {
    if (!options_.retrain) say("weights: the shipped ones are of another configuration; training");
    train();
  }
  say("weights: {}", weights_path().string());
}

Comparison Pipeline::compare_into(const fs::path& folder) {
  nn::remove_unfinished(folder / "scores");
  const std::string experiment = options_.experiment.empty() ? "warm" : options_.experiment;
  std::optional<models::TrainedEncoder> encoder;
  if (std::any_of(options_.methods.begin(), options_.methods.end(),
                  [](const std::string& name) { return name.starts_with("ldensf"); }))
    encoder = encoder_in(folder, experiment);  // before other truths are in the place of test trajectories
  take_truths();
  const Comparison comparison = experiments::compare(options_.config, surrogate(), data(),
                                                     {.methods = options_.methods,
                                                      .seeds = options_.seeds,
                                                      .experiment = experiment,
                                                      .validation = options_.validation,
                                                      .folder = folder,
                                                      .weights = weights_checksum(),
                                                      .encoder = encoder ? &*encoder : nullptr,
                                                      .stop = options_.stop,
                                                      .progress = stderr});
  write_comparison(folder / "results.json", options_.config, surrogate(), comparison);
  nn::write_text_file(folder / "table.md", comparison_table(comparison));
  return comparison;
}

void Pipeline::compare() {
  require_netcdf("levda compare");
  if (options_.validation && options_.config.observations.refinement > 1)
    throw InputError("configuration", "observations.refinement",
                     "--validation takes truths from the data set's own solver");
  for (const std::string& name : options_.methods) choose_method(options_.config, name);  // before hours of other work
  provide();
  check_match(surrogate(), data(Keep::all), weights_path(), !options_.config.case_name.empty());
  check_members(surrogate(), data(), weights_path());
  const fs::path folder = options_.out / (options_.validation ? "validation" : "compare");
  const Comparison comparison = compare_into(folder);
  write_comparison_report(folder / "report.html", options_.config, surrogate(), data(), comparison);
  fmt::print("{}", comparison_table(comparison));
  say("comparison: {}", folder.string());
}

void Pipeline::sweep() {
  require_netcdf("levda sweep");
  for (const std::string& name : options_.methods) choose_method(options_.config, name);
  const Config base = options_.config;  // before it is settled
  provide();
  check_match(surrogate(), data(Keep::all), weights_path(), !base.case_name.empty());
  check_members(surrogate(), data(), weights_path());
  SweepResult result{.sweep = parse_sweep(options_.over, data().about.grid), .comparisons = {}};
  std::vector<Config> configs;
  for (const std::vector<std::string>& settings : result.sweep.settings) {
    options_.config = base;
    for (const std::string& setting : settings) apply_setting(options_.config, setting);
    check(options_.config);
    prepare_twin();
    configs.push_back(options_.config);
  }
  const fs::path folder = options_.out / "sweep" / result.sweep.name;
  for (std::size_t i = 0; i < configs.size(); ++i) {
    say("sweep: {} = {}", result.sweep.name, result.sweep.values[i]);
    options_.config = configs[i];
    result.comparisons.push_back(compare_into(folder / result.sweep.values[i]));
  }
  write_sweep(folder / "results.json", base, result);
  const std::string table = sweep_table(result);
  nn::write_text_file(folder / "table.md", table);
  write_sweep_figures(folder, base, surrogate(), result);
  fmt::print("{}", table);
  say("sweep: {}", folder.string());
}

void Pipeline::run() {
  require_netcdf("levda run");
  provide();
  const Config& config = options_.config;
  bool observed = true;
  for (const std::string& experiment : experiment_names())
    for (std::int64_t i = 0; i < config.observations.truths; ++i)
      observed = observed && fingerprint_of(observation_path(experiment, i)) == observation_fingerprint(config, data());
  if (!observed) observe();
  assimilate();
  report();
}

}  // namespace levda::experiments
