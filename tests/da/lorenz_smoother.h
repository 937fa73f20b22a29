#pragma once

/// Lagged smoothing of Lorenz' systems as in the literature: each cycle one time of observations, at the window's end.

#include "tests/da/lorenz_twin.h"

namespace levda::testing {

struct LagErrors {
  double filter = 0;    ///< of observed components at the times of the last observations, the window's end
  double smoother = 0;  ///< at its start
  double hidden = 0;    ///< of the components that are never observed, at its end; 0 where there are none
};

/// Single data assimilation (Bocquet & Sakov 2014): the control vector lies `lag` times of observations before the one
/// that is assimilated (at time 0 for the first), and moves on by one of them each cycle. Root mean square errors over
/// components, averaged over the cycles after the first `burn_in`. Each time has the same observations: of the first
/// components, one each.
inline LagErrors lag_errors(const LorenzTwin& twin, const da::WindowMethod& method, std::size_t lag,
                            std::size_t burn_in = 200) {
  const auto start_of = [&](std::size_t k) { return k < lag ? 0 : twin.times[k] - twin.times[lag - 1]; };
  const std::size_t observed = static_cast<std::size_t>(twin.observations.size()) / twin.times.size();
  const auto error = [&](const da::Ensemble& ensemble, std::size_t k, std::size_t begin, std::size_t end) {
    const std::vector<double> mean = ensemble.mean().to_vector();
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) sum += std::pow(mean[i] - twin.truth[k][i], 2);
    return std::sqrt(sum / static_cast<double>(end - begin));
  };
  LagErrors total;
  da::Ensemble ensemble = twin.prior;
  for (std::size_t k = 0; k < twin.times.size(); ++k) {
    std::vector<std::int64_t> positions;
    for (std::size_t i = 0; i < observed; ++i) positions.push_back(static_cast<std::int64_t>(k * observed + i));
    da::Observations here = twin.observations.part(positions);
    const double start = start_of(k);
    const double next = k + 1 < twin.times.size() ? start_of(k + 1) - start : 0;
    const double end = twin.times[k] - start;
    std::fill(here.time.begin(), here.time.end(), end);
    std::vector<double> times{0};
    if (next > 0 && next < end) times.push_back(next);
    times.push_back(end);
    const auto covariance = twin.covariance.part(positions, std::vector<double>(positions.size(), 1.0));
    const da::Analysis analysis =
        method.assimilate({ensemble, twin.model, here, *covariance, times, twin.seed * 1000000 + k});
    if (k >= burn_in) {
      const da::Ensemble& last = analysis.ensembles.back();
      const std::size_t components = twin.truth[k].size();
      total.filter += error(last, k, 0, observed);
      if (components > observed) total.hidden += error(last, k, observed, components);
      if (k >= lag) total.smoother += error(analysis.ensembles.front(), k - lag, 0, observed);
    }
    ensemble = analysis.ensembles[next > 0 ? 1 : 0];
  }
  const auto count = static_cast<double>(twin.times.size() - burn_in);
  return {total.filter / count, total.smoother / count, total.hidden / count};
}

}  // namespace levda::testing
