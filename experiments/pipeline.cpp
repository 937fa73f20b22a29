#include "experiments/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "autodiff/error.h"
#include "experiments/observation_file.h"
#include "experiments/report_data.h"
#include "experiments/training.h"
#include "nn/atomic_file.h"
#include "nn/progress.h"

namespace levda::experiments {

namespace fs = std::filesystem;

namespace {

template <typename... Args>
void say(fmt::format_string<Args...> format, Args&&... args) {
  fmt::print(stderr, format, std::forward<Args>(args)...);
  std::fputc('\n', stderr);
}

/// FNV-1a, 64 bits: tells whether a file is the one that a result was made from.
std::string checksum(const fs::path& path) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : nn::read_text_file(path)) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  return fmt::format("{:016x}", hash);
}

/// Throws InputError naming what of the weights does not fit the data.
void check_match(const models::Surrogate& s, const Dataset& data, const fs::path& weights) {
  const models::Description& a = s.about;
  const models::Description& b = data.about;
  const auto need = [&](bool equal, const char* field) {
    if (!equal) throw InputError(weights.string(), field, "differs from the data set's");
  };
  need(a.case_name == b.case_name, "case");
  need(a.channel_names == b.channel_names, "channel_names");
  need(a.parameter_names == b.parameter_names, "parameter_names");
  need(a.grid.nx == b.grid.nx && a.grid.ny == b.grid.ny, "grid");
  need(std::abs(a.grid.x0 - b.grid.x0) + std::abs(a.grid.y0 - b.grid.y0) <= 1e-6 * a.grid.dx, "grid_x0");
  need(std::abs(a.grid.dx - b.grid.dx) <= 1e-9 * a.grid.dx && std::abs(a.grid.dy - b.grid.dy) <= 1e-9 * a.grid.dy,
       "grid_dx");
  need(a.frames == b.frames, "frames");
  need(std::abs(a.frame_interval - b.frame_interval) <= 1e-9 * a.frame_interval, "frame_interval");
}

/// The configuration that the weights were trained with, or "" where the file is missing.
std::string weights_fingerprint(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return "";
  const models::Surrogate s = models::load_surrogate(path);
  const auto entry = s.provenance.find("levda_configuration");
  return entry == s.provenance.end() ? "" : entry->second;
}

}  // namespace

fs::path pretrained_folder() {
  if (const char* folder = std::getenv("LEVDA_PRETRAINED")) return folder;
  return LEVDA_PRETRAINED_FOLDER;
}

Pipeline::Pipeline(RunOptions options) : options_(std::move(options)) {
  check(options_.config);
  const nn::AtomicFile probe(options_.out / "probe");  // fails now rather than after an hour; removed at once
}

fs::path Pipeline::data_path() const { return options_.data.empty() ? options_.out / "data.nc" : options_.data; }

fs::path Pipeline::weights_path() const {
  return options_.weights.empty() ? options_.out / "weights.safetensors" : options_.weights;
}

fs::path Pipeline::observation_path(const std::string& experiment, std::int64_t truth) const {
  return options_.out / "observations" / fmt::format("{}-{:02}.nc", experiment, truth);
}

fs::path Pipeline::analysis_path(const std::string& experiment, std::int64_t truth, const char* extension) const {
  return options_.out / "analysis" / fmt::format("{}-{:02}.{}", experiment, truth, extension);
}

std::string Pipeline::training_fingerprint() {
  return fingerprint(options_.config, {"surrogate", "training"}) + data().fingerprint;
}

std::string Pipeline::assimilation_fingerprint() {
  return observation_fingerprint(options_.config) + fingerprint(options_.config, {"assimilation"}) +
         "weights = " + checksum(weights_path()) + "\n";
}

const Dataset& Pipeline::data() {
  if (!data_) {
    data_ = read_dataset(data_path());
    if (data_->about.case_name != options_.config.case_name)
      throw InputError(data_path().string(), "case",
                       fmt::format("is {}, not {}", data_->about.case_name, options_.config.case_name));
  }
  return *data_;
}

const models::Surrogate& Pipeline::surrogate() {
  if (!surrogate_) surrogate_ = models::load_surrogate(weights_path());
  return *surrogate_;
}

