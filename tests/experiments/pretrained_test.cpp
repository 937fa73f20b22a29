/// The shipped weights: they must be those of the preset, or the first run would train for a quarter of an hour.

#include <doctest/doctest.h>

#include <filesystem>

#include "experiments/config/config.h"
#include "experiments/data/cases.h"

#include "experiments/training/training.h"
#include "models/surrogate.h"

using namespace levda;
using namespace levda::experiments;

TEST_CASE("shipped weights belong to their presets, are small, good, and say where they come from") {
  for (const auto& [system, preset] : {std::pair{"tsunami", "small"}}) {
    const std::filesystem::path path =
        std::filesystem::path(LEVDA_PRETRAINED_FOLDER) / (std::string(system) + "-" + preset + ".safetensors");
    CAPTURE(path.string());
    const models::Surrogate s = models::load_surrogate(path);
    const Config config = load_preset(system, preset);
    Dataset data;
    data.fingerprint = fingerprint(config, {"data"});
    CHECK(s.provenance.at("levda_configuration") == training_fingerprint(config, data));
    CHECK(std::filesystem::file_size(path) < 1000000);
    CHECK(std::stod(s.provenance.at("test_rel_rmse")) <= 0.04);
    for (const char* key : {"command", "seed", "version", "trained", "machine", "train_seconds"})
      CHECK_MESSAGE(!s.provenance.at(key).empty(), key);
    const models::Description about = find_case(system).describe(config.data);
    CHECK(s.about.frames == about.frames);
    CHECK(std::abs(s.about.frame_interval - about.frame_interval) <= 1e-9 * about.frame_interval);
    CHECK(s.about.grid.nx == about.grid.nx);
  }
}
