#pragma once

/// Limited-memory BFGS with a strong Wolfe line search (Nocedal & Wright, Numerical Optimization, 2nd edition,
/// algorithms 7.4, 7.5, 3.5, 3.6).

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace levda::nn {

struct LbfgsSettings {
  std::int64_t memory = 10;          ///< number of stored pairs of steps and gradient changes
  std::int64_t iterations = 100;     ///< largest number of iterations
  double gradient_tolerance = 1e-8;  ///< stops when the norm of the gradient is below this times max(1, |x|)
  double value_tolerance = 0;        ///< stops when a step lowers f by less than this times max(1, |f|); 0: off
  double decrease = 1e-4;            ///< c1 of the Wolfe conditions
  double curvature = 0.9;            ///< c2
  /// Called for the start and for every accepted iterate with x, value and gradient. May be empty.
  std::function<void(std::span<const double> x, double value, std::span<const double> gradient)> accepted = {};
};

struct LbfgsResult {
  std::vector<double> x;
  double value = 0;
  double gradient_norm = 0;
  std::int64_t iterations = 0;
  std::int64_t evaluations = 0;
  bool converged = false;  ///< one of the tolerances was met
};

/// Returns the value at x and writes the gradient to `gradient`, which has the size of x. A value that is not finite
/// counts as infinitely high.
using ObjectiveWithGradient = std::function<double(std::span<const double> x, std::span<double> gradient)>;

/// Minimises f from a start. Throws Error when f is not finite at the start or a setting is out of range.
LbfgsResult minimise_lbfgs(const ObjectiveWithGradient& f, std::vector<double> start, const LbfgsSettings& settings);

}  // namespace levda::nn
