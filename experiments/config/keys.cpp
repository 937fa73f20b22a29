#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <iterator>
#include <limits>
#include <utility>

#include "experiments/config/config.h"

namespace levda::experiments {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double many = 1e6;

/// A key that some results of version 0.1.0 do not know.
Key added(Key key) {
  key.later = true;
  return key;
}

std::vector<Key> general_keys(Config& c) {
  return {
      {"seed", &c.seed, "", "seed of start frames, ensembles and observation noise", 0, 1e15},
      {"checkpoint_seconds", &c.checkpoint_seconds, "s", "time between checkpoints of a training", 0, 1e9},
      {"shard_megabytes", &c.shard_megabytes, "MB", "values of a data set in one file, before compression", 1e-3, 1e5},
  };
}

std::vector<Key> data_keys(DataConfig& d) {
  return {
      {"data.seed", &d.seed, "", "seed of the trajectories' parameters", 0, 1e15},
      {"data.design", &d.design, "", "how training parameters are drawn: even is a low-discrepancy sequence"},
      {"data.nodes", &d.nodes, "nodes", "grid nodes in x and in y; latitudes of the atmosphere", 4, 4096},
      {"data.frames", &d.frames, "frames", "length of a trajectory", 2, many},
      {"data.frame_interval", &d.frame_interval, "time unit", "time between frames, in the unit of the case", 1e-9,
       1e9},
      {"data.steps_per_frame", &d.steps_per_frame, "steps", "solver steps between frames", 1, many},
      added({"data.first_frame", &d.first_frame, "frames", "time of the first frame after the start", 0, many}),
      {"data.between", &d.between, "places",
       "places between the nodes at a random solver step in each interval between frames; 0: none", 0, many},
      {"data.train", &d.train, "", "training trajectories", 2, many},
      {"data.valid", &d.valid, "", "validation trajectories, which measure the surrogate's error", 1, many},
      {"data.test", &d.test, "", "test trajectories, from which truths are taken", 1, many},
      added({"data.variant", &d.variant, "", "variant of the case: modes for kolmogorov; the others have none"}),
      added({"data.initial", &d.initial, "", "NetCDF file with your own initial condition (atmosphere only)"}),
  };
}

std::vector<Key> surrogate_keys(Config& c) {
  models::NetworkSettings& s = c.surrogate;
  return {
      {"surrogate.latent", &s.latent, "", "latent variables", 1, 4096},
      {"surrogate.latent_dt", &s.latent_dt, "latent time", "time of one frame; 0: 4 in a whole trajectory", 0, 1e9},
      {"surrogate.fourier_features", &s.fourier_features, "",
       "random frequencies of the coordinates; 0: the coordinates themselves", 0, 4096},
      {"surrogate.fourier_scale", &s.fourier_scale, "",
       "standard deviation of normal frequencies, bound of uniform ones", 1e-9, 1e9},
      added({"surrogate.embedding", &s.embedding, "",
             "coordinates: natural (periodic where the domain is, points in space on a sphere) or plane"}),
      added({"surrogate.fourier_init", &s.fourier_init, "",
             "initial frequencies: normal, or uniform in [-scale, scale]"}),
      added({"surrogate.fourier_trainable", &s.fourier_trainable, "", "1: the frequencies are trained, too", 0, 1}),
      added({"surrogate.dynamics_layers", &s.dynamics_layers, "",
             "hidden layers of the dynamics; relu is a plain network, as published; residual_relu has blocks of two"}),
      added({"surrogate.decoder_layers", &s.decoder_layers, "",
             "hidden layers of the decoder; residual_relu as published"}),
      added({"surrogate.field_min", &s.field_min, "channel",
             "per channel; field_min and field_max become -1 and 1 for the network; []: z-scores", -infinity, infinity,
             false, true}),
      added({"surrogate.field_max", &s.field_max, "channel", "per channel, as field_min", -infinity, infinity, false,
             true}),
      {"surrogate.dynamics_depth", &s.dynamics_depth, "layers", "hidden layers of the dynamics", 1, 1000},
      {"surrogate.dynamics_width", &s.dynamics_width, "units", "width of the dynamics' layers", 1, 8192},
      {"surrogate.decoder_depth", &s.decoder_depth, "layers", "hidden layers of the decoder", 1, 1000},
      {"surrogate.decoder_width", &s.decoder_width, "units", "width of the decoder's layers", 1, 8192},
  };
}

std::vector<Key> training_keys(TrainingConfig& t) {
  return {
      {"training.seed", &t.seed, "", "seed of weights and batches", 0, 1e15},
      {"training.optimiser", &t.optimiser, "", "algorithm that trains the weights"},
      {"training.steps", &t.steps, "steps", "steps of the optimiser", 1, 1e9},
      {"training.trajectories", &t.trajectories, "", "trajectories of a step, with all their frames", 1, many},
      {"training.points", &t.points, "points", "points of each frame in a step", 1, many},
      added({"training.pool", &t.pool, "nodes",
             "nodes of each frame of a training trajectory, drawn once, that are kept in memory; 0: all", 0, 1e9}),
      {"training.between", &t.between, "points", "points of each time between frames, where the data have such times",
       1, many},
      {"training.rate", &t.rate, "", "learning rate at the start", 1e-12, 1e3},
      added({"training.schedule", &t.schedule, "",
             "course of the learning rate: cosine falls to 0, step multiplies by decay every decay_epochs"}),
      added({"training.decay", &t.decay, "", "factor of the learning rate (schedule step)", 1e-6, 1}),
      added({"training.decay_epochs", &t.decay_epochs, "epochs",
             "epochs between two decays; an epoch visits each trajectory once", 1, many}),
      added({"training.draw", &t.draw, "", "when points are drawn: afresh at each step, or once for each frame"}),
      added({"training.finetune_steps", &t.finetune_steps, "steps",
             "further steps of the decoder alone; the latent trajectories stay as they are", 0, 1e9}),
      added({"training.finetune_rate", &t.finetune_rate, "",
             "learning rate of the further steps; it falls to 0 along a cosine", 1e-12, 1e3}),
      {"training.clip", &t.clip, "", "largest global norm of the gradient", 1e-12, infinity},
      {"training.tile", &t.tile, "frames", "frames decoded together in one thread's cache", 1, many},
      {"training.validate_every", &t.validate_every, "steps", "steps between validations", 1, 1e9},
  };
}

std::vector<Key> observation_keys(ObservationConfig& o) {
  return {
      {"observations.truths", &o.truths, "", "test trajectories that are observed; 0: all, at most 16", 0, many},
      {"observations.sensors", &o.sensors, "",
       "grid:NXxNY or random:N (all channels of those cells) or scattered:N (N values at random times and places)"},
      {"observations.sigma", &o.sigma, "standard deviations of the channel", "observation error", 1e-12, 1e6},
      {"observations.every", &o.every, "frames", "frames between observations", 1, many},
      added(
          {"observations.refinement", &o.refinement, "",
           "truths come from a solver on a grid this many times finer, sampled at the data set's nodes; 1: truths are "
           "test trajectories",
           1, 8}),
      added({"observations.gross_fraction", &o.gross_fraction, "", "share of values with a gross error on top", 0, 1}),
      added({"observations.gross_size", &o.gross_size, "sigma", "size of a gross error, of random sign", 0, many}),
  };
}

std::vector<Key> encoder_keys(EncoderConfig& e) {
  return {
      {"encoder.seed", &e.seed, "", "seed of weights and noise", 0, 1e15},
      {"encoder.hidden", &e.hidden, "units", "hidden units of the LSTM", 1, 8192},
      {"encoder.steps", &e.steps, "steps", "steps of Adam, each with all training trajectories", 1, 1e9},
      {"encoder.rate", &e.rate, "", "learning rate at the start; it falls to 0 along a cosine", 1e-12, 1e3},
      {"encoder.noise", &e.noise, "standard deviations of the channel",
       "observation errors in training, drawn afresh at each step; 0: none, as published", 0, 1e6},
      {"encoder.validate_every", &e.validate_every, "steps", "steps between validations", 1, 1e9},
  };
}

std::vector<Key> assimilation_keys(AssimilationConfig& a) {
  return {
      {"assimilation.members", &a.members, "members", "size of the ensemble", 2, many},
      {"assimilation.frames", &a.frames, "frames", "frames that are analysed; 0: all that are observed", 0, many},
      {"assimilation.window", &a.window, "frames", "length of a window, L; 0: all frames", 0, many},
      {"assimilation.shift", &a.shift, "frames", "shift from window to window, S <= L; 0: L", 0, many},
      {"assimilation.start_min", &a.start_min, "frames", "warm: earliest start frame of a truth", 0, many},
      {"assimilation.start_max", &a.start_max, "frames",
       "warm: latest start frame of a truth; -1: the last one that leaves room for the frames", -1, many},
      {"assimilation.minimiser", &a.minimiser, "",
       "how LEVDA minimises: lbfgs uses the exact gradient; ensemble is classical 4DEnVar without derivatives"},
      {"assimilation.precision", &a.precision, "",
       "model in minimisations with inflated R: mixed is float32; the last minimisation is always float64"},
      {"assimilation.starts", &a.starts, "members", "best members to start from besides the mean", 0, many},
      added({"assimilation.candidates", &a.candidates, "training states",
             "training states among which LEVDA seeks as many further starts; 0: none", 0, many}),
      {"assimilation.annealing", &a.annealing, "", "factors of R, one minimisation each; the last is 1", 1, 1e12},
      {"assimilation.keep_ratio", &a.keep_ratio, "", "minima are dropped whose cost exceeds the lowest by this factor",
       1, infinity},
      {"assimilation.iterations", &a.iterations, "iterations", "most Gauss-Newton iterations of a minimisation", 1,
       many},
      added({"assimilation.control", &a.control, "",
             "control of LEVDA: weights of the anomalies, or a transform of the ensemble as in its authors' flood "
             "program"}),
      added({"assimilation.gross_error", &a.gross_error, "standard deviations",
             "observations farther from the ensemble's prediction are left out; 0: none are", 0, many}),
      added({"assimilation.parameters", &a.parameters, "",
             "transform of parameters: none (free), bounded to the prior range widened by 5% on either side, or "
             "positive"}),
      added({"assimilation.parameter_walk", &a.parameter_walk, "prior ranges",
             "standard deviation of random steps of parameters from window to window", 0, many}),
      {"assimilation.score_stride", &a.score_stride, "nodes", "fields are scored at every score_stride-th node", 1, 64},
      added({"assimilation.forecast", &a.forecast, "frames",
             "frames after the last analysis to which it is carried on and scored separately", 0, many}),
      added({"assimilation.inflation", &a.inflation, "", "factor of the anomalies after an analysis", 1e-3, 1e3}),
      added(
          {"assimilation.relaxation", &a.relaxation, "", "relaxation of the spread to the prior spread (RTPS)", 0, 1}),
      added({"assimilation.localisation", &a.localisation, "widths of the domain",
             "half-width of the LETKF's weights; a sphere is 360 degrees wide", 1e-6, 1e6}),
      added({"assimilation.error_factor", &a.error_factor, "",
             "factor of R in the latent space, since a surrogate's errors are correlated; levda calibrate fits it",
             1e-6, 1e6}),
      added({"assimilation.surrogate_factor", &a.surrogate_factor, "",
             "factor of the surrogate's error variance in the predictive variance of scores; levda calibrate fits it",
             0, 1e6}),
      added({"assimilation.surrogate_trend", &a.surrogate_trend, "1 / half prior range",
             "growth of that variance's logarithm with each parameter; []: none; levda calibrate fits it", -20, 20,
             false, true}),
  };
}

}  // namespace

