#pragma once

/// The configuration of a run. A preset is a TOML file in experiments/presets/, compiled in; a file of the user and
/// `--set section.key=value` change single keys.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "autodiff/choices.h"
#include "da/latent_control.h"
#include "da/levda.h"
#include "models/training_settings.h"

namespace levda::experiments {

/// How the parameters of training trajectories fill their range.
enum class Design : std::uint8_t { even, uniform };

}  // namespace levda::experiments

namespace levda {

template <>
inline constexpr std::array choices<experiments::Design>{Choice{experiments::Design::even, "even"},
                                                         Choice{experiments::Design::uniform, "uniform"}};

}  // namespace levda

namespace levda::experiments {

struct DataConfig {
  std::int64_t seed = 1;
  Design design = Design::even;
  std::int64_t nodes = 64;
  std::int64_t frames = 50;
  double frame_interval = 857.12;
  std::int64_t steps_per_frame = 17;
  std::int64_t first_frame = 1;
  std::int64_t between = 256;
  std::int64_t train = 100;
  std::int64_t valid = 20;
  std::int64_t test = 30;
  std::string variant;
  std::string initial;
  std::int64_t refinement = 1;  ///< no key; for truths: how many times finer the grid is than the data set's
};

struct TrainingConfig : models::TrainingSettings {
  std::int64_t pool = 0;  ///< nodes of each frame that are kept in memory; 0: all nodes
};

struct ObservationConfig {
  std::int64_t truths = 16;  ///< 0: all, at most 16
  std::string sensors = "grid:8x8";
  double sigma = 0.1;
  std::int64_t every = 1;
  std::int64_t refinement = 1;
  double gross_fraction = 0;
  double gross_size = 10;
};

/// The training of LD-EnSF's observation encoder.
struct EncoderConfig {
  std::int64_t seed = 1;
  std::int64_t hidden = 128;
  std::int64_t steps = 2000;
  double rate = 3e-3;
  double noise = 0;
  std::int64_t validate_every = 100;
};

/// resolve() replaces lengths of 0 and a start_max of -1.
struct AssimilationConfig {
  std::int64_t members = 20;
  std::int64_t frames = 0;
  std::int64_t window = 0;
  std::int64_t shift = 0;
  std::int64_t start_min = 0;
  std::int64_t start_max = -1;
  da::Minimiser minimiser = da::Minimiser::gauss_newton;
  da::Precision precision = da::Precision::mixed;
  std::int64_t starts = 4;
  std::int64_t candidates = 0;
  std::vector<double> annealing{100, 10, 1};
  double keep_ratio = 4;
  std::int64_t iterations = 40;
  da::Control control = da::Control::weights;
  double gross_error = 0;
  da::ParameterRange parameters = da::ParameterRange::free;
  double parameter_walk = 0;
  std::int64_t score_stride = 2;
  std::int64_t forecast = 0;
  double inflation = 1;
  double relaxation = 0;
  double localisation = 0.1;
  double error_factor = 1;
  double surrogate_factor = 1;
  std::vector<double> surrogate_trend;
};

struct Config {
  std::string case_name;  ///< empty for a system that this program does not know
  std::string preset;
  std::int64_t seed = 1;           ///< seeds start frames, ensembles and observation noise
  double checkpoint_seconds = 30;  ///< time between checkpoints of a training; no output depends on it
  double shard_megabytes = 32;     ///< size of a data set's file; the values do not depend on it
  DataConfig data;
  models::NetworkSettings surrogate;
  TrainingConfig training;
  ObservationConfig observations;
  EncoderConfig encoder;
  AssimilationConfig assimilation;
};

/// A setting that is one of the named values of an enum (autodiff/choices.h).
struct EnumSetting {
  template <typename E>
  requires std::is_enum_v<E> EnumSetting(E* value)
      : get([value] { return name_of(*value); }),
        set([value](std::string_view name) {
          const std::optional<E> found = choice_of<E>(name);
          if (found) *value = *found;
          return found.has_value();
        }),
        names(choice_names<E>()) {}

  std::function<std::string_view()> get;
  std::function<bool(std::string_view name)> set;  ///< false, and nothing is set: no value has the name
  std::string names;                               ///< of all values, "a, b, c"
};

/// A key as a user sets it.
struct Key {
  std::string name;  ///< "section.key"
  std::variant<std::int64_t*, bool*, double*, std::string*, std::vector<double>*, EnumSetting> value;
  std::string unit;  ///< empty: none
  std::string help;
  double minimum = 0;  ///< of numbers
  double maximum = 0;
  bool later = false;         ///< younger than some results: not part of a fingerprint where it has its default
  bool may_be_empty = false;  ///< a list
};

/// The value of a key as a user would set it.
std::string text_of(const Key& key);

/// The values that a key may have: "0 .. 10", "even, uniform", "text".
std::string values_of(const Key& key);

/// All keys of a configuration, in the order in which they are shown and stand in fingerprints.
std::vector<Key> keys(Config& config);

/// All keys with their values, help, allowed values and units, one per line.
std::string key_list(Config config);

/// experiments/OPTIONS.md: the keys with default, values, unit and meaning, and the commands that read them.
std::string options_page();

/// The configuration of a system that this program does not know. Settings that depend on its data are left open.
Config own_config();

/// The preset of a case. Throws InputError naming the option: unknown case or preset.
Config load_preset(const std::string& case_name, const std::string& preset);

/// Sets the keys of a TOML file. Throws InputError naming the file and the key: no such file, not TOML, unknown key, a
/// value of the wrong type, out of range or none of the names.
void apply_file(Config& config, const std::filesystem::path& path);

/// Sets one key from "section.key=value"; strings need no quotes. Throws InputError.
void apply_setting(Config& config, const std::string& setting);

/// Throws InputError (source "configuration") when keys of a section contradict each other.
void check(const Config& config);

/// Throws InputError when training, observations or assimilation need more trajectories or frames than the section data
/// of a known case makes.
void check_sections(const Config& config);

/// Fills in the open settings of the assimilation for trajectories of `frames` frames. Defaults: `observed` frames are
/// analysed, in one window, and starts lie anywhere in the trajectory.
AssimilationConfig resolve(const AssimilationConfig& assimilation, std::int64_t frames, std::int64_t observed);

/// The keys of some sections ("data", "surrogate", ..) as text, one "key = value" per line, on which a stage's
/// output depends. Equal text, equal output.
std::string fingerprint(Config config, const std::vector<std::string>& sections);

}  // namespace levda::experiments