void Pipeline::generate() {
  const DataConfig& d = options_.config.data;
  nn::Progress progress("generate", d.train + d.valid + d.test);
  data_ = generate_dataset(options_.config, [&](std::int64_t done) { progress.update(done); });
  write_dataset(data_path(), *data_);
  say("data: {}", data_path().string());
}

void Pipeline::train() {
  const fs::path path = options_.out / "weights.safetensors";
  const fs::path checkpoint = options_.out / "training.checkpoint.safetensors";
  surrogate_ = train_surrogate(options_.config, data(), checkpoint, options_.threads, stderr);
  surrogate_->provenance["command"] =
      fmt::format("levda train {} --preset {}", options_.config.case_name, options_.config.preset);
  models::save_surrogate(path, *surrogate_);
  fs::remove(checkpoint);
  options_.weights.clear();
  say("weights: {}, test_rel_rmse {}", path.string(), surrogate_->provenance.at("test_rel_rmse"));
}

void Pipeline::observe() {
  const Moments moments = field_moments(data());
  for (const std::string& experiment : experiment_names())
    for (const Truth& truth : draw_truths(options_.config, data(), experiment))
      write_observations(observation_path(experiment, truth.index),
                         observe_truth(options_.config, data(), moments, truth, experiment), data().about);
  say("observations: {} truths in {}", options_.config.observations.truths, (options_.out / "observations").string());
}

std::vector<std::vector<std::optional<TruthScores>>> Pipeline::finished_scores() {
  const std::string configuration = assimilation_fingerprint();
  std::vector<std::vector<std::optional<TruthScores>>> scores;
  for (const std::string& experiment : experiment_names()) {
    scores.emplace_back();
    for (std::int64_t i = 0; i < options_.config.observations.truths; ++i) {
      const bool there = fs::exists(analysis_path(experiment, i, "nc"));
      scores.back().push_back(there ? read_truth_scores(analysis_path(experiment, i, "json"), configuration)
                                    : std::nullopt);
    }
  }
  return scores;
}

std::vector<ExperimentSummary> Pipeline::summaries() {
  std::vector<ExperimentSummary> summaries;
  const auto scores = finished_scores();
  for (std::size_t e = 0; e < scores.size(); ++e) {
    std::vector<TruthScores> truths;
    for (std::size_t i = 0; i < scores[e].size(); ++i) {
      if (!scores[e][i])
        throw InputError(analysis_path(experiment_names()[e], static_cast<std::int64_t>(i), "json").string(), "",
                         "missing or of another configuration; run levda assimilate first");
      truths.push_back(*scores[e][i]);
    }
    summaries.push_back(summarise(experiment_names()[e], truths));
  }
  return summaries;
}

void Pipeline::assimilate() {
  if (!options_.observations.empty()) return assimilate_one_file();
  check_match(surrogate(), data(), weights_path());
  const std::string configuration = assimilation_fingerprint();
  const auto finished = finished_scores();
  const std::int64_t truths = options_.config.observations.truths;
  std::int64_t done = 0;
  for (const auto& experiment : finished)
    done += std::count_if(experiment.begin(), experiment.end(), [](const auto& s) { return s.has_value(); });
  nn::Progress progress("assimilate", truths * static_cast<std::int64_t>(finished.size()), stderr, done);
  for (std::size_t e = 0; e < finished.size(); ++e) {
    const std::string& experiment = experiment_names()[e];
    const double last_time = analysis_times(options_.config, surrogate().about, experiment).back();
    for (std::int64_t i = 0; i < truths; ++i) {
      if (finished[e][i]) continue;
      const fs::path source = observation_path(experiment, i);
      const ObservationFile observations = read_observations(source, surrogate().about, last_time);
      if (!observations.truth) throw InputError(source.string(), "truth_member", "missing: not of a twin experiment");
      if (observations.fingerprint != observation_fingerprint(options_.config))
        throw InputError(source.string(), "levda_configuration", "of another configuration; run levda observe first");
      const LatentAnalysis analysis = experiments::assimilate(options_.config, surrogate(), observations);
      write_analysis(analysis_path(experiment, i, "nc"), options_.config, surrogate(), observations, analysis,
                     configuration);
      const TruthScores scores = score(options_.config, surrogate(), data(), observations, analysis);
      write_truth_scores(analysis_path(experiment, i, "json"), scores, configuration);
      progress.update(++done, experiment);
    }
  }
  write_results(options_.out / "results.json", options_.config, surrogate(), summaries());
  say("results: {}", (options_.out / "results.json").string());
}

