/// Truths of a solver on twice as fine a grid, at the sizes of the presets.

#include "experiments/twin/fine_truths.h"

#include <doctest/doctest.h>

#include <cmath>

#include "experiments/data/generate.h"

using namespace levda;
using namespace levda::experiments;

namespace {

/// Relative difference of a test trajectory's frame and the finer solver's, over all channels in their own units.
double difference(Config config, std::int64_t frame) {
  config.data.train = 2;
  config.data.valid = config.data.test = 1;
  config.data.between = 0;
  config.data.frames = frame + 2;
  config.observations.refinement = 2;
  const Dataset set = generate_dataset(config, {});
  const std::vector<float> fine = fine_trajectories(config, set, {set.first_test()}, {});
  const std::span<const float> coarse = set.frame(set.first_test(), frame);
  const auto cells = static_cast<std::size_t>(set.about.grid.cells());
  double sum = 0;
  for (std::size_t c = 0; c < static_cast<std::size_t>(set.about.channels()); ++c) {
    double error = 0;
    double size = 0;
    for (std::size_t i = c * cells; i < (c + 1) * cells; ++i) {
      error += std::pow(static_cast<double>(fine[static_cast<std::size_t>(frame) * coarse.size() + i]) - coarse[i], 2);
      size += std::pow(static_cast<double>(coarse[i]), 2);
    }
    sum += error / size;
  }
  return std::sqrt(sum / static_cast<double>(set.about.channels()));
}

}  // namespace

// A flow of another seed or another domain would differ by 1 and more. What is left is the grids' own difference.
// (Kolmogorov flow that is burnt in on either grid differs by 0.64 (modes) and 0.73.)
TEST_CASE("fine truths at the presets' sizes are the same flow") {
  CHECK(difference(load_preset("tsunami", "small"), 1) <= 0.02);
  CHECK(difference(load_preset("atmosphere", "small"), 1) <= 0.3);
  for (const char* preset : {"small", "modes"}) CHECK(difference(load_preset("kolmogorov", preset), 1) <= 0.04);
}
