#pragma once

/// Scores of ensembles of fields against a truth: sums over frames and truths.

#include <cstdint>
#include <span>
#include <vector>

#include "autodiff/random.h"

namespace levda::da {

/// Fields are in training standard deviations of their channel, so that some scores can pool the channels.
///
/// Per point, with N members of mean m and variance s^2 (N - 1 in the denominator), truth t and surrogate error
/// variance r: the predictive variance is V = (N + 1) / N s^2 + r. Fair CRPS (Ferro 2014) and ranks use the members
/// plus independent N(0, r) draws.
class FieldScores {
 public:
  FieldScores() = default;

  /// Adds the scores of one frame: members (N, points, c), truth (points, c), surrogate_variance (c). Points count with
  /// their areas (points), equally without areas. With one member only the relative error is defined.
  void add(std::span<const float> members, std::span<const float> truth, std::span<const double> surrogate_variance,
           autodiff::Random& random, std::span<const double> areas = {});
  FieldScores& operator+=(const FieldScores& other);

  /// Root of the mean over channels of (sum (m - t)^2 / sum t^2).
  double relative_rmse() const;
  /// Sum of (m - t)^2 over points, by their area, and channels.
  double squared_error() const;
  /// Root of the mean over channels of (sum V / sum t^2).
  double relative_spread() const;
  /// sqrt(mean V) / sqrt(mean (m - t)^2), channels pooled; 1 is calibrated.
  double spread_skill() const;
  /// spread_skill with r = 0.
  double spread_skill_without_surrogate_error() const;
  /// Share of truth values within m +- 1.645 sqrt(V).
  double coverage90() const;
  double crps() const;
  /// Share of truth values per rank, N + 1 bins.
  std::vector<double> ranks() const;
  /// False for a single member: spread, coverage, CRPS and ranks are meaningless.
  bool is_ensemble() const { return crps_count_ > 0; }

  /// All sums as numbers, and from numbers; for files.
  std::vector<double> pack() const;
  static FieldScores unpack(std::span<const double> numbers);

 private:
  std::vector<double> squared_error_;  // per channel
  std::vector<double> squared_truth_;
  std::vector<double> variance_;
  std::vector<double> member_variance_;  // with r = 0
  std::vector<double> ranks_;
  double covered_ = 0;
  double crps_ = 0;
  double crps_count_ = 0;  // area of all points, of all channels
};

/// Fair CRPS of members against a value: (1/N) sum |x_i - t| - 1/(2 N (N - 1)) sum |x_i - x_j|. Sorts the members.
double fair_crps(std::span<double> members, double truth);

/// Estimate of one parameter.
struct ParameterScore {
  double error = 0;  ///< |mean - truth| in units of the prior range
  double z = 0;      ///< (mean - truth) / posterior standard deviation
};

/// members: N values; the range is maximum - minimum of the prior.
ParameterScore score_parameter(std::span<const double> members, double truth, double range);

}  // namespace levda::da
