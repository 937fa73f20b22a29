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
  check_columns(p.observations, "observations");
  if (p.covariance.size() != p.observations.size())
    throw Error(
        fmt::format("a covariance of {} errors for {} observations", p.covariance.size(), p.observations.size()));
  if (p.times.empty()) throw Error("no times at which an analysis is wanted");
  for (std::size_t i = 0; i < p.times.size(); ++i)
    if (!(p.times[i] >= (i == 0 ? 0 : p.times[i - 1]))) throw Error("the times of the analysis do not increase from 0");
}

namespace {

constexpr int most_analyses = 3;  // of one window, with quality control

/// Whether the two problems can be advanced together.
bool same_trajectory(const Problem& a, const Problem& b) {
  return &a.model == &b.model && a.prior.size() == b.prior.size() && a.times == b.times;
}

/// Whether one observation operator per window serves both problems.
bool same_windows(const Problem& a, const Problem& b) {
  const Observations& x = a.observations;
  const Observations& y = b.observations;
  return same_trajectory(a, b) && x.time == y.time && x.x == y.x && x.y == y.y && x.channel == y.channel &&
         x.qc == y.qc && x.op == y.op && x.extent_x == y.extent_x && x.extent_y == y.extent_y;
}

/// Ensembles of one size after a duration.
std::vector<Ensemble> advanced(const ForwardModel& model, const std::vector<Ensemble>& ensembles, double duration) {
  Vars members;
  for (const Ensemble& ensemble : ensembles) members.emplace_back(ensemble.members());
  const Tensor later = model.forecast(stack(members, 0).value(), duration);  // (ensembles, N, n)
  std::vector<Ensemble> result;
  for (std::size_t k = 0; k < ensembles.size(); ++k) result.emplace_back(part(later, k));
  return result;
}

/// Advances the ensembles from `now` to times[begin .. end) and stores them in the analyses.
void carry(const Problem& p, std::vector<Ensemble> ensembles, double now, std::int64_t begin, std::int64_t end,
           std::span<Analysis*> out) {
  for (std::int64_t i = begin; i < end; ++i) {
    ensembles = advanced(p.model, ensembles, p.times[i] - now);
    now = p.times[i];
    for (std::size_t k = 0; k < out.size(); ++k) out[k]->ensembles[i] = ensembles[k];
  }
}

/// Divides problems into groups of the same kind and runs f(problems, their analyses, their positions) on each.
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
    f(members, out, group);
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

/// G of each ensemble's mean and members: (ensembles, N + 1, m).
Tensor predict_with_mean(const ObservationOperator& observe, const std::vector<Ensemble>& ensembles) {
  Vars rows;
  for (const Ensemble& ensemble : ensembles)
    rows.push_back(autodiff::concat(
        {reshape(autodiff::Var(ensemble.mean()), {1, ensemble.controls()}), autodiff::Var(ensemble.members())}, 0));
  return observe.predict(stack(rows, 0).value());
}

}  // namespace

/// Problems that advance together, and their windows.
struct WindowMethod::Group {
  std::span<const Problem* const> problems;
  std::span<Analysis*> out;
  std::span<const std::size_t> indices;  // positions of the problems among all
  std::vector<autodiff::Random> random;  // one for each problem
  std::vector<double> entered;           // windows per observation
};

/// The times [begin, end) and the observations of one window.
struct WindowMethod::Window {
  std::int64_t number;
  std::int64_t begin;
  std::int64_t end;
  double control;  // time of the control vector
  std::vector<std::int64_t> positions;
  Observations observations;  // those at `positions`, their times from the control vector on
  std::unique_ptr<ObservationOperator> observe;

  static std::vector<Window> of(const Problem& p, const WindowSettings& settings) {
    const auto count = static_cast<std::int64_t>(p.times.size());
    const std::int64_t length = settings.length > 0 ? settings.length : count;
    const std::int64_t shift = settings.shift > 0 ? settings.shift : length;
    std::vector<Window> windows;
    for (std::int64_t begin = 0;; begin += shift) {
      const std::int64_t end = std::min(begin + length, count);
      const double control = begin == 0 ? 0 : p.times[begin];
      const double last = end == count ? std::numeric_limits<double>::infinity() : p.times[end];
      windows.push_back({.number = static_cast<std::int64_t>(windows.size()),
                         .begin = begin,
                         .end = end,
                         .control = control,
                         .positions = p.observations.in_window(control, last),
                         .observations = {},
                         .observe = nullptr});
      if (end == count) return windows;
    }
  }
};

