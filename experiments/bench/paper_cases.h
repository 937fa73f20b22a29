#pragma once

/// Sizes of the trainings of Xiao et al., LD-EnSF (arXiv 2411.19305).

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "experiments/data/cases.h"
#include "experiments/training/training.h"

namespace levda::bench {

struct PaperCase {
  std::string name;
  models::LdnetArchitecture net;
  experiments::TrainingConfig training;
  std::int64_t trajectories;  ///< whole ones, in a batch
  std::int64_t frames;
  std::int64_t points;     ///< per frame
  double published_error;  ///< relative RMSE of their surrogate on test trajectories

  std::int64_t groups() const { return frames * trajectories; }
  std::int64_t rows() const { return groups() * points; }
};

/// The sizes of the presets "paper", with their networks.
inline std::vector<PaperCase> paper_cases() {
  struct Published {
    const char* name;
    const char* system;
    double error;
  };
  std::vector<PaperCase> all;
  for (const Published& p : {Published{"T-paper", "tsunami", 0.0168}, Published{"K-paper", "kolmogorov", 0.0123},
                             Published{"A-paper", "atmosphere", 0.0656}}) {
    const experiments::Config config = experiments::load_preset(p.system, "paper");
    all.push_back(
        {.name = p.name,
         .net = models::architecture_of(config.surrogate, experiments::find_case(p.system).describe(config.data)),
         .training = config.training,
         .trajectories = config.training.trajectories,
         .frames = config.data.frames,
         .points = config.training.points,
         .published_error = p.error});
  }
  return all;
}

/// The same with widths, frames and points smaller by a factor: to try the program where there is no time.
inline PaperCase scaled(PaperCase c, double factor) {
  const auto less = [&](std::int64_t& size, std::int64_t least) {
    size = std::max<std::int64_t>(least, std::llround(factor * static_cast<double>(size)));
  };
  less(c.net.dynamics_width, 8);
  less(c.net.decoder_width, 8);
  less(c.frames, 3);
  less(c.points, 4);
  return c;
}

}  // namespace levda::bench