std::vector<Key> keys(Config& config) {
  std::vector<Key> all = general_keys(config);
  for (std::vector<Key> section :
       {data_keys(config.data), surrogate_keys(config), training_keys(config.training),
        observation_keys(config.observations), encoder_keys(config.encoder), assimilation_keys(config.assimilation)})
    std::move(section.begin(), section.end(), std::back_inserter(all));
  return all;
}

std::string text_of(const Key& key) {
  return std::visit(
      [](const auto& value) -> std::string {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, EnumSetting>)
          return std::string(value.get());
        else if constexpr (std::is_same_v<T, std::vector<double>*>)
          return fmt::format("[{}]", fmt::join(*value, ", "));
        else if constexpr (std::is_same_v<T, bool*>)
          return *value ? "1" : "0";
        else
          return fmt::format("{}", *value);
      },
      key.value);
}

std::string values_of(const Key& key) {
  if (const auto* names = std::get_if<EnumSetting>(&key.value)) return names->names;
  if (std::holds_alternative<std::string*>(key.value)) return "text";
  return fmt::format("{}{:g} .. {:g}", std::holds_alternative<std::vector<double>*>(key.value) ? "list of " : "",
                     key.minimum, key.maximum);
}

std::string key_list(Config config) {
  std::string text;
  for (const Key& key : keys(config))
    text += fmt::format("{:<44}  # {} ({}{}{})\n", fmt::format("{} = {}", key.name, text_of(key)), key.help,
                        values_of(key), key.unit.empty() ? "" : " ", key.unit);
  return text;
}