WindowMethod::WindowMethod(WindowSettings windows) : windows_(std::move(windows)) {
  const auto& [length, shift, gross_error, walk] = windows_;
  if (length < 0 || shift < 0 || (length > 0 && shift > length))
    throw Error(fmt::format("windows of length {} and shift {}", length, shift));
  if (!(gross_error >= 0)) throw Error(fmt::format("a gross-error check at {} standard deviations", gross_error));
  for (const double deviation : walk)
    if (!(deviation >= 0) || !std::isfinite(deviation))
      throw Error(fmt::format("a random walk with steps of {}", deviation));
}

std::vector<Analysis> Method::assimilate_all(std::span<const Problem> problems) const {
  std::vector<Analysis> analyses;
  for (const Problem& p : problems) analyses.push_back(assimilate(p));
  return analyses;
}

Analysis FreeRun::assimilate(const Problem& p) const { return assimilate_all({&p, 1}).front(); }

std::vector<Analysis> FreeRun::assimilate_all(std::span<const Problem> problems) const {
  return in_groups(problems, same_trajectory,
                   [](std::span<const Problem* const> group, std::span<Analysis*> out, const auto&) {
                     const Problem& p = *group.front();
                     carry(p, priors_of(group), 0, 0, static_cast<std::int64_t>(p.times.size()), out);
                   });
}

namespace {

/// One window of one problem while it is analysed.
struct Attempt {
  const Problem& problem;
  const Ensemble& prior;
  Ensemble posterior;
  std::vector<double> values;       // observed
  std::vector<std::int32_t> codes;  // quality control
  Diagnostics diagnostics = {};
  WindowReport report = {};

  /// R of the observations that are kept; null when none is.
  std::unique_ptr<const ErrorCovariance> covariance(std::span<const std::int64_t> positions,
                                                    std::span<const double> factors) const {
    std::unique_ptr<const ErrorCovariance> all = problem.covariance.part(positions, factors);
    std::vector<bool> kept;
    for (const std::int32_t code : codes) kept.push_back(code == used);
    const auto left = std::count(kept.begin(), kept.end(), true);
    if (left == 0) return nullptr;
    if (left == static_cast<std::ptrdiff_t>(kept.size())) return all;
    return std::make_unique<MaskedCovariance>(*all, kept);
  }

  /// Checks the values against predictions of the posterior; returns whether a decision has changed. R is without the
  /// factors of overlapping windows.
  bool recheck(std::span<const std::int64_t> positions, const Tensor& predictions, double gross_error) {
    const std::vector<double> all = problem.covariance.variance();
    std::vector<double> variance;
    for (const std::int64_t i : positions) variance.push_back(all[i]);
    std::vector<std::int32_t> now = check_gross_errors(values, variance, predictions, gross_error);
    if (now == codes) return false;
    codes = std::move(now);
    return true;
  }

  void write(Analysis& analysis, std::int64_t window, std::span<const std::int64_t> positions) {
    for (const auto& [name, numbers] : diagnostics) {
      std::vector<double>& all = analysis.diagnostics[name];
      all.insert(all.end(), numbers.begin(), numbers.end());
    }
    for (std::size_t i = 0; i < positions.size(); ++i) {
      analysis.qc[positions[i]] = codes[i];
      if (!report.share.empty() && codes[i] == used)
        analysis.impact.push_back({.window = window,
                                   .observation = positions[i],
                                   .share = report.share[i],
                                   .sensitivity = report.sensitivity[i]});
    }
    for (Iteration& iteration : report.iterations) {
      iteration.window = window;
      analysis.iterations.push_back(iteration);
    }
  }
};

/// Checks some attempts again; returns those whose decisions have changed.
std::vector<std::size_t> recheck(std::vector<Attempt>& attempts, const std::vector<std::size_t>& which,
                                 const ObservationOperator& observe, std::span<const std::int64_t> positions,
                                 double gross_error) {
  std::vector<Ensemble> ensembles;
  for (const std::size_t k : which) ensembles.push_back(attempts[k].posterior);
  const Tensor predictions = predict_with_mean(observe, ensembles);
  std::vector<std::size_t> changed;
  for (std::size_t j = 0; j < which.size(); ++j)
    if (attempts[which[j]].recheck(positions, part(predictions, j), gross_error)) changed.push_back(which[j]);
  return changed;
}

}  // namespace

