#pragma once

/// A linear problem and its Kalman filter, which ensemble filters are compared with.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "da/method.h"
#include "linear_model.h"

namespace levda::testing {

struct LinearTwin {
  da::LinearModel model;
  da::Ensemble prior;
  da::Observations observations;
  da::DiagonalCovariance covariance;
  std::vector<double> times;

  da::Problem problem() const { return {prior, model, observations, covariance, times, 7}; }
};

/// n controls, N members, `steps` times with m observations each; errors of different sizes. x of an observation is its
/// channel.
inline LinearTwin linear_twin(std::int64_t n, std::int64_t members, std::int64_t steps, std::int64_t m,
                              std::uint64_t seed) {
  autodiff::Random random(seed);
  // A rotation: well conditioned over many powers, so that closed forms keep their digits.
  const da::Matrix step = Eigen::HouseholderQR<da::Matrix>(da::random_matrix(n, n, random)).householderQ();
  da::LinearModel model(step, da::random_matrix(m, n, random));
  da::Observations o;
  std::vector<double> variance;
  std::vector<double> times;
  for (std::int64_t t = 0; t < steps; ++t) {
    times.push_back(static_cast<double>(t));
    for (std::int64_t c = 0; c < m; ++c) {
      const double deviation = 0.5 + random.uniform();
      o.add(static_cast<double>(t), static_cast<double>(c), 0, c, random.normal(), deviation);
      variance.push_back(deviation * deviation);
    }
  }
  return {std::move(model), da::Ensemble(da::tensor_of(da::random_matrix(members, n, random))), o,
          da::DiagonalCovariance(variance), times};
}

struct Gaussian {
  da::Vector mean;
  da::Matrix covariance;
};

inline Gaussian gaussian_of(const da::Ensemble& ensemble) {
  const da::Matrix a = da::matrix_of(ensemble.anomalies());
  return {da::matrix_of(ensemble.mean()).reshaped<Eigen::RowMajor>(), a.transpose() * a};
}

inline double difference(const Gaussian& a, const Gaussian& b) {
  return std::max((a.mean - b.mean).cwiseAbs().maxCoeff(), (a.covariance - b.covariance).cwiseAbs().maxCoeff());
}

/// Positions of the observations at a time.
inline std::vector<std::int64_t> positions_at(const da::Observations& o, double time) {
  return o.in_window(time - 0.5, time + 0.5);
}

/// The gain P G' (G P G' + R)^-1 of some observations, taken to lie where P does.
inline da::Matrix gain_of(const da::Matrix& p, const da::Matrix& g, const da::Observations& o) {
  const auto deviation = Eigen::Map<const da::Vector>(o.error_std.data(), o.size());
  const da::Matrix s = g * p * g.transpose() + da::Matrix(deviation.array().square().matrix().asDiagonal());
  return s.ldlt().solve(g * p).transpose();
}

/// Kalman's filter in state space, from the prior's sample covariance: after the observations of each time.
inline std::vector<Gaussian> kalman_filter(const LinearTwin& twin) {
  Gaussian x = gaussian_of(twin.prior);
  const da::Matrix step = twin.model.power(1);
  std::vector<Gaussian> result;
  for (std::size_t k = 0; k < twin.times.size(); ++k) {
    if (k > 0) x = {step * x.mean, step * x.covariance * step.transpose()};
    da::Observations here = twin.observations.part(positions_at(twin.observations, twin.times[k]));
    std::fill(here.time.begin(), here.time.end(), 0.0);
    const da::Matrix g = twin.model.matrix(here);
    const da::Matrix gain = gain_of(x.covariance, g, here);
    const auto y = Eigen::Map<const da::Vector>(here.value.data(), here.size());
    x = {x.mean + gain * (y - g * x.mean), x.covariance - gain * g * x.covariance};
    result.push_back(x);
  }
  return result;
}

}  // namespace levda::testing
