#pragma once

/// How well trajectories can be interpolated in their parameters, without any network: each training trajectory from
/// all others, by radial basis functions.
///
/// A yardstick for surrogates, which know the map from parameters to trajectories by these trajectories alone, too. No
/// bound: trajectories at the edge of the box are extrapolated when they are left out, and a network knows that space
/// and time are smooth as well (tsunami, preset small: 0.15, its surrogate 0.03). An error near 1 says that the
/// trajectories are too few.

#include <optional>
#include <span>
#include <vector>

#include "experiments/data/dataset.h"

namespace levda::experiments {

/// What the interpolant through all points but one misses there, for each of n points: parameters (n, p), which are to
/// be of size 1; values (n, m), row-major; result as the values. The interpolant is a sum of cubes of distances and a
/// linear polynomial. All n interpolants come from one matrix A = [K P; P' 0]: e_i = (A^-1 f)_i / (A^-1)_ii (Rippa,
/// Adv. Comput. Math. 11, 1999). Empty where the points do not determine it: n < p + 3, or places on a plane.
std::vector<double> leave_one_out_residuals(std::span<const double> parameters, std::int64_t n, std::int64_t p,
                                            std::span<const float> values);

/// Gathers the training trajectories of a set, thinned: at most 512 of them, of each some 16 frames with the first and
/// the last, and so many nodes that there are at most 200 000 values.
class LeaveOneOut {
 public:
  /// outline: a set whose values may be missing; it must outlive this.
  explicit LeaveOneOut(const Dataset& outline);

  /// The trajectories of a part of the set, of which the first is number `first`.
  void add(const Dataset& part, std::int64_t first);
  /// Of memory, with what error() needs beside.
  double bytes() const { return static_cast<double>(values_.size()) * sizeof(float) * 2; }
  /// Once all are there: per channel the root of (mean squared residual / mean square), by area, over trajectories,
  /// frames and nodes; over channels the root mean square. None where parameters change in time, values are missing or
  /// leave_one_out_residuals are empty.
  std::optional<InterpolationError> error() const;

 private:
  const Dataset& outline_;
  std::int64_t members_;
  std::vector<std::int64_t> frames_;
  std::int64_t stride_ = 1;    // of nodes
  std::vector<double> areas_;  // of the nodes that are kept
  std::vector<float> values_;  // (frames, c, members, nodes)
};

}  // namespace levda::experiments