std::string options_page() {
  struct Section {
    const char* name;
    const char* read_by;
  };
  constexpr const char* twin =
      "`observe`, `encode`, `assimilate`, `calibrate`, `compare`, `sweep` and `report` read them";
  constexpr std::array sections{
      Section{"general",
              "`observe`, `encode` and all later stages read `seed`; `train` and `encode` read `checkpoint_seconds`; "
              "`generate` "
              "reads "
              "`shard_megabytes`"},
      Section{"data",
              "`generate` reads them; the other commands do only where they run the solver (scattered sensors, "
              "finer truths,\nmethods of full states)"},
      Section{"surrogate", "`train` reads them"},
      Section{"training", "`train` reads them"},
      Section{"observations", twin},
      Section{"encoder", "`encode` reads them, and `compare` and `sweep` do for the method `ldensf`"},
      Section{"assimilation", twin}};
  std::string page =
      "# Options\n\n"
      "These keys are set with `--set KEY=VALUE` or in a TOML file for `--config`, where the part before the dot is "
      "the\n"
      "table. Defaults are those of a system of your own; each preset sets its own values, which\n"
      "`levda keys CASE --preset PRESET` shows. `levda run` reads all keys but those of `encoder`.\n"
      "`levda keys --markdown` prints this page.\n";
  Config defaults = own_config();
  const std::vector<Key> all = keys(defaults);
  for (const Section& section : sections) {
    page += fmt::format("\n## {}\n\n{}.\n\n| key | default | values | unit | meaning |\n|---|---|---|---|---|\n",
                        section.name, section.read_by);
    for (const Key& key : all) {
      const std::size_t dot = key.name.find('.');
      if ((dot == std::string::npos ? "general" : key.name.substr(0, dot)) != section.name) continue;
      const std::string value = text_of(key);
      page += fmt::format("| `{}` | {} | {} | {} | {} |\n", key.name, value.empty() ? "" : "`" + value + "`",
                          values_of(key), key.unit, key.help);
    }
  }
  return page;
}

}  // namespace levda::experiments
