#include "da/method.h"

#include <fmt/format.h>

#include <limits>

#include "autodiff/error.h"

namespace levda::da {

using autodiff::Tensor;
using autodiff::Var;

namespace {

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

/// The ensembles at times[begin .. end), from one at `now`.
void carry(const Problem& p, const Ensemble& from, double now, std::int64_t begin, std::int64_t end,
           std::vector<Ensemble>& out) {
  Var v(from.members());
  for (std::int64_t i = begin; i < end; ++i) {
    v = p.model.advance(v, p.times[i] - now);
    now = p.times[i];
    out[i] = Ensemble(v.value());
  }
}

}  // namespace

Analysis FreeRun::assimilate(const Problem& p) const {
  check(p);
  Analysis analysis{.ensembles = std::vector<Ensemble>(p.times.size()), .diagnostics = {}};
  carry(p, p.prior, 0, 0, static_cast<std::int64_t>(p.times.size()), analysis.ensembles);
  return analysis;
}

Analysis WindowMethod::assimilate(const Problem& p) const {
  check(p);
  const std::vector<Window> windows = windows_of(p);
  std::vector<std::vector<std::int64_t>> members;
  std::vector<double> entered(static_cast<std::size_t>(p.observations.size()), 0);
  for (const Window& window : windows) {
    members.push_back(p.observations.in_window(window.first, window.last));
    for (const std::int64_t i : members.back()) entered[i] += 1;
  }
  Analysis analysis{.ensembles = std::vector<Ensemble>(p.times.size()), .diagnostics = {}};
  Ensemble ensemble = p.prior;
  double now = 0;
  bool first = true;
  for (std::size_t k = 0; k < windows.size(); ++k) {
    const Window& window = windows[k];
    if (window.control > now)
      ensemble = Ensemble(p.model.advance(Var(ensemble.members()), window.control - now).value());
    now = window.control;
    if (!members[k].empty()) {
      Observations observations = p.observations.part(members[k]);
      for (double& t : observations.time) t -= window.control;
      std::vector<double> factors;
      for (const std::int64_t i : members[k]) factors.push_back(entered[i]);
      const Tensor values = Tensor::from(std::span<const double>(observations.value), {observations.size()});
      ensemble = analyse(ensemble, *p.model.observe(observations), values, *p.covariance.part(members[k], factors),
                         first, analysis.diagnostics);
      first = false;
    }
    carry(p, ensemble, now, window.begin, window.end, analysis.ensembles);
  }
  return analysis;
}

}  // namespace levda::da
