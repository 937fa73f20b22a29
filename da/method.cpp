#include "da/method.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "autodiff/error.h"
#include "autodiff/streams.h"
#include "da/internal/matrices.h"
#include "da/quality_control.h"

namespace levda::da {

using autodiff::Tensor;
using autodiff::Vars;

void check(const Problem& p) {
  if (p.prior.controls() != p.model.controls())
    throw Error(fmt::format("an ensemble of {} controls for a model of {}", p.prior.controls(), p.model.controls()));
  if (p.covariance.size() != p.observations.size())
    throw Error(
        fmt::format("a covariance of {} errors for {} observations", p.covariance.size(), p.observations.size()));
  if (p.times.empty()) throw Error("no times at which an analysis is wanted");
  for (std::size_t i = 0; i < p.times.size(); ++i)
    if (!(p.times[i] >= (i == 0 ? 0 : p.times[i - 1]))) throw Error("the times of the analysis do not increase from 0");
  if (p.windows.length < 1 || p.windows.shift < 1 || p.windows.shift > p.windows.length)
    throw Error(fmt::format("windows of length {} and shift {}", p.windows.length, p.windows.shift));
  if (!(p.gross_error >= 0)) throw Error(fmt::format("a gross-error check at {} standard deviations", p.gross_error));
  if (!p.walk.empty() && static_cast<std::int64_t>(p.walk.size()) != p.model.controls())
    throw Error(fmt::format("a random walk of {} controls for a model of {}", p.walk.size(), p.model.controls()));
  for (const double deviation : p.walk)
    if (!(deviation >= 0) || !std::isfinite(deviation))
      throw Error(fmt::format("a random walk with steps of {}", deviation));
}

namespace {

constexpr int most_analyses = 3;  // of one window, with quality control

/// The times [begin, end) of one window, and the seconds from its control vector on.
struct Window {
  std::int64_t begin;
  std::int64_t end;
  double control;  // s
  double first;    // s: observations in [first, last)
  double last;
};

std::vector<Window> windows_of(const Problem& p) {
  const auto count = static_cast<std::int64_t>(p.times.size());
  std::vector<Window> windows;
  for (std::int64_t begin = 0;; begin += p.windows.shift) {
    const std::int64_t end = std::min(begin + p.windows.length, count);
    windows.push_back({.begin = begin,
                       .end = end,
                       .control = begin == 0 ? 0 : p.times[begin],
                       .first = begin == 0 ? 0 : p.times[begin],
                       .last = end == count ? std::numeric_limits<double>::infinity() : p.times[end]});
    if (end == count) return windows;
  }
}

/// Whether the same steps of the model carry both.
bool same_trajectory(const Problem& a, const Problem& b) {
  return &a.model == &b.model && a.prior.size() == b.prior.size() && a.times == b.times;
}

/// Whether one observation operator per window serves both.
bool same_windows(const Problem& a, const Problem& b) {
  const Observations& x = a.observations;
  const Observations& y = b.observations;
  return same_trajectory(a, b) && a.windows.length == b.windows.length && a.windows.shift == b.windows.shift &&
         x.time == y.time && x.x == y.x && x.y == y.y && x.channel == y.channel && x.qc == y.qc && x.op == y.op &&
         x.extent_x == y.extent_x && x.extent_y == y.extent_y;
}

/// Ensembles of one size after some seconds.
std::vector<Ensemble> advanced(const ForwardModel& model, const std::vector<Ensemble>& ensembles, double seconds) {
  Vars members;
  for (const Ensemble& ensemble : ensembles) members.emplace_back(ensemble.members());
  const Tensor later = model.advance_each(stack(members, 0).value(), seconds);  // (ensembles, N, n)
  std::vector<Ensemble> result;
  for (std::int64_t k = 0; k < later.shape()[0]; ++k)
    result.emplace_back(later.rows(k, k + 1).reshaped(later.shape().part(1, 3)));
  return result;
}

/// The ensembles at times[begin .. end), from those at `now`, into each one's analysis.
void carry(const Problem& p, std::vector<Ensemble> ensembles, double now, std::int64_t begin, std::int64_t end,
           std::span<Analysis*> out) {
  for (std::int64_t i = begin; i < end; ++i) {
    ensembles = advanced(p.model, ensembles, p.times[i] - now);
    now = p.times[i];
    for (std::size_t k = 0; k < out.size(); ++k) out[k]->ensembles[i] = ensembles[k];
  }
}

/// Runs each group of problems that are the same by itself: f(those problems, their analyses).
template <typename Same, typename F>
std::vector<Analysis> in_groups(std::span<const Problem> problems, const Same& same, const F& f) {
  std::vector<std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < problems.size(); ++i) {
    check(problems[i]);
    const auto found = std::find_if(groups.begin(), groups.end(),
                                    [&](const auto& group) { return same(problems[group.front()], problems[i]); });
    if (found == groups.end())
      groups.push_back({i});
    else
      found->push_back(i);
  }
  std::vector<Analysis> analyses(problems.size());
  for (const std::vector<std::size_t>& group : groups) {
    std::vector<const Problem*> members;
    std::vector<Analysis*> out;
    for (const std::size_t i : group) {
      analyses[i].ensembles.resize(problems[i].times.size());
      members.push_back(&problems[i]);
      out.push_back(&analyses[i]);
    }
    f(members, out);
  }
  return analyses;
}

std::vector<Ensemble> priors_of(std::span<const Problem* const> problems) {
  std::vector<Ensemble> priors;
  for (const Problem* p : problems) priors.push_back(p->prior);
  return priors;
}

/// Members after independent normal steps whose mean is 0.
Ensemble walked(const Ensemble& ensemble, const std::vector<double>& deviation, autodiff::Random& random) {
  Matrix members = matrix_of(ensemble.members());
  for (std::int64_t c = 0; c < members.cols(); ++c) {
    if (deviation[c] == 0) continue;
    Vector steps(members.rows());
    for (double& step : steps) step = random.normal();
    members.col(c) += deviation[c] * (steps.array() - steps.mean()).matrix();
  }
  return Ensemble(tensor_of(members));
}

/// Codes of a window's observations against some ensemble; R without the factors of overlapping windows.
std::vector<std::int32_t> checked(const Problem& p, const Observations& observations,
                                  std::span<const std::int64_t> positions, const Tensor& predictions) {
  const std::vector<double> all = p.covariance.variance();
  std::vector<double> variance;
  for (const std::int64_t i : positions) variance.push_back(all[i]);
  return check_gross_errors(observations.value, variance, predictions, p.gross_error);
}

/// G of each ensemble's mean and members: (ensembles, N + 1, m).
Tensor predict_with_mean(const ObservationOperator& observe, const std::vector<Ensemble>& ensembles) {
  Vars rows;
  for (const Ensemble& ensemble : ensembles)
    rows.push_back(autodiff::concat(
        {reshape(autodiff::Var(ensemble.mean()), {1, ensemble.controls()}), autodiff::Var(ensemble.members())}, 0));
  return observe.predict_each(stack(rows, 0).value());
}

}  // namespace

