#include "experiments/commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/info.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <optional>
#include <sstream>

#include "autodiff/error.h"
#include "experiments/config/version.h"
#include "experiments/data/cases.h"
#include "experiments/data/info.h"
#include "experiments/data/netcdf_file.h"
#include "experiments/process.h"
#include "experiments/stages.h"
#include "experiments/twin/methods.h"

namespace levda::experiments {

namespace {

/// Options as typed. Each command reads some of them.
struct Arguments {
  std::string case_name;
  std::string preset = "small";
  std::string config;
  std::vector<std::string> settings;
  std::string file;
  std::string out;
  std::string data;
  std::string weights;
  std::string initial;
  std::optional<std::int64_t> seed;
  int threads = oneapi::tbb::info::default_concurrency();
  std::string device = "cpu";
  std::string matmul = "float32";
  std::optional<double> time_limit;
  bool retrain = false;
  std::int64_t batch = 0;
  FileOptions one_file;
  CompareOptions compare{.methods = {"levda"}};
  std::string over;
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
  levda info FILE                       explains a file of levda)";

constexpr const char* footer =
    R"(Exit codes: 0 done, or stopped by --time-limit; 2 bad input, said in one line; 1 a fault of the program, or
a result that could not be printed; 128 + signal (130, 143, 129) stopped by SIGINT, SIGTERM or SIGHUP: the same command
goes on.)";

struct Command {
  const char* name;
  const char* help;
  std::vector<std::string_view> options;
  std::vector<std::string> sections;  ///< of the configuration that it reads; empty: all
  bool netcdf;                        ///< whether it needs a build with NetCDF
  void (*work)(const Arguments&, const Request&);
};

using Words = std::vector<std::string>;

/// Sections that twin experiments on finished data and weights read. surrogate and training are in the fingerprint of
/// the weights; the solver for finer truths and scattered sensors reads data.
const Words twin_sections{"seed", "data", "surrogate", "training", "observations", "assimilation"};

/// Observations in one file of yours are assimilated with the weights as they are.
const Words file_sections{"seed", "assimilation"};

const Command commands[]{
    {"generate",
     "Run the solver: the data set OUT/data.*",
     {"CASE", "--out", "--initial", "--time-limit"},
     {"shard_megabytes", "data"},
     false,
     [](const Arguments&, const Request& r) { generate(r); }},
    {"train",
     "Train the surrogate on the data set: OUT/weights.safetensors",
     {"CASE", "--out", "--data", "--device", "--time-limit"},
     {"checkpoint_seconds", "surrogate", "training"},
     false,
     [](const Arguments&, const Request& r) { train(r); }},
    {"encode",
     "Train the observation encoders of LD-EnSF for the surrogate: OUT/encoder-EXPERIMENT.safetensors",
     {"CASE", "--out", "--data", "--weights", "--seed", "--device", "--time-limit"},
     {"seed", "checkpoint_seconds", "surrogate", "training", "observations", "encoder", "assimilation"},
     false,
     [](const Arguments&, const Request& r) { encode(open(r, {.twin = false})); }},
    {"observe",
     "Observe truths of test trajectories: OUT/observations/",
     {"CASE", "--out", "--data", "--initial", "--seed"},
     {"seed", "data", "training", "observations", "assimilation"},
     true,
     [](const Arguments&, const Request& r) { observe(open(r, {.keep = Keep::tests, .surrogate = false})); }},
    {"assimilate",
     "Assimilate all observations and score: OUT/analysis/, OUT/results.json",
     {"CASE", "--out", "--data", "--weights", "--initial", "--seed", "--device", "--batch", "--observations"},
     twin_sections,
     true,
     [](const Arguments& a, const Request& r) {
       if (!a.one_file.observations.empty()) return assimilate_file(r, a.one_file);
       assimilate(open(r, {.keep = Keep::tests}), a.batch);
     }},
    {"report",
     "Draw the results: OUT/report.html",
     {"CASE", "--out", "--data", "--weights", "--seed", "--device"},
     twin_sections,
     true,
     [](const Arguments&, const Request& r) { report(open(r, {.keep = Keep::tests})); }},
    {"calibrate",
     "Fit LEVDA's uncertainty on validation trajectories; prints the keys to be set",
     {"CASE", "--out", "--data", "--weights", "--initial", "--seed", "--device", "--time-limit", "--experiment"},
     twin_sections,
     false,
     [](const Arguments& a, const Request& r) { calibrate(r, a.compare.experiment); }},
    {"compare",
     "Methods beside each other on the same truths and noise: OUT/compare/, and the table printed",
     {"CASE", "--out", "--data", "--weights", "--initial", "--seed", "--device", "--time-limit", "--experiment",
      "--methods", "--validation"},
     {},
     true,
     [](const Arguments& a, const Request& r) { compare(r, a.compare); }},
    {"sweep",
     "A comparison along one quantity: OUT/sweep/, how errors and costs grow",
     {"CASE", "--out", "--data", "--weights", "--initial", "--seed", "--device", "--time-limit", "--experiment",
      "--methods", "--over"},
     {},
     true,
     [](const Arguments& a, const Request& r) { sweep(r, a.compare, a.over); }},
    {"run",
     "All stages; those whose outputs match the configuration are skipped",
     {"CASE", "--out", "--data", "--weights", "--initial", "--seed", "--device", "--time-limit", "--batch",
      "--retrain"},
     {},
     true,
     [](const Arguments& a, const Request& r) { run(r, a.retrain, a.batch); }},
    {"info",
     "Explain a file: what it holds, how it was made",
     {"FILE"},
     {},
     false,
     [](const Arguments& a, const Request&) { print_result(describe_file(a.file)); }},
    {"keys",
     "List the keys of a configuration with their values",
     {"CASE", "--initial", "--seed", "--markdown"},
     {},
     false,
     [](const Arguments& a, const Request& r) {
       if (a.markdown) return print_result(options_page());
       print_result(key_list(r.config));
     }}};

bool reads(const Command& command, std::string_view option) {
  return std::find(command.options.begin(), command.options.end(), option) != command.options.end();
}

/// Files, folders and the configuration.
void add_inputs(const Command& command, CLI::App& c, Arguments& a) {
  const auto has = [&](std::string_view option) { return reads(command, option); };
  if (has("FILE"))
    c.add_option("FILE", a.file, "Data set, observations, analysis, weights, encoder, checkpoint, scores or results")
        ->required();
  if (has("CASE")) {
    std::string known;
    for (const Case& system : cases()) known += (known.empty() ? "" : ", ") + system.name;
    c.add_option("CASE", a.case_name,
                 "System: " + known + "; left out for one that this program does not know, with --data or --weights");
    c.add_option("--preset", a.preset, "Size of the case")->capture_default_str();
    c.add_option("--config", a.config, "TOML file with keys to change");
    c.add_option("--set", a.settings, "Change one key: --set section.key=value (repeatable)")->allow_extra_args(false);
  }
  if (has("--out")) {
    c.add_option("--out", a.out, "Folder of the run (default runs/CASE-PRESET; needed without CASE)");
    c.add_option("--threads", a.threads, "Threads; the results do not depend on it")
        ->capture_default_str()
        ->check(CLI::Range(1, 1024));
  }
  if (has("--data")) c.add_option("--data", a.data, fmt::format("Data set (default OUT/{})", dataset_name()));
  if (has("--weights"))
    c.add_option("--weights", a.weights,
                 "Surrogate (default OUT/weights.safetensors, or the shipped one where it fits)");
  if (has("--initial"))
    c.add_option("--initial", a.initial,
                 "Atmosphere: your initial condition, NetCDF with u, v, h, orography on lat, lon");
  if (has("--seed"))
    c.add_option("--seed", a.seed,
                 "Seed of start frames, ensembles and observation noise; data and training have others");
  if (has("--device")) {
    c.add_option("--device", a.device, "Computes with the surrogate: cpu, or cuda for the first GPU")
        ->capture_default_str()
        ->check(CLI::IsMember({"cpu", "cuda"}));
    c.add_option("--matmul", a.matmul,
                 "Its products: float32, or on a GPU tf32 or bf16, which are faster and have three digits")
        ->capture_default_str()
        ->check(CLI::IsMember({"float32", "tf32", "bf16"}));
  }
  if (has("--time-limit"))
    c.add_option("--time-limit", a.time_limit,
                 "Stop after this many seconds, with exit code 0; the same command goes on. A training then leaves a "
                 "checkpoint in OUT: with Adam of three times the weights (the published 10 x 300 decoder: 10 MB), "
                 "with SOAP of more than seven times (25 MB, too much for places that take files of 16 MiB)");
}

/// Methods, and the observations that they get.
void add_methods(CLI::App& c, Arguments& a) {
  std::string known;
  for (const MethodRow& row : methods())
    known += fmt::format("\n  {:<16} {} ({})", row.key, row.help,
                         row.space == SpaceName::latent ? "latent space" : "full space");
  c.add_option_function<std::vector<std::string>>(
       "--methods",
       [&a](const std::vector<std::string>& texts) {
         a.compare.methods.clear();
         for (const std::string& text : texts)
           for (std::string& name : split_methods(text)) a.compare.methods.push_back(std::move(name));
       },
       "Methods as a,b,c, each with its settings as a:relaxation=0.5:inflation=1.02 or levda:annealing=[30,1]; free "
       "and the baselines are always there:" +
           known)
      ->default_str("levda");
  c.add_option("--seeds", a.compare.draws, "Draws of the observation errors per truth")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  const auto shorthand = [&](const char* option, const char* key, const char* help) {
    c.add_option_function<std::string>(
        option, [&a, key](const std::string& value) { a.settings.push_back(fmt::format("{}={}", key, value)); },
        fmt::format("{}: --set {}", help, key));
  };
  shorthand("--sensors", "observations.sensors", "grid:NXxNY, random:N or scattered:N");
  shorthand("--every", "observations.every", "Frames between observations");
  shorthand("--noise", "observations.sigma", "Observation error in standard deviations of the channel");
  shorthand("--members", "assimilation.members", "Size of the ensemble");
}

void add_work(const Command& command, CLI::App& c, Arguments& a) {
  const auto has = [&](std::string_view option) { return reads(command, option); };
  const CLI::IsMember experiments({"cold", "warm"});
  if (has("--retrain")) c.add_flag("--retrain", a.retrain, "Train anew instead of taking the shipped weights");
  if (has("--batch"))
    c.add_option("--batch", a.batch,
                 "Truths assimilated together; 0: one on the CPU, all on a GPU. On the CPU the results do not depend "
                 "on it")
        ->capture_default_str()
        ->check(CLI::Range(0, 1000000));
  if (has("--observations")) {
    CLI::Option* file = c.add_option("--observations", a.one_file.observations,
                                     "Assimilate only this file, NetCDF or CSV: OUT/analysis.nc");
    c.add_option("--experiment", a.one_file.experiment,
                 "With --observations: cold, from the beginning of a trajectory, or warm, from an unknown time on "
                 "(default: as the file says, else warm)")
        ->check(experiments)
        ->needs(file);
    for (const char* other : {"--data", "--batch", "--initial"}) file->excludes(c.get_option(other));
  }
  if (has("--experiment"))
    c.add_option("--experiment", a.compare.experiment, "warm, from an unknown time on, or cold")
        ->capture_default_str()
        ->check(experiments);
  if (has("--methods")) add_methods(c, a);
  if (has("--validation"))
    c.add_flag("--validation", a.compare.validation,
               "Truths are the validation trajectories, to tune methods on: OUT/validation/");
  if (has("--markdown")) c.add_flag("--markdown", a.markdown, "Print the page experiments/OPTIONS.md instead");
  if (has("--over"))
    c.add_option("--over", a.over,
                 "members=5,10,20, window=5,10,20, sensors=4,16,64 (grids; or random:N), sigma=0.01,0.1,1, or any key "
                 "of observations or assimilation")
        ->required();
}

/// Throws InputError for a key that is unknown or that the command does not read.
void set(Config& config, const Command& command, const Arguments& a, const std::string& setting) {
  apply_setting(config, setting);
  const std::string key = setting.substr(0, setting.find('='));
  const bool one_file = !a.one_file.observations.empty();
  const Words& sections = one_file ? file_sections : command.sections;
  if (!sections.empty() && std::find(sections.begin(), sections.end(), key.substr(0, key.find('.'))) == sections.end())
    throw InputError("--set", key,
                     fmt::format("{}{} reads only {}; a file of --config may hold the others, too", command.name,
                                 one_file ? " --observations" : "", fmt::join(sections, ", ")));
}

Config configuration(const Command& command, const Arguments& a) {
  Config config = a.case_name.empty() ? own_config() : load_preset(a.case_name, a.preset);
  if (!a.config.empty()) apply_file(config, a.config);
  for (const std::string& setting : a.settings) set(config, command, a, setting);
  if (!a.initial.empty()) config.data.initial = a.initial;
  if (a.seed) apply_setting(config, fmt::format("seed={}", *a.seed));
  return config;
}

/// Throws InputError where options that are needed are missing, or contradict each other.
void check_arguments(const Command& command, const Arguments& a) {
  if (a.time_limit && !(*a.time_limit > 0))
    throw InputError("--time-limit", "", fmt::format("{} is not a number of seconds above 0", *a.time_limit));
  if (a.retrain && !a.weights.empty())
    throw InputError("--retrain", "", "goes to OUT/weights.safetensors; leave --weights out");
  if (!a.case_name.empty() || !reads(command, "--out")) return;
  if (!reads(command, "--data")) throw InputError("CASE", "", "is needed: which solver is to be run?");
  const bool one_file = !a.one_file.observations.empty();
  if (a.data.empty() && !one_file) throw InputError("CASE", "", "is needed, or --data with a data set of yours");
  if (one_file && a.weights.empty())
    throw InputError("--weights", "", "is needed with --observations where CASE is left out");
  if (a.out.empty()) throw InputError("--out", "", "is needed where CASE is left out");
}

void execute(const Command& command, const Arguments& a, const std::string& typed) {
  const auto begin = std::chrono::steady_clock::now();
  check_arguments(command, a);
  const oneapi::tbb::global_control threads(oneapi::tbb::global_control::max_allowed_parallelism,
                                            static_cast<std::size_t>(a.threads));
  const auto time_is_up = [&] {
    return a.time_limit &&
           std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() > *a.time_limit;
  };
  autodiff::Backend& backend = choose_device(a.device, a.matmul);
  const Request request{.config = configuration(command, a),
                        .out = a.out.empty() ? fmt::format("runs/{}-{}", a.case_name, a.preset) : a.out,
                        .data = a.data,
                        .weights = a.weights,
                        .command = typed,
                        .stop = [&] { return stop_signal() != 0 || time_is_up(); },
                        .threads = a.threads,
                        .backend = &backend};
  if (!reads(command, "--out")) return command.work(a, request);
  if (command.netcdf) require_netcdf(fmt::format("levda {}", command.name));
  check(request.config);
  if (command.sections.empty()) check_sections(request.config);
  const RunFolder folder(request.out);
  command.work(a, request);
}

}  // namespace

int run_command_line(int argc, char** argv) {
  CLI::App app(introduction, "levda");
  app.footer(footer);
  app.set_version_flag("--version", "levda " + version());
  app.require_subcommand(1);
  Arguments a;
  for (const Command& command : commands) {
    CLI::App* added = app.add_subcommand(command.name, command.help);
    add_inputs(command, *added, a);
    add_work(command, *added, a);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError& error) {
    const std::vector<CLI::App*> chosen = app.get_subcommands();
    tell(stderr, "levda{}: {}\n", chosen.empty() ? "" : " " + chosen.front()->get_name(), error.what());
    return 2;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
      std::ostringstream text;
      app.exit(error, text, text);
      print_result(text.str());
      return 0;
    }
    tell(stderr, "levda: {}\n", error.what());
    return 2;
  }
  std::string typed = "levda";
  for (int i = 1; i < argc; ++i) typed += fmt::format(" {}", argv[i]);
  for (const Command& command : commands)
    if (app.got_subcommand(command.name)) execute(command, a, typed);
  return 0;
}

}  // namespace levda::experiments
