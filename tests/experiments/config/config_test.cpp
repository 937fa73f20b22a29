#include "experiments/config/config.h"

#include <doctest/doctest.h>

#include <set>
#include <sstream>

#include "autodiff/error.h"
#include "experiments/config/presets.h"
#include "models/checksum.h"
#include "nn/atomic_file.h"

using namespace levda::experiments;
using levda::InputError;

namespace {

const std::vector<std::string> all_sections{"seed",         "data",    "surrogate",   "training",
                                            "observations", "encoder", "assimilation"};

// Every key away from its default where a fingerprint leaves defaults out, as version 0.1.0 writes them.
const char* const every_key = R"(case = 
seed = 1
data.seed = 1
data.design = uniform
data.nodes = 64
data.frames = 50
data.frame_interval = 857.12
data.steps_per_frame = 17
data.first_frame = 0
data.between = 256
data.train = 100
data.valid = 20
data.test = 30
data.variant = modes
data.initial = none.nc
surrogate.latent = 10
surrogate.latent_dt = 0.08
surrogate.fourier_features = 16
surrogate.fourier_scale = 0.5
surrogate.embedding = plane
surrogate.fourier_init = uniform
surrogate.fourier_trainable = 1
surrogate.dynamics_layers = relu
surrogate.decoder_layers = residual_relu
surrogate.field_min = [-0.2, 1]
surrogate.field_max = [0.2, 10000000]
surrogate.dynamics_depth = 4
surrogate.dynamics_width = 64
surrogate.decoder_depth = 7
surrogate.decoder_width = 96
training.seed = 1
training.optimiser = adam
training.steps = 20000
training.trajectories = 8
training.points = 16
training.pool = 7
training.between = 16
training.rate = 0.003
training.schedule = step
training.decay = 0.6
training.decay_epochs = 3
training.draw = once
training.finetune_steps = 9
training.finetune_rate = 1e-05
training.clip = inf
training.tile = 16
training.validate_every = 500
observations.truths = 16
observations.sensors = grid:8x8
observations.sigma = 0.1
observations.every = 1
observations.refinement = 2
observations.gross_fraction = 0.05
observations.gross_size = 5
encoder.seed = 1
encoder.hidden = 128
encoder.steps = 2000
encoder.rate = 0.003
encoder.noise = 0
encoder.validate_every = 100
assimilation.members = 20
assimilation.frames = 0
assimilation.window = 0
assimilation.shift = 0
assimilation.start_min = 0
assimilation.start_max = -1
assimilation.minimiser = ensemble
assimilation.precision = float64
assimilation.starts = 4
assimilation.candidates = 200
assimilation.annealing = [30, 1]
assimilation.keep_ratio = 4
assimilation.iterations = 40
assimilation.control = transform
assimilation.gross_error = 4
assimilation.parameters = positive
assimilation.parameter_walk = 0.02
assimilation.score_stride = 2
assimilation.forecast = 10
assimilation.inflation = 1.1
assimilation.relaxation = 0.5
assimilation.localisation = 0.05
assimilation.error_factor = 2.97
assimilation.surrogate_factor = 0.792
assimilation.surrogate_trend = [0.714, 0]
)";

std::string message_of(Config config, const std::string& setting) {
  try {
    apply_setting(config, setting);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("fingerprints are those of version 0.1.0, since files and shipped weights hold them") {
  Config config;
  std::istringstream lines(every_key);
  std::string line;
  std::getline(lines, line);  // the case
  while (std::getline(lines, line)) apply_setting(config, line.replace(line.find(" = "), 3, "="));
  CHECK(fingerprint(config, all_sections) == every_key);
  CHECK(levda::models::checksum(fingerprint(own_config(), all_sections)) == "7e9116a8a81b72a7");
  const std::vector<std::pair<std::string, std::string>> sums{
      {"atmosphere-paper", "73d658708c0f9974"}, {"atmosphere-small", "e64ac4f9f66165ce"},
      {"kolmogorov-modes", "1acbc755fa1ab0e5"}, {"kolmogorov-paper", "a2218d2fa07ff766"},
      {"kolmogorov-small", "c4c0c7c90b05fc0c"}, {"tsunami-paper", "5424728c084adc15"},
      {"tsunami-small", "6290e4da1bb5ccdf"}};
  for (const auto& [name, sum] : sums) {
    CAPTURE(name);
    const std::size_t dash = name.find('-');
    CHECK(levda::models::checksum(
              fingerprint(load_preset(name.substr(0, dash), name.substr(dash + 1)), all_sections)) == sum);
  }
  CHECK(sums.size() == presets().size());
}

TEST_CASE("a key that is younger than some results is part of a fingerprint away from its default alone") {
  Config config;
  CHECK(fingerprint(config, {"data"}).find("first_frame") == std::string::npos);
  config.data.first_frame = 0;
  CHECK(fingerprint(config, {"data"}).find("data.first_frame = 0\n") != std::string::npos);
}

TEST_CASE("names of choices are read, refused and printed") {
  Config config;
  apply_setting(config, "data.design=uniform");
  CHECK(config.data.design == Design::uniform);
  CHECK(message_of(config, "data.design=odd") == "--set: data.design: \"odd\" is none of even, uniform");
  CHECK(message_of(config, "data.design=3") == "--set: data.design: a text is needed");
  CHECK(config.data.design == Design::uniform);
  for (const Key& key : keys(config)) {
    const auto* names = std::get_if<EnumSetting>(&key.value);
    if (names == nullptr) continue;
    CAPTURE(key.name);
    std::istringstream all(names->names);
    for (std::string name; std::getline(all >> std::ws, name, ',');) {
      apply_setting(config, key.name + "=" + name);
      CHECK(text_of(key) == name);
    }
  }
}

TEST_CASE("OPTIONS.md is what levda keys --markdown prints") {
  CHECK(levda::nn::read_text_file(LEVDA_OPTIONS_PAGE) == options_page());
  Config config;
  std::set<std::string> names;
  for (const Key& key : keys(config)) {
    CAPTURE(key.name);
    CHECK(names.insert(key.name).second);
    CHECK(options_page().find("| `" + key.name + "` |") != std::string::npos);
    CHECK_FALSE(key.help.empty());
    CHECK(key.help.find('|') == std::string::npos);
  }
}
