#include "experiments/config/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cmath>

#include "autodiff/error.h"
#include "experiments/config/checksum.h"
#include "experiments/config/presets.h"
#include "nn/atomic_file.h"

namespace levda::experiments {

namespace {

/// Sets a key from a TOML value.
class Assignment {
 public:
  Assignment(const std::string& source, const Key& key, const toml::node& node)
      : source_(source), key_(key), node_(node) {
    std::visit([&](auto* target) { set(*target); }, key.value);
  }

 private:
  [[noreturn]] void fail(const std::string& message) const { throw InputError(source_, key_.name, message); }

  double in_range(double value) const {
    if (!(value >= key_.minimum && value <= key_.maximum))
      fail(fmt::format("{} is not in {} .. {}", value, key_.minimum, key_.maximum));
    return value;
  }
  void set(std::int64_t& target) const {
    const auto value = node_.value_exact<std::int64_t>();
    if (!value) fail("a whole number is needed");
    in_range(static_cast<double>(*value));
    target = *value;
  }
  void set(double& target) const { target = number(node_); }
  void set(std::string& target) const {
    const auto value = node_.value_exact<std::string>();
    if (!value) fail("a text is needed");
    target = *value;
  }
  void set(std::vector<double>& target) const {
    const toml::array* list = node_.as_array();
    if (list == nullptr || (list->empty() && !key_.may_be_empty)) fail("a list of numbers is needed");
    std::vector<double> values;
    for (const toml::node& entry : *list) values.push_back(number(entry));
    target = std::move(values);
  }
  double number(const toml::node& node) const {
    const auto value = node.value<double>();
    if (!value || node.is_boolean()) fail("a number is needed");
    return in_range(*value);
  }

  const std::string& source_;
  const Key& key_;
  const toml::node& node_;
};

void apply_table(Config& config, const toml::table& table, const std::string& source) {
  const std::vector<Key> all = keys(config);
  const auto apply = [&](const std::string& name, const toml::node& node) {
    const auto key = std::find_if(all.begin(), all.end(), [&](const Key& k) { return k.name == name; });
    if (key == all.end()) throw InputError(source, name, "unknown key; levda keys lists them");
    Assignment(source, *key, node);
  };
  for (const auto& [name, node] : table) {
    if (const toml::table* section = node.as_table()) {
      for (const auto& [inner, value] : *section) apply(fmt::format("{}.{}", name.str(), inner.str()), value);
    } else {
      apply(std::string(name.str()), node);
    }
  }
}

toml::table parse(const std::string& text, const std::string& source) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    throw InputError(source, fmt::format("line {}", error.source().begin.line), std::string(error.description()));
  }
}

}  // namespace

std::string text_of(const Key& key) {
  return std::visit(
      [](const auto* value) {
        if constexpr (std::is_same_v<decltype(value), const std::vector<double>*>)
          return fmt::format("[{}]", fmt::join(*value, ", "));
        else
          return fmt::format("{}", *value);
      },
      key.value);
}

