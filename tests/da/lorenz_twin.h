#pragma once

/// Twin experiments on Lorenz' systems: the settings of the literature, whose errors are known.

#include <algorithm>
#include <cmath>

#include "autodiff/random.h"
#include "da/method.h"
#include "da/step_model.h"
#include "models/lorenz.h"

namespace levda::testing {

struct LorenzSettings {
  std::int64_t members = 20;
  std::int64_t cycles = 1200;
  std::int64_t steps = 1;       ///< of the model between two times of observations
  double error_variance = 1;    ///< all components are observed
  double initial_variance = 1;  ///< of truth and members about the same start
};

/// A truth, its observations at times interval, 2 interval, .. and a prior ensemble at time 0.
struct LorenzTwin {
  da::StepModel model;
  da::Ensemble prior;
  da::Observations observations;
  da::DiagonalCovariance covariance;
  std::vector<double> times;               ///< of the observations
  std::vector<std::vector<double>> truth;  ///< at those times
  std::uint64_t seed;

  da::Problem problem() const { return {prior, model, observations, covariance, times, seed}; }

  /// Mean over the times after the first `burn_in` of the root mean square over components of mean less truth.
  double rmse(const da::Analysis& analysis, std::size_t burn_in = 200) const {
    double total = 0;
    for (std::size_t k = burn_in; k < truth.size(); ++k) {
      const std::vector<double> mean = analysis.ensembles[k].mean().to_vector();
      double sum = 0;
      for (std::size_t i = 0; i < mean.size(); ++i) sum += std::pow(mean[i] - truth[k][i], 2);
      total += std::sqrt(sum / static_cast<double>(mean.size()));
    }
    return total / static_cast<double>(truth.size() - burn_in);
  }
};

inline LorenzTwin lorenz_twin(da::StepModel model, double dt, const std::vector<double>& start, const LorenzSettings& s,
                              std::uint64_t seed) {
  constexpr std::uint32_t stream = 1000;
  autodiff::Random random(seed, stream);
  const auto n = static_cast<std::int64_t>(start.size());
  const auto about_start = [&](std::int64_t rows) {
    std::vector<double> values;
    for (std::int64_t i = 0; i < rows; ++i)
      for (const double x : start) values.push_back(x + std::sqrt(s.initial_variance) * random.normal());
    return autodiff::Tensor::from(std::span<const double>(values), {rows, n});
  };
  autodiff::Tensor x = about_start(1);
  da::Ensemble prior(about_start(s.members));
  da::Observations o;
  std::vector<double> times;
  std::vector<std::vector<double>> truth;
  for (std::int64_t k = 1; k <= s.cycles; ++k) {
    x = model.forecast(x, dt * static_cast<double>(s.steps));
    times.push_back(dt * static_cast<double>(k * s.steps));
    truth.push_back(x.to_vector());
    for (std::int64_t i = 0; i < n; ++i)
      o.add(times.back(), static_cast<double>(i), 0, i, truth.back()[i] + std::sqrt(s.error_variance) * random.normal(),
            std::sqrt(s.error_variance));
  }
  da::DiagonalCovariance covariance(std::vector<double>(static_cast<std::size_t>(o.size()), s.error_variance));
  return {std::move(model), std::move(prior), std::move(o), std::move(covariance),
          std::move(times), std::move(truth), seed};
}

/// 40 places, F = 8, steps of 0.05 from the first basis vector. An observation's x is its component.
inline LorenzTwin lorenz_96_twin(LorenzSettings s, std::uint64_t seed) {
  constexpr double dt = 0.05;
  const models::Lorenz96 system(40);
  const autodiff::Var forcing(autodiff::Tensor::full({1}, 8.0, autodiff::DType::float64));
  da::StepModel model(40, dt, [=](const autodiff::Var& v) { return system.step(v, forcing, dt); });
  std::vector<double> start(40, 0.0);
  start[0] = 1;
  return lorenz_twin(std::move(model), dt, start, s, seed);
}

/// Distance of a component from an observation of lorenz_96_twin, on the circle.
inline double circular_distance(std::int64_t control, const da::Observations& o, std::int64_t observation) {
  const double d = std::abs(o.x[observation] - static_cast<double>(control));
  return std::min(d, 40 - d);
}

/// Steps of 0.01.
inline LorenzTwin lorenz_63_twin(const LorenzSettings& s, std::uint64_t seed) {
  constexpr double dt = 0.01;
  da::StepModel model(3, dt, [](const autodiff::Var& v) { return models::Lorenz63{}.step(v, dt); });
  return lorenz_twin(std::move(model), dt, {1.509, -1.531, 25.46}, s, seed);
}

/// How many of the seeds 1, 2, 3 give an error of at most `bound`.
template <typename Error>
int seeds_within(double bound, const Error& error_of_seed) {
  int within = 0;
  for (const std::uint64_t seed : {1, 2, 3}) within += error_of_seed(seed) <= bound ? 1 : 0;
  return within;
}

}  // namespace levda::testing
