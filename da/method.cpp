#include "da/method.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "autodiff/error.h"

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
}

namespace {

constexpr std::uint32_t window_stream = 60;  // of the problem's seed

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
         x.time == y.time && x.x == y.x && x.y == y.y && x.channel == y.channel && x.qc == y.qc;
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

}  // namespace

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

Analysis WindowMethod::assimilate(const Problem& p) const { return assimilate_all({&p, 1}).front(); }

std::vector<Analysis> WindowMethod::assimilate_all(std::span<const Problem> problems) const {
  return in_groups(problems, same_windows, [this](std::span<const Problem* const> group, std::span<Analysis*> out) {
    const Problem& p = *group.front();
    const std::vector<Window> windows = windows_of(p);
    std::vector<std::vector<std::int64_t>> members;
    std::vector<double> entered(static_cast<std::size_t>(p.observations.size()), 0);
    for (const Window& window : windows) {
      members.push_back(p.observations.in_window(window.first, window.last));
      for (const std::int64_t i : members.back()) entered[i] += 1;
    }
    std::vector<Ensemble> ensembles = priors_of(group);
    std::vector<autodiff::Random> random;
    for (const Problem* one : group) random.emplace_back(one->seed, window_stream);
    double now = 0;
    bool first = true;
    for (std::size_t w = 0; w < windows.size(); ++w) {
      const Window& window = windows[w];
      if (window.control > now) ensembles = advanced(p.model, ensembles, window.control - now);
      now = window.control;
      if (!members[w].empty()) {
        Observations observations = p.observations.part(members[w]);
        for (double& t : observations.time) t -= window.control;
        std::vector<double> factors;
        for (const std::int64_t i : members[w]) factors.push_back(entered[i]);
        std::vector<WindowProblem> some;
        for (std::size_t k = 0; k < group.size(); ++k) {
          const std::vector<double> values = group[k]->observations.part(members[w]).value;
          some.push_back({.prior = ensembles[k],
                          .values = Tensor::from(std::span<const double>(values), {observations.size()}),
                          .covariance = group[k]->covariance.part(members[w], factors),
                          .observations = observations,
                          .random = random[k],
                          .diagnostics = out[k]->diagnostics});
        }
        ensembles = analyse(*p.model.observe(observations), some, first);
        first = false;
      }
      carry(p, ensembles, now, window.begin, window.end, out);
    }
  });
}

}  // namespace levda::da
