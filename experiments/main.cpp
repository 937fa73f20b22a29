/// The program levda.

#include <fmt/format.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/info.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>

#include "autodiff/error.h"
#include "experiments/config/interrupted.h"
#include "experiments/config/version.h"
#include "experiments/data/cases.h"
#include "experiments/data/dataset_file.h"
#include "experiments/info.h"
#include "experiments/pipeline.h"
#include "experiments/twin/methods.h"

namespace {

using namespace levda;
using namespace levda::experiments;

/// Set by SIGINT; long work looks at it.
volatile std::sig_atomic_t interrupted = 0;

/// Options as typed; a stage turns them into RunOptions.
struct Arguments {
  std::string case_name;
  std::string preset = "small";
  std::string config;
  std::string out;
  std::string data;
  std::string weights;
  std::string observations;
  std::string experiment;
  std::string initial;
  std::optional<std::int64_t> seed;
  std::vector<std::string> methods{"levda"};
  std::int64_t seeds = 1;
  bool validation = false;
  std::string over;
  std::vector<std::string> shorthand;  ///< settings given as options of their own
  int threads = oneapi::tbb::info::default_concurrency();
  std::int64_t batch = 0;
  std::vector<std::string> settings;
  bool retrain = false;
  std::string device = "cpu";
  std::string matmul = "float32";
  std::optional<double> time_limit;
  bool markdown = false;
};

constexpr const char* introduction = R"(Latent ensemble variational data assimilation (LEVDA).

A neural surrogate of a geophysical system is trained once; then observations at any time and place are
assimilated in its latent space, for the state and unknown parameters together.

  levda run tsunami --preset small      everything, with the shipped weights, into runs/tsunami-small:
                                        the score table is printed, report.html shows the rest
  levda generate | train | observe | assimilate | report tsunami
                                        the same, stage by stage
  levda compare tsunami --methods levda,latent_fourdenvar
                                        methods beside each other on the same truths and noise
  levda sweep tsunami --over members=5,10,20,40,80
                                        the same along one quantity: how errors and costs grow
  levda encode tsunami                  the observation encoders of LD-EnSF; run does without
  levda train --data D --out OUT        your own system, from its trajectories; then
  levda assimilate --weights OUT/weights.safetensors --observations O --out OUT
  levda keys tsunami                    what --set and --config can change
  levda info FILE                       what a file of ours is)";

constexpr const char* footer =
    R"(Exit codes: 0 done, or stopped by --time-limit; 2 bad input, said in one line; 1 a fault of the program; 130
interrupted, the same command goes on.)";

void add_options(CLI::App& stage, Arguments& a) {
  std::string known;
  for (const Case& system : cases()) known += (known.empty() ? "" : ", ") + system.name;
  stage.add_option("CASE", a.case_name,
                   "System: " + known + "; left out for one that this program does not know, with --data or --weights");
  stage.add_option("--preset", a.preset, "Size of the case")->capture_default_str();
  stage.add_option("--config", a.config, "TOML file with keys to change");
  stage.add_option("--set", a.settings, "Change one key: --set section.key=value (repeatable)")
      ->allow_extra_args(false);
  stage.add_option("--out", a.out, "Folder of the run (default runs/CASE-PRESET; needed without CASE)");
  stage.add_option("--data", a.data, fmt::format("Data set (default OUT/{})", dataset_name()));
  stage.add_option("--weights", a.weights,
                   "Surrogate (default OUT/weights.safetensors; run: the shipped one where it fits)");
  stage.add_option("--initial", a.initial,
                   "Atmosphere: your own initial condition, NetCDF with u, v, h, orography on lat, lon");
  stage.add_option("--seed", a.seed,
                   "Of start frames, ensembles and observation noise; data and training have their own");
  stage.add_option("--threads", a.threads, "Threads; the results do not depend on it")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
}