std::vector<Key> keys(Config& c) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  constexpr double many = 1e6;
  models::LdnetArchitecture& s = c.surrogate;
  return {
      {"seed", &c.seed, "of start frames, ensembles and observation noise", 0, 1e15},
      {"checkpoint_seconds", &c.checkpoint_seconds, "between checkpoints of a training", 0, 1e9},
      {"shard_megabytes", &c.shard_megabytes, "values of a data set in one file, before compression", 1e-3, 1e5},
      {"data.seed", &c.data.seed, "of the trajectories' parameters", 0, 1e15},
      {"data.design", &c.data.design, "training parameters: even (a low-discrepancy sequence) or uniform (random)", 0,
       0},
      {"data.nodes", &c.data.nodes, "grid nodes in x and in y; of the atmosphere latitudes", 4, 4096},
      {"data.frames", &c.data.frames, "per trajectory", 2, many},
      {"data.frame_interval", &c.data.frame_interval, "time between frames, in the case's unit", 1e-9, 1e9},
      {"data.steps_per_frame", &c.data.steps_per_frame, "solver steps between frames", 1, many},
      {"data.first_frame", &c.data.first_frame, "when the first frame comes, in frame intervals after the start", 0,
       many, true},
      {"data.between", &c.data.between,
       "places between the nodes at a random solver step in each interval between frames; 0: none", 0, many},
      {"data.train", &c.data.train, "training trajectories", 2, many},
      {"data.valid", &c.data.valid, "validation trajectories: they measure the surrogate's error", 1, many},
      {"data.test", &c.data.test, "test trajectories: truths come from them", 1, many},
      {"data.variant", &c.data.variant, "of the case, where it has several", 0, 0, true},
      {"data.initial", &c.data.initial, "NetCDF file with an initial condition of yours, where the case takes one", 0,
       0, true},
      {"surrogate.latent", &s.latent, "latent variables", 1, 4096},
      {"surrogate.latent_dt", &s.latent_dt, "latent time of one frame; 0: 4 in a whole trajectory", 0, 1e9},
      {"surrogate.fourier_features", &s.fourier_features, "random frequencies of the coordinates; 0: the coordinates",
       0, 4096},
      {"surrogate.fourier_scale", &s.fourier_scale, "standard deviation of the frequencies, or their bound", 1e-9, 1e9},
      {"surrogate.embedding", &c.embedding,
       "of coordinates: natural (periodic where the domain is, on a sphere the place in space) or plane", 0, 0, true},
      {"surrogate.fourier_init", &c.fourier_init, "frequencies at first: normal or uniform (in [-scale, scale])", 0, 0,
       true},
      {"surrogate.fourier_trainable", &c.fourier_trainable, "1: the frequencies are trained, too", 0, 1, true},
      {"surrogate.dynamics_layers", &c.dynamics_layers,
       "residual_silu, relu (a plain network, as published) or residual_relu (in blocks of two)", 0, 0, true},
      {"surrogate.decoder_layers", &c.decoder_layers, "the same; as published residual_relu", 0, 0, true},
      {"surrogate.field_min", &c.field_min,
       "per channel: this and field_max become -1 and 1 for the network; []: z-scores", -infinity, infinity, true,
       true},
      {"surrogate.field_max", &c.field_max, "per channel", -infinity, infinity, true, true},
      {"surrogate.dynamics_depth", &s.dynamics_depth, "hidden layers of the dynamics", 1, 1000},
      {"surrogate.dynamics_width", &s.dynamics_width, "their width", 1, 8192},
      {"surrogate.decoder_depth", &s.decoder_depth, "hidden layers of the decoder", 1, 1000},
      {"surrogate.decoder_width", &s.decoder_width, "their width", 1, 8192},
      {"training.seed", &c.training.seed, "of weights and batches", 0, 1e15},
      {"training.optimiser", &c.training.optimiser, "soap or adam", 0, 0},
      {"training.steps", &c.training.steps, "of the optimiser", 1, 1e9},
      {"training.trajectories", &c.training.trajectories, "per step", 1, many},
      {"training.points", &c.training.points, "per frame", 1, many},
      {"training.pool", &c.training.pool,
       "nodes of each frame of a training trajectory, drawn once, that are kept in memory; 0: all", 0, 1e9, true},
      {"training.between", &c.training.between, "the same per time between frames, where the data have any", 1, many},
      {"training.rate", &c.training.rate, "learning rate at the start", 1e-12, 1e3},
      {"training.schedule", &c.training.schedule,
       "of the rate: cosine (falls to 0) or step (times decay every decay_epochs)", 0, 0, true},
      {"training.decay", &c.training.decay, "of the rate, schedule step", 1e-6, 1, true},
      {"training.decay_epochs", &c.training.decay_epochs, "between two decays; in an epoch each trajectory comes once",
       1, many, true},
      {"training.draw", &c.training.draw,
       "points of a frame: afresh at each step, or once for each (trajectory, frame)", 0, 0, true},
      {"training.finetune_steps", &c.training.finetune_steps,
       "after these: of the decoder alone, latent trajectories stay as they are", 0, 1e9, true},
      {"training.finetune_rate", &c.training.finetune_rate, "its learning rate; falls to 0 along a cosine", 1e-12, 1e3,
       true},
      {"training.clip", &c.training.clip, "largest global norm of the gradient", 1e-12, infinity},
      {"training.tile", &c.training.tile, "frames decoded together in one thread's cache", 1, many},
      {"training.validate_every", &c.training.validate_every, "steps", 1, 1e9},
      {"observations.truths", &c.observations.truths, "test trajectories to be observed; 0: all, at most 16", 0, many},
      {"observations.sensors", &c.observations.sensors,
       "grid:NXxNY or random:N (all channels of those cells, every so many frames) or scattered:N (N values at random "
       "times and places)",
       0, 0},
      {"observations.sigma", &c.observations.sigma, "error, in standard deviations of the channel", 1e-12, 1e6},
      {"observations.every", &c.observations.every, "frames between observations", 1, many},
      {"observations.refinement", &c.observations.refinement,
       "truths come from a solver on a grid so many times as fine as the data set's, sampled at its nodes; 1: they are "
       "its test trajectories",
       1, 8, true},
      {"observations.gross_fraction", &c.observations.gross_fraction, "share of values with a gross error on top", 0, 1,
       true},
      {"observations.gross_size", &c.observations.gross_size, "of such an error, of random sign, in sigma", 0, many,
       true},
      {"encoder.seed", &c.encoder.seed, "of weights and noise", 0, 1e15},
      {"encoder.hidden", &c.encoder.hidden, "units of the LSTM", 1, 8192},
      {"encoder.steps", &c.encoder.steps, "of Adam, each with all training trajectories", 1, 1e9},
      {"encoder.rate", &c.encoder.rate, "learning rate at the start; falls to 0 along a cosine", 1e-12, 1e3},
      {"encoder.noise", &c.encoder.noise,
       "of the observations in training, fresh at each step, in standard deviations of the channel; 0: none, as "
       "published",
       0, 1e6},
      {"encoder.validate_every", &c.encoder.validate_every, "steps", 1, 1e9},
      {"assimilation.members", &c.assimilation.members, "of the ensemble", 2, many},
      {"assimilation.frames", &c.assimilation.frames, "frames that are analysed; 0: all that are observed", 0, many},
      {"assimilation.window", &c.assimilation.window, "frames of one window, L; 0: all", 0, many},
      {"assimilation.shift", &c.assimilation.shift, "frames from window to window, S <= L; 0: L", 0, many},
      {"assimilation.start_min", &c.assimilation.start_min, "warm: earliest start frame of a truth", 0, many},
      {"assimilation.start_max", &c.assimilation.start_max,
       "warm: latest start frame of a truth; -1: the last one that leaves room for the frames", -1, many},
      {"assimilation.minimiser", &c.assimilation.minimiser,
       "gauss_newton, lbfgs (exact gradient) or ensemble (classical 4DEnVar, no derivatives)", 0, 0},
      {"assimilation.precision", &c.assimilation.precision,
       "of the model in minimisations with inflated R: mixed (float32) or float64; the last one is float64", 0, 0},
      {"assimilation.starts", &c.assimilation.starts, "best members to start from besides the mean", 0, many},
      {"assimilation.candidates", &c.assimilation.candidates,
       "training states among which as many starts more are sought, of LEVDA over weights by derivatives; 0: none", 0,
       many, true},
      {"assimilation.annealing", &c.assimilation.annealing, "factors of R, one minimisation each; the last is 1", 1,
       1e12},
      {"assimilation.keep_ratio", &c.assimilation.keep_ratio,
       "minima with a cost above so many times the lowest are dropped", 1, infinity},
      {"assimilation.iterations", &c.assimilation.iterations, "Gauss-Newton iterations per minimisation, at most", 1,
       many},
      {"assimilation.control", &c.assimilation.control,
       "of LEVDA: weights (of the anomalies) or transform (of the ensemble, as in its authors' flood program)", 0, 0,
       true},
      {"assimilation.gross_error", &c.assimilation.gross_error,
       "observations farther from the ensemble than so many predictive standard deviations are left out; 0: none are",
       0, many, true},
      {"assimilation.parameters", &c.assimilation.parameters,
       "free, bounded (to the prior range and 5% of it on either side) or positive", 0, 0, true},
      {"assimilation.parameter_walk", &c.assimilation.parameter_walk,
       "random steps of parameters from window to window, in prior ranges", 0, many, true},
      {"assimilation.score_stride", &c.assimilation.score_stride, "fields are scored at every so many-th node", 1, 64},
      {"assimilation.forecast", &c.assimilation.forecast,
       "frames after the last analysis to which it is carried on and scored there by itself", 0, many, true},
      {"assimilation.inflation", &c.assimilation.inflation, "factor of the anomalies after an analysis", 1e-3, 1e3,
       true},
      {"assimilation.relaxation", &c.assimilation.relaxation, "of the spread after an analysis to that before (RTPS)",
       0, 1, true},
      {"assimilation.localisation", &c.assimilation.localisation,
       "half-width of the LETKF's weights, in widths of the domain (of a sphere 360 degrees)", 1e-6, 1e6, true},
      {"assimilation.error_factor", &c.assimilation.error_factor,
       "of R in the latent space: errors of a surrogate are correlated; levda calibrate fits it", 1e-6, 1e6, true},
      {"assimilation.surrogate_factor", &c.assimilation.surrogate_factor,
       "of the surrogate's error variance in the predictive variance of scores; levda calibrate fits it", 0, 1e6, true},
      {"assimilation.surrogate_trend", &c.assimilation.surrogate_trend,
       "growth of that variance's logarithm per half prior range of each parameter; none: it is the same for all; "
       "levda "
       "calibrate fits it",
       -20, 20, true, true},
  };
}

