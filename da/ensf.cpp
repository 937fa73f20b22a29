#include "da/ensf.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "autodiff/internal/isolation.h"
#include "autodiff/streams.h"

namespace levda::da {

using autodiff::Random;
using autodiff::Tensor;
using autodiff::Var;

namespace {

/// -sum_j w_j (x - alpha x_j) / t over some rows x_j of an ensemble.
void ensemble_score(const DiffusionStep& s, std::span<const double> x, const std::vector<double>& members,
                    std::span<const std::int64_t> batch, std::span<double> score) {
  const std::size_t n = x.size();
  const auto row = [&](std::size_t k) { return members.data() + static_cast<std::size_t>(batch[k]) * n; };
  std::vector<double> weight(batch.size());
  if (batch.size() > 1)
    for (std::size_t k = 0; k < batch.size(); ++k) {
      const double* const own = row(k);
      double distance = 0;
      for (std::size_t i = 0; i < n; ++i) distance += (x[i] - s.alpha * own[i]) * (x[i] - s.alpha * own[i]);
      weight[k] = -0.5 * distance / s.t;
    }
  const double most = *std::max_element(weight.begin(), weight.end());
  double sum = 0;
  for (double& value : weight) sum += value = std::exp(value - most);
  for (std::size_t i = 0; i < n; ++i) score[i] = -x[i] / s.t;
  for (std::size_t k = 0; k < batch.size(); ++k) {
    const double factor = weight[k] / sum * s.alpha / s.t;
    if (factor == 0) continue;
    const double* const own = row(k);
    for (std::size_t i = 0; i < n; ++i) score[i] += factor * own[i];
  }
}

}  // namespace

Ensf::Ensf(EnsfSettings settings) : settings_(settings) {
  diffusion_steps(settings_.diffusion);
  if (settings_.batch < 0) throw Error(fmt::format("ensf: batches of {} members", settings_.batch));
  if (!(settings_.scaling > 0) || !std::isfinite(settings_.scaling))
    throw Error(fmt::format("ensf: a scaling of {}", settings_.scaling));
  check(settings_.inflation);
}

Ensemble Ensf::analyse(const ObservationOperator& observe, const WindowProblem& problem) const {
  const std::int64_t count = problem.prior.size();
  const std::int64_t n = problem.prior.controls();
  const std::int64_t m = observe.size();
  const double scaling = settings_.scaling;
  const std::vector<double> prior = problem.prior.members().to_vector();
  std::uint64_t seed = problem.random.bits();
  seed = seed << 32 | problem.random.bits();

  /// J'(v) cotangent(H(v)) of one control vector.
  const auto slope_of = [&](std::span<const double> control, const auto& cotangent) {
    const autodiff::Isolation own_tapes_only("ensf");
    autodiff::Tape tape;
    const Var v = tape.variable(Tensor::from(control, {1, n}));
    const Var y = observe(v);
    return vjp(y, cotangent(y.detach()), {v})[0].value().to_vector();
  };

  // With one member the score is a sum over controls: controls on which no observation depends are drawn at once.
  std::vector<std::int64_t> active(static_cast<std::size_t>(n));
  std::iota(active.begin(), active.end(), 0);
  if (settings_.batch == 1) {
    std::vector<double> any(static_cast<std::size_t>(m));
    Random random(seed, streams::ensf_probe);
    for (double& value : any) value = random.normal();
    const Var cotangent(Tensor::from(std::span<const double>(any), {1, m}));
    std::vector<char> depends(static_cast<std::size_t>(n), 0);
    for (std::int64_t k = 0; k < count; ++k) {
      const std::vector<double> slope =
          slope_of(std::span(prior).subspan(static_cast<std::size_t>(k * n), static_cast<std::size_t>(n)),
                   [&](const Var&) { return cotangent; });
      for (std::size_t i = 0; i < slope.size(); ++i) depends[i] |= slope[i] != 0;
    }
    std::erase_if(active, [&](std::int64_t i) { return depends[static_cast<std::size_t>(i)] == 0; });
  }
  std::vector<double> members;  // (count, active), scaled
  for (std::int64_t k = 0; k < count; ++k)
    for (const std::int64_t i : active) members.push_back(scaling * prior[k * n + i]);

  const Gain free = gain(settings_.diffusion, std::numeric_limits<double>::infinity());
  const Var values(problem.values.reshaped({1, m}));
  std::vector<double> posterior = prior;
  oneapi::tbb::parallel_for(std::int64_t{0}, count, [&](std::int64_t k) {
    Random random(seed, streams::ensf_members, static_cast<std::uint32_t>(k));
    const std::span<double> own =
        std::span(posterior).subspan(static_cast<std::size_t>(k * n), static_cast<std::size_t>(n));
    std::vector<double> control(own.begin(), own.end());
    for (double& value : own) value = free.forecast * value + free.noise / scaling * random.normal();
    const bool all = settings_.batch == 0 || settings_.batch >= count;
    std::vector<std::int64_t> batch{k};
    if (all) {
      batch.resize(static_cast<std::size_t>(count));
      std::iota(batch.begin(), batch.end(), 0);
    }
    const auto score = [&](const DiffusionStep& s, std::span<const double> x, std::span<double> out) {
      if (!all && settings_.batch > 1) {
        batch = random.permutation(count);
        batch.resize(static_cast<std::size_t>(settings_.batch));
      }
      ensemble_score(s, x, members, batch, out);
      if (s.t == 1) return;
      for (std::size_t i = 0; i < active.size(); ++i) control[active[i]] = x[i] / scaling;
      const std::vector<double> slope =
          slope_of(control, [&](const Var& y) { return problem.covariance->solve(values - y); });
      for (std::size_t i = 0; i < active.size(); ++i) out[i] += (1 - s.t) / scaling * slope[active[i]];
    };
    std::vector<double> x(active.size());
    reverse_sde(settings_.diffusion, score, random, x);
    for (std::size_t i = 0; i < active.size(); ++i) own[active[i]] = x[i] / scaling;
  });
  return inflated(problem.prior, Ensemble(Tensor::from(std::span<const double>(posterior), {count, n})),
                  settings_.inflation, problem.random);
}

}  // namespace levda::da