std::vector<Ensemble> WindowMethod::analyse_window(Group& group, const Window& window,
                                                   const std::vector<Ensemble>& priors, bool first) const {
  const std::vector<std::int64_t>& positions = window.positions;
  std::vector<double> factors;
  for (const std::int64_t i : positions) factors.push_back(counts_once() ? group.entered[i] : 1);
  std::vector<Attempt> attempts;
  std::vector<std::size_t> open;
  for (std::size_t k = 0; k < group.problems.size(); ++k) {
    const Problem& p = *group.problems[k];
    attempts.push_back({.problem = p,
                        .prior = priors[k],
                        .posterior = priors[k],
                        .values = p.observations.part(positions).value,
                        .codes = std::vector<std::int32_t>(positions.size(), used)});
    open.push_back(k);
  }
  const double gross_error = windows_.gross_error;
  if (gross_error > 0) recheck(attempts, open, *window.observe, positions, gross_error);
  for (int round = 1; !open.empty(); ++round) {
    std::vector<WindowProblem> some;
    std::vector<std::size_t> analysed;
    for (const std::size_t k : open) {
      Attempt& own = attempts[k];
      own.diagnostics.clear();
      own.report = {};
      own.posterior = own.prior;
      std::unique_ptr<const ErrorCovariance> covariance = own.covariance(positions, factors);
      if (!covariance) continue;
      some.push_back({.prior = own.prior,
                      .values = Tensor::from(std::span<const double>(own.values), {window.observations.size()}),
                      .covariance = std::move(covariance),
                      .observations = window.observations,
                      .random = group.random[k],
                      .diagnostics = own.diagnostics,
                      .report = &own.report,
                      .index = group.indices[k]});
      analysed.push_back(k);
    }
    if (some.empty()) break;
    const std::vector<Ensemble> results = analyse(*window.observe, some, first);
    for (std::size_t j = 0; j < analysed.size(); ++j) attempts[analysed[j]].posterior = results[j];
    // The last analysis keeps the decision that it was made with.
    if (round == most_analyses || gross_error == 0) break;
    open = recheck(attempts, analysed, *window.observe, positions, gross_error);
  }
  std::vector<Ensemble> posteriors;
  for (std::size_t k = 0; k < attempts.size(); ++k) {
    attempts[k].write(*group.out[k], window.number, positions);
    posteriors.push_back(attempts[k].posterior);
  }
  return posteriors;
}

Analysis WindowMethod::assimilate(const Problem& p) const { return assimilate_all({&p, 1}).front(); }

std::vector<Analysis> WindowMethod::assimilate_all(std::span<const Problem> problems) const {
  return in_groups(
      problems, same_windows,
      [this](std::span<const Problem* const> members, std::span<Analysis*> out, std::span<const std::size_t> indices) {
        const Problem& p = *members.front();
        if (!windows_.walk.empty() && static_cast<std::int64_t>(windows_.walk.size()) != p.model.controls())
          throw Error(
              fmt::format("a random walk of {} controls for a model of {}", windows_.walk.size(), p.model.controls()));
        std::vector<Window> windows = Window::of(p, windows_);
        Group group{.problems = members,
                    .out = out,
                    .indices = indices,
                    .random = {},
                    .entered = std::vector<double>(static_cast<std::size_t>(p.observations.size()), 0)};
        for (const Window& window : windows)
          for (const std::int64_t i : window.positions) group.entered[i] += 1;
        std::vector<Ensemble> ensembles = priors_of(members);
        std::vector<autodiff::Random> walks;
        for (std::size_t k = 0; k < members.size(); ++k) {
          group.random.emplace_back(members[k]->seed, streams::window_draws);
          walks.emplace_back(members[k]->seed, streams::parameter_walk);
          out[k]->qc = members[k]->observations.qc;
        }
        double now = 0;
        bool first = true;
        for (Window& window : windows) {
          if (window.control > now) ensembles = advanced(p.model, ensembles, window.control - now);
          now = window.control;
          for (std::size_t k = 0; k < members.size(); ++k)
            if (window.number > 0 && !windows_.walk.empty())
              ensembles[k] = walked(ensembles[k], windows_.walk, walks[k]);
          if (!window.positions.empty()) {
            window.observations = p.observations.part(window.positions);
            for (double& t : window.observations.time) t -= window.control;
            window.observe = p.model.observe(window.observations);
            ensembles = analyse_window(group, window, ensembles, first);
            window.observe.reset();
            first = false;
          }
          carry(p, ensembles, now, window.begin, window.end, out);
        }
      });
}

}  // namespace levda::da
