#include "experiments/data/cases.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "autodiff/error.h"
#include "experiments/config/presets.h"
#include "experiments/data/generate.h"
#include "experiments/twin/fine_truths.h"
#include "nn/atomic_file.h"
#include "tests/nn/temporary_folder.h"

using namespace levda::experiments;
using levda::InputError;

namespace {

/// A preset at a size for tests.
Config tiny(const std::string& name, const std::string& preset, std::int64_t nodes) {
  Config config = load_preset(name, preset);
  config.data.nodes = nodes;
  config.data.frames = 3;
  config.data.train = 2;
  config.data.valid = config.data.test = 1;
  return config;
}

}  // namespace

TEST_CASE("every preset is of a case, contradicts itself nowhere, and says what its data will be") {
  for (const Preset& preset : presets()) {
    CAPTURE(preset.name);
    const std::size_t dash = preset.name.find('-');
    const Config config = load_preset(preset.name.substr(0, dash), preset.name.substr(dash + 1));
    check(config);
    const levda::models::Description about = find_case(config.case_name).describe(config.data);
    CHECK(about.case_name == config.case_name);
    CHECK(about.frames == config.data.frames);
    CHECK(about.parameter_units.size() == about.parameter_names.size());
    CHECK(about.parameter_max.size() == about.parameter_names.size());
    CHECK(about.channel_units.size() == about.channel_names.size());
    CHECK(about.grid.offset_x.size() == about.channel_names.size());
  }
}

TEST_CASE("each case makes a data set of its own description, members differ") {
  std::vector<Config> configs{tiny("tsunami", "small", 64), tiny("kolmogorov", "small", 16),
                              tiny("kolmogorov", "modes", 16), tiny("atmosphere", "small", 16)};
  configs[1].data.steps_per_frame = 10;  // of 0.02, the scheme's own on such a grid
  configs[2].data.steps_per_frame = 6;
  configs[3].data.steps_per_frame = 8;  // of an hour: T10 is coarse
  for (const Config& config : configs) {
    CAPTURE(config.case_name);
    const Dataset set = generate_dataset(config, {});
    CHECK(set.fields.size() == static_cast<std::size_t>(4 * 3 * set.frame_size()));
    for (const float value : set.fields) REQUIRE(std::isfinite(value));
    double difference = 0;
    for (std::int64_t i = 0; i < set.frame_size(); ++i)
      difference = std::max(difference, std::abs(static_cast<double>(set.frame(0, 2)[i]) - set.frame(1, 2)[i]));
    CHECK(difference > 0);
  }
}

TEST_CASE("from a frame of a data set the propagator reaches the next ones") {
  std::vector<Config> configs{tiny("tsunami", "small", 16), tiny("kolmogorov", "small", 16),
                              tiny("kolmogorov", "modes", 16), tiny("atmosphere", "small", 16)};
  configs[0].data.steps_per_frame = 5;
  configs[1].data.steps_per_frame = 10;  // of 0.02, the scheme's own on such a grid
  configs[2].data.steps_per_frame = 6;
  configs[3].data.steps_per_frame = 8;  // of an hour: T10 is coarse
  for (const Config& config : configs) {
    CAPTURE(config.case_name);
    const Case& system = find_case(config.case_name);
    const levda::models::Description about = system.describe(config.data);
    const auto size = static_cast<std::size_t>(about.channels() * about.grid.cells());
    std::vector<double> parameters;
    for (std::size_t k = 0; k < about.parameter_min.size(); ++k)
      parameters.push_back(0.7 * about.parameter_min[k] + 0.3 * about.parameter_max[k]);
    const std::array<std::int64_t, 3> steps{step_of_frame(config.data, 0), step_of_frame(config.data, 1),
                                            step_of_frame(config.data, 2)};
    std::vector<float> frames(3 * size);
    system.solver(config.data)(parameters, steps, frames);
    const levda::models::Propagator from = system.propagator(config.data);
    CHECK(from.least.size() == parameters.size());
    std::vector<double> state(frames.begin(), frames.begin() + static_cast<std::ptrdiff_t>(size));
    for (std::size_t frame = 1; frame < 3; ++frame) {
      from.advance(state, about.first_time + static_cast<double>(frame - 1) * about.frame_interval,
                   config.data.steps_per_frame, parameters);
      for (std::size_t c = 0; c < about.channel_names.size(); ++c) {
        const std::size_t each = size / about.channel_names.size();
        double largest = 0;
        double difference = 0;
        for (std::size_t i = c * each; i < (c + 1) * each; ++i) {
          largest = std::max(largest, std::abs(state[i]));
          difference = std::max(difference, std::abs(state[i] - static_cast<double>(frames[frame * size + i])));
        }
        // Frames are rounded to float32; from there on little grows.
        CHECK(difference <= 10 * 0x1p-24 * largest);
      }
    }
  }
}

