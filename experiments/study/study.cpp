#include "experiments/study/study.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "autodiff/error.h"
#include "experiments/config/version.h"
#include "experiments/study/score_files.h"
#include "experiments/twin/assimilation.h"
#include "nn/progress.h"

namespace levda::experiments {

namespace {

namespace fs = std::filesystem;

/// A forecast that every method is compared with.
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

/// A baseline or a method that is to be scored.
struct Entry {
  std::string key;
  Config config;
  const Baseline* baseline = nullptr;
  const MethodRow* method = nullptr;

  bool sees_noise() const {
    return baseline != nullptr ? baseline->sees_noise : method->key != "free" && method->key != "full_free";
  }
  ScoredMethod unscored() const {
    if (baseline != nullptr) return {.key = key, .help = baseline->help, .space = ""};
    return {.key = key, .help = method->help, .space = method->space == SpaceName::latent ? "latent" : "full"};
  }
};

std::vector<Entry> entries(const Config& config, const std::vector<std::string>& names, bool with_baselines) {
  std::vector<Entry> all;
  const auto add = [&](const std::string& name) {
    if (std::any_of(all.begin(), all.end(), [&](const Entry& e) { return e.key == name; })) return;
    const ChosenMethod chosen = choose_method(config, name);
    all.push_back({.key = name, .config = chosen.config, .method = chosen.row});
  };
  if (with_baselines) {
    for (const Baseline& baseline : baselines)
      all.push_back({.key = baseline.key, .config = config, .baseline = &baseline});
    add("free");
  }
  for (const std::string& name : names) add(name);
  return all;
}

MethodScores scores_of(const MethodAnalysis& run, const ControlSpace& space, const Scorer& scorer,
                       const ObservationFile& file) {
  const std::vector<da::Ensemble>& ensembles = run.analysis.ensembles;
  MethodScores scores =
      scorer.score([&](std::int64_t t) { return space.fields(ensembles[t]); },
                   space.model_error(file.experiment, ensembles.back()), space.parameters(ensembles.back()));
  scores.seconds = run.seconds;
  scores.convergence = run.analysis.iterations;
  const da::Diagnostics& diagnostics = run.analysis.diagnostics;
  if (const auto steps = diagnostics.find("iterations"); steps != diagnostics.end()) {
    scores.iterations = 0;
    for (const double window : steps->second) *scores.iterations += window;
  }
  return scores;
}

/// Scores all entries on all truths and draws. Scores in files of the same configuration are taken.
class Runner {
 public:
  Runner(const Config& config, const models::Surrogate& surrogate, const Dataset& data, const StudyOptions& options)
      : config_(config),
        surrogate_(surrogate),
        data_(data),
        options_(options),
        entries_(entries(config, options.methods, options.baselines)),
        truths_(options.validation ? validation_truths(config, data, options.experiment)
                                   : draw_truths(config, data, options.experiment)),
        moments_(field_moments(data)),
        latent_(config, surrogate) {}

  Study run() {
    Study study{.experiment = options_.experiment,
                .validation = options_.validation,
                .truths = static_cast<std::int64_t>(truths_.size()),
                .draws = options_.draws,
                .forecast = config_.assimilation.forecast,
                .methods = {}};
    const std::vector<Cells> finished = read_finished();
    for (const Entry& entry : entries_) {
      study.methods.push_back(entry.unscored());
      study.methods.back().scores.resize(truths_.size());
    }
    nn::Progress progress(options_.name, total_, options_.progress, done_);
    for (std::size_t i = 0; i < truths_.size(); ++i)
      for (std::int64_t draw = 0; draw < options_.draws; ++draw) {
        std::optional<ObservationFile> file;  // made where a method is to be run
        std::optional<Scorer> scorer;
        for (std::size_t e = 0; e < entries_.size(); ++e) {
          if (draw >= draws_of(entries_[e])) continue;
          std::optional<TruthScores> scores = finished[e][i][static_cast<std::size_t>(draw)];
          if (!scores) {
            stop_if_told();
            if (!file) {
              file = observe_truth(config_, data_, moments_, truths_[i], options_.experiment, draw);
              scorer.emplace(config_, surrogate_, data_, *file);
            }
            scores = score(entries_[e], *scorer, *file, draw);
            progress.update(++done_, fmt::format("{} {}", entries_[e].key, scores->methods.begin()->second.failure));
          }
          study.methods[e].scores[i].push_back(std::move(scores->methods.at(entries_[e].key)));
        }
      }
    return study;
  }

 private:
  using Cells = std::vector<std::vector<std::optional<TruthScores>>>;  // [truth][draw]

  std::int64_t draws_of(const Entry& entry) const { return entry.sees_noise() ? options_.draws : 1; }

