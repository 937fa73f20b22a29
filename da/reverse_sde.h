#pragma once

/// Reverse-time diffusion: how the ensemble score filters draw samples (EnSF: Bao, Zhang & Zhang, arXiv 2309.00983;
/// LD-EnSF: Xiao et al., arXiv 2411.19305).

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "autodiff/random.h"

namespace levda::da {

/// x_t = alpha(t) x_0 + sqrt(t) noise, alpha(t) = 1 - (1 - epsilon) t, t in [0, 1].
struct Diffusion {
  double epsilon = 0.05;     ///< alpha(1), in (0, 1]
  std::int64_t steps = 100;  ///< of Euler and Maruyama, from t = 1 to 0
};

/// One step backwards from t, with delta = 1 / steps:
///   x <- x - delta (f x - g2 score) + sqrt(delta g2) xi,  f = -(1 - epsilon) / alpha,  g2 = 1 - 2 f t,
/// xi standard normal.
struct DiffusionStep {
  double t;
  double alpha;
  double f;
  double g2;
  double delta;
};

/// The steps in order, t = 1, 1 - delta, .., delta. Throws Error when a setting is out of range.
std::vector<DiffusionStep> diffusion_steps(const Diffusion& settings);

/// The score at a step: from x to d log p(x) / dx.
using Score = std::function<void(const DiffusionStep& step, std::span<const double> x, std::span<double> score)>;

/// A sample: x is drawn from N(0, I), then goes through all steps. Throws Error when it is no longer finite, which
/// happens when the score is too steep for the length of the steps.
void reverse_sde(const Diffusion& settings, const Score& score, autodiff::Random& random, std::span<double> x);

/// The score of LD-EnSF, and of EnSF with batches of one member and an observation y of x itself, is linear in x:
///   -(x - alpha x_0) / t - (1 - t) (x - y) / error^2,
/// and so is a sample: forecast x_0 + observation y + N(0, noise^2), for each component separately.
struct Gain {
  double forecast = 0;
  double observation = 0;
  double noise = 0;  ///< standard deviation
};

/// The gain in closed form, from the coefficients of the steps. For 100 steps, error 0.1 and epsilon 0.01 it is (0.633,
/// 0.367, 0.157), for 1000 steps (0.923, 0.077, 0.032): the number of steps sets the gain. An infinite error means no
/// observation.
Gain gain(const Diffusion& settings, double error);

/// Replaces x_0 by a sample of this score; y has x_0's size.
void sample_linear(const Diffusion& settings, double error, std::span<const double> y, autodiff::Random& random,
                   std::span<double> x);

}  // namespace levda::da