TEST_CASE("fine truths are the same flow: walls, source, staggering and times agree") {
  // Relative difference of two sets of fields, per channel, at a frame.
  const auto difference = [](const Dataset& set, std::span<const float> a, std::span<const float> b) {
    double worst = 0;
    const auto cells = static_cast<std::size_t>(set.about.grid.cells());
    for (std::size_t c = 0; c < static_cast<std::size_t>(set.about.channels()); ++c) {
      double error = 0, size = 0;
      for (std::size_t i = c * cells; i < (c + 1) * cells; ++i) {
        error += std::pow(static_cast<double>(a[i]) - b[i], 2);
        size += std::pow(static_cast<double>(a[i]), 2);
      }
      worst = std::max(worst, std::sqrt(error / size));
    }
    return worst;
  };
  const auto compared = [&](Config config, std::int64_t frame) {
    config.observations.refinement = 2;
    const Dataset set = generate_dataset(config, {});
    const std::vector<float> fine = fine_trajectories(config, set, {set.first_test()}, {});
    const auto size = static_cast<std::size_t>(set.frame_size());
    return difference(set, std::span(fine).subspan(static_cast<std::size_t>(frame) * size, size),
                      set.frame(set.first_test(), frame));
  };
  // The scheme is of first order: 64 nodes are at least twice as near to 128 as 32 to 64. A source that is off by half
  // a cell, 16 or 8 km of its width of 50, would differ by 0.2 or 0.1.
  Config tsunami = tiny("tsunami", "small", 32);
  tsunami.data.between = 0;
  tsunami.data.steps_per_frame = 9;
  const double coarse = compared(tsunami, 2);
  tsunami.data.nodes = 64;
  tsunami.data.steps_per_frame = 18;
  const double finer = compared(tsunami, 2);
  CHECK(coarse <= 0.06);
  CHECK(finer <= 0.5 * coarse);
  // At its start the wave is the Gaussian itself, bicubic between nodes: (h / width)^4 x 3 / 128.
  tsunami.data.first_frame = 0;
  tsunami.data.frames = 2;
  {
    tsunami.observations.refinement = 2;
    const Dataset set = generate_dataset(tsunami, {});
    const std::vector<float> fine = fine_trajectories(tsunami, set, {set.first_test()}, {});
    const std::int64_t cells = set.about.grid.cells();
    for (std::int64_t i = 2 * cells; i < 3 * cells; ++i)
      REQUIRE(std::abs(static_cast<double>(fine[i]) - set.frame(set.first_test(), 0)[i]) <= 1e-4);
  }
  Config kolmogorov = tiny("kolmogorov", "small", 16);
  kolmogorov.data.steps_per_frame = 10;
  CHECK(find_case("kolmogorov").refine(kolmogorov.data, 2).steps_per_frame == 15);  // dt 0.04 / 3 on 32 nodes
  const levda::models::Grid square = find_case("kolmogorov").describe(kolmogorov.data).grid;
  const levda::models::Grid same =
      find_case("kolmogorov").describe(find_case("kolmogorov").refine(kolmogorov.data, 2)).grid;
  CHECK(same.nx == 2 * square.nx);
  CHECK(same.dx == doctest::Approx(square.dx / 2).epsilon(1e-14));
  CHECK(same.x0 == square.x0);
  // It begins with the data set's frame 0 and parts from it slowly; another burnt-in flow differs by 1.
  CHECK(compared(kolmogorov, 0) == 0);
  CHECK(compared(kolmogorov, 2) <= 0.5);
  {  // With truths in their place the solver still begins there.
    kolmogorov.observations.refinement = 2;
    Dataset set = generate_dataset(kolmogorov, {});
    const std::int64_t member = set.first_test();
    const std::vector<float> fine = fine_trajectories(kolmogorov, set, {member}, {});
    std::copy(fine.begin(), fine.end(),
              set.fields.begin() + (member - set.in_memory) * set.about.frames * set.frame_size());
    CHECK(fine_trajectories(kolmogorov, set, {member}, {}) == fine);
  }
  // Nor is the atmosphere's flow after its start-up; tests/slow/ has a size at which it is.
  Config atmosphere = tiny("atmosphere", "small", 16);
  atmosphere.data.steps_per_frame = 8;
  CHECK(std::isfinite(compared(atmosphere, 0)));

  Config other = tiny("tsunami", "small", 16);
  const Dataset set = generate_dataset(other, {});
  other.observations.refinement = 2;
  other.data.seed = 5;
  CHECK_THROWS_WITH_AS(fine_trajectories(other, set, {0}, {}),
                       "configuration: observations.refinement: truths are taken from the solver, and the data set was "
                       "made by another configuration",
                       InputError);
}

