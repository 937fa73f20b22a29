#pragma once

/// The trainings of Xiao et al., LD-EnSF (arXiv 2411.19305), as sizes: what one step of each has to compute.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "models/ldnet.h"

namespace levda::bench {

struct PaperCase {
  std::string name;
  models::LdnetArchitecture net;
  std::int64_t trajectories;  ///< of a batch, whole
  std::int64_t frames;
  std::int64_t points;     ///< per frame
  double published_error;  ///< relative RMSE of their surrogate on test trajectories

  std::int64_t groups() const { return frames * trajectories; }
  std::int64_t rows() const { return groups() * points; }
};

/// Depths, widths, batches and the number of Fourier features are the paper's. The layers are ours (layers.h: one
/// matrix per residual layer, SiLU), where the paper has ReLU and, in the decoder, two matrices per block: the same
/// number of matrices. With the paper's latent steps (0.04 to 1.5) untrained networks of ours overflow; the cost is the
/// same with a smaller one. T has no Fourier features in the paper but the coordinates themselves; one feature, sine
/// and cosine, is as wide.
inline std::vector<PaperCase> paper_cases() {
  return {{.name = "T-paper",
           .net = {.latent = 10,
                   .parameters = 2,
                   .channels = 3,
                   .fourier_features = 1,
                   .latent_dt = 0.01,
                   .dynamics_depth = 8,
                   .dynamics_width = 50,
                   .decoder_depth = 10,
                   .decoder_width = 300},
           .trajectories = 2,
           .frames = 51,
           .points = 2000,
           .published_error = 0.0168},
          {.name = "K-paper",
           .net = {.latent = 9,
                   .parameters = 1,
                   .channels = 2,
                   .fourier_features = 10,
                   .latent_dt = 0.01,
                   .dynamics_depth = 9,
                   .dynamics_width = 200,
                   .decoder_depth = 14,
                   .decoder_width = 500},
           .trajectories = 6,
           .frames = 40,
           .points = 5000,
           .published_error = 0.0123},
          {.name = "A-paper",
           .net = {.latent = 50,
                   .parameters = 2,
                   .channels = 3,
                   .fourier_features = 50,
                   .latent_dt = 0.01,
                   .dynamics_depth = 8,
                   .dynamics_width = 200,
                   .decoder_depth = 15,
                   .decoder_width = 500},
           .trajectories = 2,
           .frames = 63,
           .points = 5000,
           .published_error = 0.0656}};
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
