#pragma once

/// A linear problem and its Kalman smoother, which the window methods are compared with.

#include "tests/da/linear_filter.h"

namespace levda::testing {

/// Kalman's formula at time 0 from all observations.
inline Gaussian kalman_smoother(const Gaussian& prior, const da::LinearModel& model, const da::Observations& o) {
  const da::Matrix g = model.matrix(o);
  const da::Matrix gain = gain_of(prior.covariance, g, o);
  const auto y = Eigen::Map<const da::Vector>(o.value.data(), o.size());
  return {prior.mean + gain * (y - g * prior.mean), prior.covariance - gain * g * prior.covariance};
}

inline Gaussian advanced(const Gaussian& x, const da::Matrix& m) {
  return {m * x.mean, m * x.covariance * m.transpose()};
}

/// Observations of a truth drawn from N(mean, root root'), with errors as stated.
inline void draw_observations(LinearTwin& twin, const da::Vector& mean, const da::Matrix& root,
                              autodiff::Random& random) {
  const da::Vector truth = mean + root * da::Vector(da::random_matrix(root.cols(), 1, random));
  const da::Vector y = twin.model.matrix(twin.observations) * truth;
  for (std::int64_t i = 0; i < y.size(); ++i)
    twin.observations.value[i] = y[i] + twin.observations.error_std[i] * random.normal();
}

/// The largest distance between the values' distribution and chi-square with an even number of degrees of freedom,
/// times the square root of their count: Kolmogorov's statistic, above 1.95 once in a thousand times.
inline double chi_square_statistic(std::vector<double> values, std::int64_t freedom) {
  std::sort(values.begin(), values.end());
  const auto count = static_cast<double>(values.size());
  double distance = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double half = values[i] / 2;
    double term = 1;
    double sum = 0;
    for (std::int64_t k = 0; k < freedom / 2; ++k) {
      sum += term;
      term *= half / static_cast<double>(k + 1);
    }
    const double below = 1 - std::exp(-half) * sum;
    distance = std::max({distance, below - static_cast<double>(i) / count, static_cast<double>(i + 1) / count - below});
  }
  return distance * std::sqrt(count);
}

inline double largest_difference(const da::Ensemble& a, const da::Ensemble& b) {
  return (da::matrix_of(a.members()) - da::matrix_of(b.members())).cwiseAbs().maxCoeff();
}

}  // namespace levda::testing
