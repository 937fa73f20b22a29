#pragma once

/// Errors of a surrogate on trajectories of a data set. The surrogate starts at s = 0 with the true parameters. Missing
/// values do not count. The computations run where the weights of the network are.

#include "models/dataset.h"
#include "models/surrogate.h"

namespace levda::models {

/// Relative RMSE over members [first, last), all frames, all nodes by area: per channel the root of (mean squared error
/// / mean square), pooled as the root mean square over channels.
double surrogate_error(const Surrogate& surrogate, const Dataset& data, std::int64_t first, std::int64_t last);

/// Relative RMSE at the times and places between frames. The data must have such values.
double surrogate_error_between(const Surrogate& surrogate, const Dataset& data, std::int64_t first, std::int64_t last);

/// Mean squared residuals over members [first, last), in units of field_std squared: (frames, c) float64. Where no
/// value counts, the channel's mean over the other frames.
autodiff::Tensor error_variance(const Surrogate& surrogate, const Dataset& data, std::int64_t first, std::int64_t last);

/// error_variance between frames, (frames - 1, c); where the data have no such values, that of the frame before.
autodiff::Tensor between_variance(const Surrogate& surrogate, const Dataset& data, std::int64_t first,
                                  std::int64_t last, const autodiff::Tensor& error_variance);

/// States between frames. frames (times x trajectories, d), trajectories innermost; fraction (intervals x trajectories,
/// 1): an Euler step of a share of the interval lies on the line between its ends.
autodiff::Var between_states(const autodiff::Var& frames, const autodiff::Tensor& fraction, std::int64_t trajectories);

/// surrogate_error of a few members at every fourth node in x and y, which stay in memory.
class QuickError {
 public:
  QuickError(const Dataset& data, std::int64_t first, std::int64_t last);
  double operator()(const Surrogate& surrogate) const;

 private:
  const Dataset& data_;
  std::int64_t first_;
  std::vector<std::vector<float>> truths_;  // (frames, nodes, c) each
};

}  // namespace levda::models
