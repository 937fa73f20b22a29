#pragma once

/// How well trajectories can be interpolated in their parameters, without any network: each training trajectory from
/// all others, by radial basis functions.
///
/// This is a reference for surrogates, which also know the map from parameters to trajectories only from these
/// trajectories. It is no bound: a trajectory at the edge of the box is extrapolated when it is left out, and a network
/// also uses that fields are smooth in space and time (tsunami, preset small: 0.15, its surrogate 0.03). An error near
/// 1 means that there are too few trajectories.

#include <optional>
#include <span>
#include <vector>

#include "experiments/data/dataset.h"

namespace levda::experiments {

/// The error at each of n points of the interpolant through all other points: parameters (n, p), which should be of
/// size 1; values (n, m), row-major; result as the values. The interpolant is a sum of cubes of distances and a
/// linear polynomial. All n interpolants come from one matrix A = [K P; P' 0]: e_i = (A^-1 f)_i / (A^-1)_ii (Rippa,
/// Adv. Comput. Math. 11, 1999). Empty where the points do not determine it: n < p + 3, or places on a plane.
std::vector<double> leave_one_out_residuals(std::span<const double> parameters, std::int64_t n, std::int64_t p,
                                            std::span<const float> values);

/// Gathers a part of the training trajectories of a set: at most 512 trajectories, at most 16 frames of each with the
/// first and the last, and every stride-th node, so that a trajectory has at most 200 000 values.
class LeaveOneOut {
 public:
  /// outline: a set whose values may be missing; it must outlive this.
  explicit LeaveOneOut(const Dataset& outline);

  /// Adds the trajectories of a part of the set; the first is number `first`.
  void add(const Dataset& part, std::int64_t first);
  /// Bytes of memory, including those that error() needs.
  double bytes() const { return static_cast<double>(values_.size()) * sizeof(float) * 2; }
  /// Once all are there: per channel the root of (mean squared residual / mean square), by area, over trajectories,
  /// frames and nodes; over channels the root mean square. nullopt where parameters change in time, values are missing
  /// or leave_one_out_residuals are empty.
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