/// Problems in step, and what is known of each.
struct WindowMethod::Group {
  std::span<const Problem* const> problems;
  std::span<Analysis*> out;
  std::vector<autodiff::Random> random;
  std::vector<double> entered;  // windows per observation
};

std::vector<Analysis> Method::assimilate_all(std::span<const Problem> problems) const {
  std::vector<Analysis> analyses;
  for (const Problem& p : problems) analyses.push_back(assimilate(p));
  return analyses;
}

Analysis FreeRun::assimilate(const Problem& p) const { return assimilate_all({&p, 1}).front(); }

std::vector<Analysis> FreeRun::assimilate_all(std::span<const Problem> problems) const {
  return in_groups(problems, same_trajectory, [](std::span<const Problem* const> group, std::span<Analysis*> out) {
    const Problem& p = *group.front();
    carry(p, priors_of(group), 0, 0, static_cast<std::int64_t>(p.times.size()), out);
  });
}

std::vector<Ensemble> WindowMethod::analyse_window(const ObservationOperator& observe, Group& group,
                                                   const std::vector<Ensemble>& priors,
                                                   const Observations& observations,
                                                   std::span<const std::int64_t> positions, std::int64_t window,
                                                   bool first) const {
  const std::size_t count = group.problems.size();
  std::vector<double> factors;
  for (const std::int64_t i : positions) factors.push_back(counts_once() ? group.entered[i] : 1);
  std::vector<std::vector<std::int32_t>> codes(count, std::vector<std::int32_t>(positions.size(), used));
  std::vector<std::vector<double>> values;
  for (const Problem* p : group.problems) values.push_back(p->observations.part(positions).value);
  std::vector<Diagnostics> diagnostics(count);
  std::vector<WindowReport> reports(count);
  std::vector<Ensemble> posteriors = priors;

  const auto check_again = [&](const std::vector<std::size_t>& which) {
    std::vector<Ensemble> ensembles;
    for (const std::size_t k : which) ensembles.push_back(posteriors[k]);
    const Tensor predictions = predict_with_mean(observe, ensembles);
    std::vector<std::size_t> changed;
    for (std::size_t j = 0; j < which.size(); ++j) {
      const std::size_t k = which[j];
      Observations own = observations;
      own.value = values[k];
      std::vector<std::int32_t> now = checked(*group.problems[k], own, positions, part(predictions, j));
      if (now == codes[k]) continue;
      codes[k] = std::move(now);
      changed.push_back(k);
    }
    return changed;
  };

  std::vector<std::size_t> open;
  std::vector<std::size_t> watched;
  for (std::size_t k = 0; k < count; ++k) {
    open.push_back(k);
    if (group.problems[k]->gross_error > 0) watched.push_back(k);
  }
  if (!watched.empty()) check_again(watched);
  for (int round = 1; !open.empty(); ++round) {
    std::vector<WindowProblem> some;
    std::vector<std::size_t> analysed;
    for (const std::size_t k : open) {
      diagnostics[k].clear();
      reports[k] = {};
      posteriors[k] = priors[k];
      std::unique_ptr<const ErrorCovariance> covariance = group.problems[k]->covariance.part(positions, factors);
      std::vector<bool> kept;
      for (const std::int32_t code : codes[k]) kept.push_back(code == used);
      const auto left = std::count(kept.begin(), kept.end(), true);
      if (left == 0) continue;
      if (left < static_cast<std::ptrdiff_t>(kept.size()))
        covariance = std::make_unique<MaskedCovariance>(*covariance, kept);
      some.push_back({.prior = priors[k],
                      .values = Tensor::from(std::span<const double>(values[k]), {observations.size()}),
                      .covariance = std::move(covariance),
                      .observations = observations,
                      .random = group.random[k],
                      .diagnostics = diagnostics[k],
                      .report = &reports[k],
                      .parameters = group.problems[k]->parameters,
                      .candidates = first ? group.problems[k]->candidates : nullptr});
      analysed.push_back(k);
    }
    if (some.empty()) break;
    const std::vector<Ensemble> results = analyse(observe, some, first);
    for (std::size_t j = 0; j < analysed.size(); ++j) posteriors[analysed[j]] = results[j];
    // The last decision stands with the analysis that was made with it.
    if (round == most_analyses) break;
    std::erase_if(analysed, [&](std::size_t k) { return group.problems[k]->gross_error == 0; });
    open = analysed.empty() ? std::vector<std::size_t>{} : check_again(analysed);
  }

  for (std::size_t k = 0; k < count; ++k) {
    Analysis& analysis = *group.out[k];
    for (const auto& [name, numbers] : diagnostics[k]) {
      std::vector<double>& all = analysis.diagnostics[name];
      all.insert(all.end(), numbers.begin(), numbers.end());
    }
    for (std::size_t i = 0; i < positions.size(); ++i) {
      analysis.qc[positions[i]] = codes[k][i];
      if (!reports[k].share.empty() && codes[k][i] == used)
        analysis.impact.push_back({.window = window,
                                   .observation = positions[i],
                                   .share = reports[k].share[i],
                                   .sensitivity = reports[k].sensitivity[i]});
    }
    for (Iteration& iteration : reports[k].iterations) {
      iteration.window = window;
      analysis.iterations.push_back(iteration);
    }
  }
  return posteriors;
}