void Pipeline::assimilate_one_file() {
  const double last_time = static_cast<double>(options_.config.assimilation.frames) * surrogate().about.frame_interval;
  const ObservationFile observations = read_observations(options_.observations, surrogate().about, last_time);
  const LatentAnalysis analysis = experiments::assimilate(options_.config, surrogate(), observations);
  const fs::path path = options_.out / "analysis.nc";
  write_analysis(path, options_.config, surrogate(), observations, analysis, assimilation_fingerprint());
  const std::int64_t d = surrogate().net.architecture().latent;
  const std::int64_t p = surrogate().about.parameters();
  const std::vector<double> mean = analysis.ensembles[0].mean().to_vector();
  const std::vector<double> spread = analysis.ensembles[0].spread();
  const std::vector<double> centre =
      surrogate().physical_parameters(std::span(mean).subspan(static_cast<std::size_t>(d)));
  for (std::int64_t k = 0; k < p; ++k)
    fmt::print("{} = {:.6g} +- {:.2g} {}\n", surrogate().about.parameter_names[k], centre[k],
               0.5 * spread[d + k] * (surrogate().about.parameter_max[k] - surrogate().about.parameter_min[k]),
               surrogate().about.parameter_units[k]);
  say("analysis: {}", path.string());
}

void Pipeline::report() {
  const std::vector<ExperimentSummary> results = summaries();
  std::vector<ShownTruth> shown;
  const auto scores = finished_scores();
  for (std::size_t e = 0; e < scores.size(); ++e) {
    // The truth with the median error: a typical one.
    std::vector<std::pair<double, std::int64_t>> errors;
    for (const auto& truth : scores[e]) {
      da::FieldScores sum;
      for (const da::FieldScores& frame : truth->methods.at("levda").frames) sum += frame;
      errors.emplace_back(sum.relative_rmse(), truth->truth.index);
    }
    std::sort(errors.begin(), errors.end());
    const std::int64_t index = errors[errors.size() / 2].second;
    const std::string& experiment = experiment_names()[e];
    const double last_time = analysis_times(options_.config, surrogate().about, experiment).back();
    shown.push_back(
        {.observations = read_observations(observation_path(experiment, index), surrogate().about, last_time),
         .analysis = read_analysis(analysis_path(experiment, index, "nc"), surrogate())});
  }
  const fs::path path = options_.out / "report.html";
  write_report(path, make_report(options_.config, surrogate(), data(), results, shown));
  fmt::print("{}", score_table(results));
  say("report: {}", path.string());
}

void Pipeline::run() {
  const Config& config = options_.config;
  if (options_.data.empty() && fingerprint_of(data_path()) != fingerprint(config, {"data"}))
    generate();
  else
    say("data: {} is up to date", data_path().string());

  if (options_.weights.empty()) {
    const fs::path shipped = pretrained_folder() / fmt::format("{}-{}.safetensors", config.case_name, config.preset);
    const std::string wanted = training_fingerprint();
    if (options_.retrain) {
      train();
    } else if (weights_fingerprint(weights_path()) == wanted) {
      say("weights: {} is up to date", weights_path().string());
    } else if (weights_fingerprint(shipped) == wanted) {
      options_.weights = shipped;
      say("weights: the shipped ones, {}", shipped.string());
    } else {
      say("weights: the shipped ones were trained for another configuration; training");
      train();
    }
  }

  bool observed = true;
  for (const std::string& experiment : experiment_names())
    for (std::int64_t i = 0; i < config.observations.truths; ++i)
      observed = observed && fingerprint_of(observation_path(experiment, i)) == observation_fingerprint(config);
  if (observed)
    say("observations: {} are up to date", (options_.out / "observations").string());
  else
    observe();
  assimilate();
  report();
}

}  // namespace levda::experiments
