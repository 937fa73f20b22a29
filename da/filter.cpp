#include "da/filter.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "autodiff/streams.h"

namespace levda::da {

using autodiff::Tensor;

namespace {

/// Times nearer than this share of them are one.
constexpr double time_resolution = 1e-9;

bool same_time(double a, double b) { return std::abs(a - b) <= time_resolution * (std::abs(a) + std::abs(b)); }

/// Observations at one time.
struct Batch {
  double time;
  std::vector<std::int64_t> positions;
};

std::vector<Batch> batches_of(const Observations& o) {
  std::vector<std::int64_t> order = o.in_window(0, std::numeric_limits<double>::infinity());
  std::stable_sort(order.begin(), order.end(), [&](auto i, auto j) { return o.time[i] < o.time[j]; });
  std::vector<Batch> batches;
  for (const std::int64_t i : order) {
    if (batches.empty() || !same_time(batches.back().time, o.time[i])) batches.push_back({o.time[i], {}});
    batches.back().positions.push_back(i);
  }
  return batches;
}

}  // namespace

Analysis FilterMethod::assimilate(const Problem& p) const {
  check(p);
  const std::vector<Batch> batches = batches_of(p.observations);
  autodiff::Random random(p.seed, streams::filter_draws);
  Analysis analysis;
  Ensemble ensemble = p.prior;
  double now = 0;
  const auto advance_to = [&](double time) {
    if (!same_time(time, now)) ensemble = Ensemble(p.model.forecast(ensemble.members(), time - now));
    now = time;
  };
  auto batch = batches.begin();
  const auto assimilate_until = [&](double end) {
    for (; batch != batches.end() && (batch->time <= end || same_time(batch->time, end)); ++batch) {
      advance_to(batch->time);
      Observations here = p.observations.part(batch->positions);
      std::fill(here.time.begin(), here.time.end(), 0.0);
      const WindowProblem problem{
          .prior = ensemble,
          .values = Tensor::from(std::span<const double>(here.value), {here.size()}),
          .covariance = p.covariance.part(batch->positions, std::vector<double>(batch->positions.size(), 1.0)),
          .observations = here,
          .random = random,
          .diagnostics = analysis.diagnostics};
      ensemble = analyse(*p.model.observe(here), problem);
    }
  };
  for (const double time : p.times) {
    assimilate_until(time);
    advance_to(time);
    analysis.ensembles.push_back(ensemble);
  }
  return analysis;
}

}  // namespace levda::da