  fs::path path(const Entry& entry, const Truth& truth, std::int64_t draw) const {
    return options_.folder / "scores" /
           fmt::format("{}-{:02}-{}-{}.json", options_.experiment, truth.index, draw, entry.key);
  }

  /// Text that is equal exactly where the scores of a truth, draw and method are.
  std::string cell_fingerprint(const Entry& entry, std::int64_t draw) const {
    constexpr int format = 1;  // counts changes of what the scores mean
    Config config = entry.config;
    config.observations.truths = 1;  // a truth does not depend on the number of others
    const bool encoded = entry.method != nullptr && entry.method->key == "ldensf";
    return observation_fingerprint(config, data_) + fingerprint(config, {"assimilation"}) +
           (encoded ? fingerprint(config, {"encoder"}) : "") +
           fmt::format("weights = {}\nlevda = {}, comparison {}\nexperiment = {}\ndraw = {}\nmethod = {}\n",
                       options_.weights, results_version(), format, options_.experiment, draw,
                       entry.method != nullptr ? entry.method->key : entry.key);
  }

  std::vector<Cells> read_finished() {
    std::vector<Cells> finished;
    for (const Entry& entry : entries_) {
      finished.emplace_back(truths_.size());
      for (std::size_t i = 0; i < truths_.size(); ++i)
        for (std::int64_t draw = 0; draw < draws_of(entry); ++draw) {
          auto& cell = finished.back()[i].emplace_back();
          if (!options_.folder.empty())
            cell = read_truth_scores(path(entry, truths_[i], draw), cell_fingerprint(entry, draw), {entry.key});
          ++total_;
          done_ += cell ? 1 : 0;
        }
    }
    return finished;
  }

  void stop_if_told() const {
    if (!options_.stop || !options_.stop()) return;
    if (options_.folder.empty()) throw Interrupted(fmt::format("stopped; {} begins anew", options_.name));
    throw Interrupted(fmt::format("stopped after {} of {} runs; the same command goes on from there", done_, total_));
  }

  TruthScores score(const Entry& entry, const Scorer& scorer, const ObservationFile& file, std::int64_t draw) {
    TruthScores scores{.truth = file.truth.value(), .methods = {}};
    MethodScores& result = scores.methods[entry.key];
    if (entry.baseline != nullptr) {
      result = (scorer.*entry.baseline->score)();
    } else {
      try {
        if (entry.method->space == SpaceName::full && !full_) full_.emplace(config_, surrogate_, data_, moments_);
        const ControlSpace& space =
            entry.method->space == SpaceName::full ? static_cast<const ControlSpace&>(*full_) : latent_;
        result = scores_of(
            run_method(entry.config, *entry.method, space, surrogate_.about, {&file, 1}, draw, options_.encoder)
                .front(),
            space, scorer, file);
      } catch (const InputError&) {
        throw;  // the configuration is at fault
      } catch (const Error& error) {
        result.failure = error.what();  // the method is at fault: the others go on
      }
    }
    if (!options_.folder.empty())
      write_truth_scores(path(entry, scores.truth, draw), scores, cell_fingerprint(entry, draw));
    return scores;
  }

  const Config& config_;
  const models::Surrogate& surrogate_;
  const Dataset& data_;
  const StudyOptions& options_;
  std::vector<Entry> entries_;
  std::vector<Truth> truths_;
  Moments moments_;
  LatentSpace latent_;
  std::optional<FullSpace> full_;  // made when a method needs it: a solver may have to burn in
  std::int64_t total_ = 0;         // runs of a method or baseline
  std::int64_t done_ = 0;
};

}  // namespace

Study run_study(const Config& config, const models::Surrogate& surrogate, const Dataset& data,
                const StudyOptions& options) {
  const std::vector<std::string>& names = experiment_names();
  if (std::find(names.begin(), names.end(), options.experiment) == names.end())
    throw InputError("--experiment", options.experiment, fmt::format("is none of {}", fmt::join(names, ", ")));
  return Runner(config, surrogate, data, options).run();
}

Study study_of(const Config& config, const std::string& experiment, const std::vector<TruthScores>& truths) {
  Study study{.experiment = experiment,
              .truths = static_cast<std::int64_t>(truths.size()),
              .forecast = config.assimilation.forecast,
              .methods = {}};
  for (const Entry& entry : entries(config, {"levda"}, true)) {
    ScoredMethod method = entry.unscored();
    for (const TruthScores& truth : truths)
      if (const auto scores = truth.methods.find(entry.key); scores != truth.methods.end())
        method.scores.push_back({scores->second});
    if (!method.scores.empty()) study.methods.push_back(std::move(method));  // a run has no persistence
  }
  return study;
}

}  // namespace levda::experiments