Config own_config() {
  Config config;
  config.preset = "own";
  config.surrogate.latent_dt = 0;
  config.observations.truths = 0;
  return config;
}

Config load_preset(const std::string& case_name, const std::string& preset) {
  const std::string name = case_name + "-" + preset;
  for (const Preset& known : presets()) {
    if (known.name != name) continue;
    Config config;
    config.case_name = case_name;
    config.preset = preset;
    apply_table(config, parse(known.toml, name + ".toml"), name + ".toml");
    return config;
  }
  std::vector<std::string> systems;  // as the presets' names have them
  std::vector<std::string> known;
  for (const Preset& own : presets()) {
    const std::size_t dash = own.name.find('-');
    const std::string system = own.name.substr(0, dash);
    if (systems.empty() || systems.back() != system) systems.push_back(system);
    if (system == case_name) known.push_back(own.name.substr(dash + 1));
  }
  if (known.empty())
    throw InputError("CASE", case_name, fmt::format("unknown; there are {}", fmt::join(systems, ", ")));
  throw InputError("--preset", preset, fmt::format("unknown; {} has {}", case_name, fmt::join(known, ", ")));
}

void apply_file(Config& config, const std::filesystem::path& path) {
  apply_table(config, parse(nn::read_text_file(path), path.string()), path.string());
}