/// Of the stages that compute with the surrogate.
void add_device_options(CLI::App& stage, Arguments& a) {
  stage.add_option("--device", a.device, "What computes with the surrogate: cpu, or cuda for the first GPU")
      ->capture_default_str()
      ->check(CLI::IsMember({"cpu", "cuda"}));
  stage
      .add_option("--matmul", a.matmul,
                  "Its products: float32, or on a GPU tf32 or bf16, which are faster and have three digits")
      ->capture_default_str()
      ->check(CLI::IsMember({"float32", "tf32", "bf16"}));
}

/// The device of the options, set to their products. Throws InputError when there is none, or it has no such products.
autodiff::Backend& chosen_device(const Arguments& a) {
  using autodiff::MatmulPrecision;
  autodiff::Backend* backend = &autodiff::cpu();
  if (a.device == "cuda") {
    try {
      backend = &autodiff::cuda();
    } catch (const Error& error) {
      throw InputError("--device", a.device, error.what());
    }
  } else if (a.matmul != autodiff::name(MatmulPrecision::float32)) {
    throw InputError("--matmul", a.matmul, "needs a GPU, --device cuda");
  }
  for (const MatmulPrecision precision : {MatmulPrecision::float32, MatmulPrecision::tf32, MatmulPrecision::bf16})
    if (a.matmul == autodiff::name(precision)) backend->set_matmul_precision(precision);
  return *backend;
}

/// Of a comparison.
void add_comparison_options(CLI::App& stage, Arguments& a) {
  std::string known;
  for (const MethodRow& row : methods())
    known += fmt::format("\n  {:<16} {} ({})", row.key, row.help,
                         row.space == SpaceName::latent ? "latent space" : "full space");
  stage
      .add_option_function<std::vector<std::string>>(
          "--methods",
          [&a](const std::vector<std::string>& texts) {
            a.methods.clear();
            for (const std::string& text : texts)
              for (std::string& name : split_methods(text)) a.methods.push_back(std::move(name));
          },
          "To be compared, as a,b,c, with settings of their own as a:relaxation=0.5:inflation=1.02 or "
          "levda:annealing=[30,1]; free and the baselines are always there:" +
              known)
      ->default_str("levda");
  stage.add_option("--seeds", a.seeds, "Draws of the observation errors per truth")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  stage.add_option("--experiment", a.experiment, "warm, from an unknown time on, or cold (default warm)")
      ->check(CLI::IsMember({"cold", "warm"}));
  const auto shorthand = [&](const char* option, const char* key, const char* help) {
    stage.add_option_function<std::string>(
        option, [&a, key](const std::string& value) { a.shorthand.push_back(fmt::format("{}={}", key, value)); },
        fmt::format("{}: --set {}", help, key));
  };
  shorthand("--sensors", "observations.sensors", "grid:NXxNY, random:N or scattered:N");
  shorthand("--every", "observations.every", "Frames between observations");
  shorthand("--noise", "observations.sigma", "Observation error in standard deviations of the channel");
  shorthand("--members", "assimilation.members", "Of the ensemble");
}

void add_time_limit(CLI::App& stage, Arguments& a) {
  stage.add_option("--time-limit", a.time_limit,
                   "Stop after so many seconds, with exit code 0; the same command goes on. A training then leaves a "
                   "checkpoint in OUT: with Adam of three times the weights (the published 10 x 300 decoder: 10 MB), "
                   "with SOAP of more than seven times (25 MB, too much for places that take files of 16 MiB)");
}

Config configuration(const Arguments& a) {
  Config config = a.case_name.empty() ? own_config() : load_preset(a.case_name, a.preset);
  if (!a.config.empty()) apply_file(config, a.config);
  for (const std::string& setting : a.settings) apply_setting(config, setting);
  for (const std::string& setting : a.shorthand) apply_setting(config, setting);
  if (!a.initial.empty()) config.data.initial = a.initial;
  if (a.seed) apply_setting(config, fmt::format("seed={}", *a.seed));
  return config;
}