TEST_CASE("settings that a case cannot take are refused by their key") {
  const auto refusal = [](Config config, void (*change)(DataConfig&)) -> std::string {
    change(config.data);
    try {
      const Case& system = find_case(config.case_name);
      system.describe(config.data);
      system.solver(config.data);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  };
  const Config kolmogorov = tiny("kolmogorov", "small", 16);
  CHECK(refusal(kolmogorov, [](DataConfig& d) { d.variant = "waves"; }).find("data.variant") != std::string::npos);
  CHECK(refusal(kolmogorov, [](DataConfig& d) { d.initial = "my.nc"; }).find("data.initial") != std::string::npos);
  CHECK(refusal(kolmogorov, [](DataConfig& d) { d.steps_per_frame = 24; }).find("data.steps_per_frame") !=
        std::string::npos);
  const Config atmosphere = tiny("atmosphere", "small", 16);
  CHECK(refusal(atmosphere, [](DataConfig& d) { d.variant = "modes"; }).find("data.variant") != std::string::npos);
  CHECK(refusal(atmosphere, [](DataConfig& d) { d.initial = "no-such-file.nc"; }).find("no-such-file.nc") !=
        std::string::npos);
  const Config tsunami = tiny("tsunami", "small", 16);
  CHECK(refusal(tsunami, [](DataConfig& d) { d.variant = "modes"; }).find("data.variant") != std::string::npos);
  CHECK(refusal(tsunami, [](DataConfig& d) { d.initial = "my.nc"; }).find("data.initial") != std::string::npos);
}

TEST_CASE("an initial condition counts by what its file says, not by where it lies") {
  const levda::testing::TemporaryFolder folder;
  levda::nn::write_text_file(folder / "a.nc", "one");
  levda::nn::write_text_file(folder / "b.nc", "one");
  levda::nn::write_text_file(folder / "c.nc", "two");
  const auto with = [&](const char* file) {
    Config config = load_preset("atmosphere", "small");
    config.data.initial = (folder / file).string();
    return fingerprint(config, {"data"});
  };
  CHECK(with("a.nc") == with("b.nc"));
  CHECK(with("a.nc") != with("c.nc"));
  CHECK(with("a.nc") != fingerprint(load_preset("atmosphere", "small"), {"data"}));
}