Analysis WindowMethod::assimilate(const Problem& p) const { return assimilate_all({&p, 1}).front(); }

std::vector<Analysis> WindowMethod::assimilate_all(std::span<const Problem> problems) const {
  return in_groups(problems, same_windows, [this](std::span<const Problem* const> members, std::span<Analysis*> out) {
    const Problem& p = *members.front();
    const std::vector<Window> windows = windows_of(p);
    Group group{.problems = members,
                .out = out,
                .random = {},
                .entered = std::vector<double>(static_cast<std::size_t>(p.observations.size()), 0)};
    std::vector<std::vector<std::int64_t>> positions;
    for (const Window& window : windows) {
      positions.push_back(p.observations.in_window(window.first, window.last));
      for (const std::int64_t i : positions.back()) group.entered[i] += 1;
    }
    std::vector<Ensemble> ensembles = priors_of(members);
    std::vector<autodiff::Random> walks;
    for (std::size_t k = 0; k < members.size(); ++k) {
      group.random.emplace_back(members[k]->seed, streams::window_draws);
      walks.emplace_back(members[k]->seed, streams::parameter_walk);
      out[k]->qc = members[k]->observations.qc;
    }
    double now = 0;
    bool first = true;
    for (std::size_t w = 0; w < windows.size(); ++w) {
      const Window& window = windows[w];
      if (window.control > now) ensembles = advanced(p.model, ensembles, window.control - now);
      now = window.control;
      for (std::size_t k = 0; k < members.size(); ++k)
        if (w > 0 && !members[k]->walk.empty()) ensembles[k] = walked(ensembles[k], members[k]->walk, walks[k]);
      if (!positions[w].empty()) {
        Observations observations = p.observations.part(positions[w]);
        for (double& t : observations.time) t -= window.control;
        ensembles = analyse_window(*p.model.observe(observations), group, ensembles, observations, positions[w],
                                   static_cast<std::int64_t>(w), first);
        first = false;
      }
      carry(p, ensembles, now, window.begin, window.end, out);
    }
  });
}

}  // namespace levda::da
