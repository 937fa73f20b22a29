#pragma once

/// The interface that all assimilation methods share.

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "autodiff/random.h"
#include "da/ensemble.h"
#include "da/error_covariance.h"
#include "da/forward_model.h"

namespace levda::da {

/// Windows of `length` output times, a new one every `shift` of them, shift <= length.
struct Windows {
  std::int64_t length = 1;
  std::int64_t shift = 1;
};

struct Problem {
  const Ensemble& prior;  ///< at time 0
  const ForwardModel& model;
  const Observations& observations;
  const ErrorCovariance& covariance;  ///< of all observations, in their order
  std::vector<double> times;          ///< increasing and >= 0: where the analysis is wanted; they cut the windows
  Windows windows;
  std::uint64_t seed = 0;  ///< of what a method draws for this problem
  double gross_error = 0;  ///< k of the gross-error check, in predictive standard deviations; 0: none. Window methods
  /// Standard deviation of each control's random step from window to window; empty: none. For parameters that drift.
  /// Window methods.
  std::vector<double> walk = {};
  std::int64_t parameters = 0;  ///< the last so many controls are parameters, where a method treats them by themselves
  const Ensemble* candidates = nullptr;  ///< control vectors at time 0 that are no members, but likely; may be null.
                                         ///< Levda looks among them for starting points
};

/// Throws Error when the parts of a problem do not fit together.
void check(const Problem& problem);

/// What a method says of itself, by name ("iterations", "cost"); per window where it has several.
using Diagnostics = std::map<std::string, std::vector<double>>;

/// What a minimisation had reached after some iterations.
struct Iteration {
  std::int64_t window = 0;
  double factor = 1;             ///< of R
  double cost_background = 0;    ///< J_b = 1/2 w'w
  double cost_observations = 0;  ///< J_o, with R times `factor`
  double gradient_norm = 0;
  double gradient_difference = 0;  ///< norm of the exact gradient less that with Y of the prior members' predictions
  double damping = 0;              ///< Levenberg-Marquardt, of the next step

  friend bool operator==(const Iteration&, const Iteration&) = default;
};

/// What an observation did in a window, linearised at the minimum.
struct Impact {
  std::int64_t window = 0;
  std::int64_t observation = 0;
  double share = 0;        ///< of the degrees of freedom for signal: diagonal of R^-1/2 Y H^-1 Y' R^-1/2, whose sum is
                           ///< tr(H K); the observation's own where R is diagonal
  double sensitivity = 0;  ///< dJ/dy = R^-1 (y - G) at the minimum, per unit of the observation

  friend bool operator==(const Impact&, const Impact&) = default;
};

struct Analysis {
  std::vector<Ensemble> ensembles = {};  ///< smoothed, one per time: from the last window that contains it
  Diagnostics diagnostics = {};
  std::vector<std::int32_t> qc = {};       ///< code of every observation, QualityControl; empty: as they came
  std::vector<Impact> impact = {};         ///< of those that were used, where the method knows it
  std::vector<Iteration> iterations = {};  ///< of the best start of each window, where the method has any
};

class Method {
 public:
  virtual ~Method() = default;
  virtual std::string name() const = 0;
  /// Throws Error when the problem does not fit together.
  virtual Analysis assimilate(const Problem& problem) const = 0;
  /// Each of several problems; by default one after the other.
  virtual std::vector<Analysis> assimilate_all(std::span<const Problem> problems) const;
};

/// The prior ensemble carried through all times: no observation is used.
class FreeRun final : public Method {
 public:
  std::string name() const override { return "free"; }
  Analysis assimilate(const Problem& problem) const override;
  /// In step, those of one model, size of ensemble and times.
  std::vector<Analysis> assimilate_all(std::span<const Problem> problems) const override;
};

/// What else a method can say of a window.
struct WindowReport {
  std::vector<double> share;        ///< as Impact has it, of each of the m observations; may be empty
  std::vector<double> sensitivity;  ///< the same
  std::vector<Iteration> iterations;
};

/// One window of one problem.
struct WindowProblem {
  const Ensemble& prior;                              ///< where the window's control vector lies
  autodiff::Tensor values;                            ///< (m) observed
  std::unique_ptr<const ErrorCovariance> covariance;  ///< of the m errors
  const Observations& observations;                   ///< the m: times, places and channels are those of all problems
  autodiff::Random& random;                           ///< of the problem
  Diagnostics& diagnostics;                           ///< of the problem; to be added to
  WindowReport* report = nullptr;                     ///< to be filled where there is one
  std::int64_t parameters = 0;                        ///< of the problem
  const Ensemble* candidates = nullptr;               ///< of the problem, in its first window; may be null
};

/// What a window method brings: the posterior ensemble where the window's control vector lies.
class WindowMethod : public Method {
 public:
  /// Runs the windows one after the other: window k holds the times k shift .. k shift + length - 1; its control vector
  /// lies at the first of them (for the first window at time 0). The posterior is carried on to the next window. Where
  /// windows overlap, R of an observation is multiplied by the number of windows that it enters, so that it counts
  /// once. Observations between the last time of a window and the next one's first belong to the window.
  ///
  /// With a gross-error check a window is analysed up to three times: what check_gross_errors finds against the prior
  /// is left out of the first analysis, then what it finds against the last posterior, so that an observation can come
  /// back, until nothing changes. Each window decides anew; the last decision is in Analysis::qc. A window all of whose
  /// observations are left out is none.
  ///
  /// With a random walk each control of each member is moved by independent normal numbers after the ensemble was
  /// carried on to a window; their mean over members is taken off, so that the ensemble's mean stays.
  Analysis assimilate(const Problem& problem) const final;
  /// In step, window by window, those of one model, size of ensemble, times, windows, and times, places and channels of
  /// the observations: one observation operator serves them all.
  std::vector<Analysis> assimilate_all(std::span<const Problem> problems) const final;

 protected:
  /// The posterior of each of some problems that differ in ensemble, values and covariance only. first: no window with
  /// observations came before.
  virtual std::vector<Ensemble> analyse(const ObservationOperator& observe, std::span<const WindowProblem> problems,
                                        bool first) const = 0;
  /// Whether R is multiplied where windows overlap.
  virtual bool counts_once() const { return true; }

 private:
  struct Group;
  /// The posteriors of one window, with quality control; priors where nothing is left to analyse.
  std::vector<Ensemble> analyse_window(const ObservationOperator& observe, Group& group,
                                       const std::vector<Ensemble>& priors, const Observations& observations,
                                       std::span<const std::int64_t> positions, std::int64_t window, bool first) const;
};

}  // namespace levda::da