void apply_setting(Config& config, const std::string& setting) {
  const std::size_t sign = setting.find('=');
  if (sign == std::string::npos) throw InputError("--set", setting, "section.key=value is needed");
  const std::string key = setting.substr(0, sign);
  const std::string value = setting.substr(sign + 1);
  toml::table table;
  try {
    table = toml::parse(fmt::format("{} = {}", key, value));
  } catch (const toml::parse_error&) {
    try {
      table = toml::parse(fmt::format("{} = '''{}'''", key, value));
    } catch (const toml::parse_error& error) {
      throw InputError("--set", setting, std::string(error.description()));
    }
  }
  apply_table(config, table, "--set");
}

namespace {

[[noreturn]] void fail(const char* key, const std::string& message) { throw InputError("configuration", key, message); }

}  // namespace

void check(const Config& config) {
  const AssimilationConfig& a = config.assimilation;
  const auto one_of = [&](const char* key, const std::string& value, std::initializer_list<const char*> known) {
    if (std::find(known.begin(), known.end(), value) == known.end())
      fail(key, fmt::format("\"{}\" is none of {}", value, fmt::join(known, ", ")));
  };
  one_of("data.design", config.data.design, {"even", "uniform"});
  one_of("surrogate.embedding", config.embedding, {"natural", "plane"});
  const auto layers = {"residual_silu", "relu", "residual_relu"};
  one_of("surrogate.dynamics_layers", config.dynamics_layers, layers);
  one_of("surrogate.decoder_layers", config.decoder_layers, layers);
  one_of("surrogate.fourier_init", config.fourier_init, {"normal", "uniform"});
  if (config.field_min.size() != config.field_max.size())
    fail("surrogate.field_max", "needs as many numbers as surrogate.field_min");
  for (std::size_t i = 0; i < config.field_min.size(); ++i)
    if (!(std::isfinite(config.field_max[i] - config.field_min[i]) && config.field_max[i] > config.field_min[i]))
      fail("surrogate.field_max", fmt::format("{} is not above {}", config.field_max[i], config.field_min[i]));
  one_of("training.schedule", config.training.schedule, {"cosine", "step"});
  one_of("training.draw", config.training.draw, {"afresh", "once"});
  one_of("training.optimiser", config.training.optimiser, {"adam", "soap"});
  one_of("assimilation.minimiser", a.minimiser, {"gauss_newton", "lbfgs", "ensemble"});
  one_of("assimilation.precision", a.precision, {"mixed", "float64"});
  one_of("assimilation.control", a.control, {"weights", "transform"});
  one_of("assimilation.parameters", a.parameters, {"free", "bounded", "positive"});
  if (a.start_max >= 0 && a.start_max < a.start_min) fail("assimilation.start_max", "is below start_min");
  if (a.window > 0 && a.shift > a.window) fail("assimilation.shift", "is above the window");
  if (a.annealing.back() != 1) fail("assimilation.annealing", "the last factor of R must be 1");
  if (config.case_name.empty() && config.observations.refinement > 1)
    fail("observations.refinement", "needs a solver of this program");
}