void print_keys(const Arguments& a) {
  if (a.markdown) return fmt::print("{}", options_page());
  Config config = configuration(a);
  for (const Key& key : keys(config))
    fmt::print("{:<44}  # {} ({}{}{})\n", fmt::format("{} = {}", key.name, text_of(key)), key.help, values_of(key),
               key.unit.empty() ? "" : " ", key.unit);
}

int run(int argc, char** argv) {
  const auto begin = std::chrono::steady_clock::now();
  CLI::App app(introduction, "levda");
  app.footer(footer);
  app.set_version_flag("--version", "levda " + version());
  app.require_subcommand(1);
  Arguments a;
  struct Stage {
    const char* name;
    const char* help;
    void (Pipeline::*work)();
    bool with_surrogate;
  };
  const std::vector<Stage> stages{
      {"generate", "Run the solver: the data set OUT/data.*", &Pipeline::generate, false},
      {"train", "Train the surrogate on the data set: OUT/weights.safetensors", &Pipeline::train, true},
      {"encode", "Train the observation encoders of LD-EnSF for the surrogate: OUT/encoder-EXPERIMENT.safetensors",
       &Pipeline::encode, true},
      {"observe", "Observe truths of test trajectories: OUT/observations/", &Pipeline::observe, false},
      {"assimilate", "Assimilate all observations and score: OUT/analysis/, OUT/results.json", &Pipeline::assimilate,
       true},
      {"report", "Draw the results: OUT/report.html", &Pipeline::report, true},
      {"calibrate", "Fit LEVDA's uncertainty on validation trajectories; prints the keys to be set",
       &Pipeline::calibrate, true},
      {"compare", "Methods beside each other on the same truths and noise: OUT/compare/, and the table printed",
       &Pipeline::compare, true},
      {"sweep", "A comparison along one quantity: OUT/sweep/, how errors and costs grow", &Pipeline::sweep, true},
      {"run", "All stages; those whose outputs match the configuration are skipped", &Pipeline::run, true}};
  void (Pipeline::*chosen)() = nullptr;
  for (const Stage& stage : stages) {
    CLI::App* command = app.add_subcommand(stage.name, stage.help);
    add_options(*command, a);
    if (stage.with_surrogate) add_device_options(*command, a);
    if (stage.work == &Pipeline::generate || stage.work == &Pipeline::train || stage.work == &Pipeline::encode ||
        stage.work == &Pipeline::run || stage.work == &Pipeline::calibrate || stage.work == &Pipeline::compare ||
        stage.work == &Pipeline::sweep)
      add_time_limit(*command, a);
    if (stage.work == &Pipeline::compare || stage.work == &Pipeline::sweep) add_comparison_options(*command, a);
    if (stage.work == &Pipeline::compare)
      command->add_flag("--validation", a.validation,
                        "Truths are the validation trajectories, to tune methods on: OUT/validation/");
    if (stage.work == &Pipeline::sweep)
      command
          ->add_option("--over", a.over,
                       "members=5,10,20, window=5,10,20, sensors=4,16,64 (grids; or random:N), sigma=0.01,0.1,1, or "
                       "any key of observations or assimilation")
          ->required();
    if (stage.work == &Pipeline::calibrate)
      command->add_option("--experiment", a.experiment, "warm or cold (default warm)")
          ->check(CLI::IsMember({"cold", "warm"}));
    if (std::string(stage.name) == "run")
      command->add_flag("--retrain", a.retrain, "Train anew instead of the shipped weights");
    if (std::string(stage.name) == "run" || std::string(stage.name) == "assimilate")
      command
          ->add_option("--batch", a.batch,
                       "Truths assimilated together: one on the CPU, all on a GPU where it is 0; the results do not "
                       "depend on it on the CPU")
          ->capture_default_str()
          ->check(CLI::Range(0, 1000000));
    if (std::string(stage.name) == "assimilate") {
      command->add_option("--observations", a.observations,
                          "Assimilate this file only, NetCDF or CSV: OUT/analysis.nc");
      command
          ->add_option(
              "--experiment", a.experiment,
              "With --observations: cold, from the beginning of a trajectory, or warm, from an unknown time on "
              "(default: as the file says, else warm)")
          ->check(CLI::IsMember({"cold", "warm"}));
    }
    command->callback([&chosen, &stage] { chosen = stage.work; });
  }
  std::string file;
  CLI::App* info = app.add_subcommand("info", "Explain a file: what it holds, how it was made");
  info->add_option("FILE", file, "Data set, observations, analysis, weights, encoder, checkpoint, scores or results")
      ->required();
  CLI::App* list = app.add_subcommand("keys", "List the keys of a configuration with their values");
  add_options(*list, a);
  list->add_flag("--markdown", a.markdown, "Print the page experiments/OPTIONS.md instead");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    fmt::print(stderr, "levda: {}\n", error.what());
    return 2;
  }
  if (info->parsed()) {
    fmt::print("{}", describe_file(file));
    return 0;
  }
  if (list->parsed()) {
    print_keys(a);
    return 0;
  }
  if (a.case_name.empty()) {
    if (chosen == &Pipeline::generate) throw InputError("CASE", "", "is needed: which solver is to be run?");
    if (a.data.empty() && a.observations.empty())
      throw InputError("CASE", "", "is needed, or --data with a data set of yours");
    if (!a.observations.empty() && a.weights.empty())
      throw InputError("--weights", "", "is needed with --observations where CASE is left out");
    if (a.out.empty()) throw InputError("--out", "", "is needed where CASE is left out");
  }
  if (a.time_limit && !(*a.time_limit > 0))
    throw InputError("--time-limit", "", fmt::format("{} is not a number of seconds above 0", *a.time_limit));
  const oneapi::tbb::global_control threads(oneapi::tbb::global_control::max_allowed_parallelism,
                                            static_cast<std::size_t>(a.threads));
  autodiff::Backend& backend = chosen_device(a);
  std::string command = "levda";
  for (int i = 1; i < argc; ++i) command += fmt::format(" {}", argv[i]);
  const auto time_is_up = [&] {
    return a.time_limit &&
           std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() > *a.time_limit;
  };
  RunOptions options{.config = configuration(a),
                     .out = a.out.empty() ? fmt::format("runs/{}-{}", a.case_name, a.preset) : a.out,
                     .data = a.data,
                     .weights = a.weights,
                     .observations = a.observations,
                     .experiment = a.experiment,
                     .retrain = a.retrain,
                     .command = command,
                     .stop = [&] { return interrupted != 0 || time_is_up(); },
                     .threads = a.threads,
                     .methods = a.methods,
                     .validation = a.validation,
                     .seeds = a.seeds,
                     .over = a.over,
                     .batch = a.batch,
                     .backend = &backend};
  std::signal(SIGINT, [](int) {
    interrupted = 1;
    std::signal(SIGINT, SIG_DFL);  // the second time it ends the program at once
  });
  Pipeline pipeline(std::move(options));
  (pipeline.*chosen)();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const levda::experiments::Interrupted& stop) {
    fmt::print(stderr, "levda: {}\n", stop.what());
    return interrupted != 0 ? 130 : 0;  // by the user, or by the clock as asked
  } catch (const levda::Error& error) {
    fmt::print(stderr, "levda: {}\n", error.what());
    // At once: HDF5's own end crashes after a write that failed (a full disk). What is ours was put away on the way
    // here.
    std::fflush(nullptr);
    std::_Exit(2);
  } catch (const std::exception& error) {
    fmt::print(stderr, "levda: internal fault: {}\n", error.what());
    return 1;
  }
}