void check_sections(const Config& config) {
  if (config.case_name.empty()) return;  // the data are not of the configuration
  const AssimilationConfig& a = config.assimilation;
  const AssimilationConfig settled = resolve(a, config.data.frames, config.data.frames / 2);
  if (settled.start_max < settled.start_min ||
      settled.start_max + settled.frames + settled.forecast > config.data.frames)
    fail("assimilation.start_max",
         fmt::format("start frame {} and {} {} frames leave the {} of the data", settled.start_max,
                     settled.frames + settled.forecast, settled.forecast > 0 ? "observed and forecast" : "observed",
                     config.data.frames));
  if (a.members > config.data.train)
    fail("assimilation.members",
         fmt::format("{} members need as many training trajectories; there are {}", a.members, config.data.train));
  if (config.observations.truths > config.data.test)
    fail("observations.truths", fmt::format("{} truths need as many test trajectories; there are {}",
                                            config.observations.truths, config.data.test));
  if (config.training.trajectories > config.data.train)
    fail("training.trajectories", fmt::format("more than the {} training trajectories", config.data.train));
}

AssimilationConfig resolve(const AssimilationConfig& assimilation, std::int64_t frames, std::int64_t observed) {
  AssimilationConfig a = assimilation;
  if (a.frames == 0) a.frames = std::max<std::int64_t>(1, observed);
  if (a.window == 0) a.window = a.frames;
  if (a.shift == 0) a.shift = a.window;
  if (a.start_max < 0) a.start_max = frames - a.frames - a.forecast;
  return a;
}

std::string fingerprint(Config config, const std::vector<std::string>& sections) {
  std::string text = fmt::format("case = {}\n", config.case_name);
  Config original;
  const std::vector<Key> all = keys(config);
  const std::vector<Key> defaults = keys(original);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Key& key = all[i];
    const std::string section = key.name.substr(0, key.name.find('.'));
    if (std::find(sections.begin(), sections.end(), section) == sections.end()) continue;
    std::string value = text_of(key);
    // What the file says counts, not where it lies.
    std::error_code missing;
    if (key.name == "data.initial" && std::filesystem::is_regular_file(value, missing))
      value = checksum(nn::read_text_file(value));
    if (key.later && value == text_of(defaults[i])) continue;
    text += fmt::format("{} = {}\n", key.name, value);
  }
  return text;
}

}  // namespace levda::experiments
