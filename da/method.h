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

/// The data of an assimilation, which every method reads in full. All references must outlive the call.
struct Problem {
  const Ensemble& prior;  ///< at time 0
  const ForwardModel& model;
  const Observations& observations;
  const ErrorCovariance& covariance;  ///< of all observations, in their order
  std::vector<double> times;          ///< increasing and >= 0: the analysis is returned there; they cut the windows
  std::uint64_t seed = 0;             ///< of the random numbers that a method draws for this problem
};

/// Throws Error when the parts of a problem do not fit together.
void check(const Problem& problem);

/// Settings of the methods that work in windows.
struct WindowSettings {
  std::int64_t length = 0;        ///< output times in a window; 0: all of them
  std::int64_t shift = 0;         ///< output times from the start of one window to the next, <= length; 0: length
  double gross_error = 0;         ///< k of the gross-error check, in predictive standard deviations; 0: no check
  std::vector<double> walk = {};  ///< standard deviation of each control's random step from window to window, for
                                  ///< parameters that drift; empty: no steps
};

/// Numbers that a method reports by name ("iterations", "cost"), one per window.
using Diagnostics = std::map<std::string, std::vector<double>>;

/// The state of a minimisation after an iteration.
struct Iteration {
  std::int64_t window = 0;
  double factor = 1;             ///< of R
  double cost_background = 0;    ///< J_b = 1/2 w'w
  double cost_observations = 0;  ///< J_o, with R times `factor`
  double gradient_norm = 0;
  double gradient_difference = 0;  ///< norm of the exact gradient less the gradient with Y of the members' predictions
  double damping = 0;              ///< Levenberg-Marquardt, of the next step

  friend bool operator==(const Iteration&, const Iteration&) = default;
};

/// Effect of an observation in a window, linearised at the minimum.
struct Impact {
  std::int64_t window = 0;
  std::int64_t observation = 0;
  double share = 0;        ///< of the degrees of freedom for signal: diagonal of R^-1/2 Y H^-1 Y' R^-1/2, whose sum is
                           ///< tr(H K)
  double sensitivity = 0;  ///< dJ/dy = R^-1 (y - G) at the minimum, per unit of the observation

  friend bool operator==(const Impact&, const Impact&) = default;
};

struct Analysis {
  std::vector<Ensemble> ensembles = {};  ///< one per time; of a smoother, from the last window that contains the time
  Diagnostics diagnostics = {};
  std::vector<std::int32_t> qc = {};       ///< QualityControl of every observation; empty: unchanged
  std::vector<Impact> impact = {};         ///< of the used observations; empty when the method does not compute it
  std::vector<Iteration> iterations = {};  ///< of the best start of each window; empty without a minimisation
};

class Method {
 public:
  virtual ~Method() = default;
  virtual std::string name() const = 0;
  /// Throws Error when the problem does not fit together.
  virtual Analysis assimilate(const Problem& problem) const = 0;
  /// Assimilates several problems; by default one after the other.
  virtual std::vector<Analysis> assimilate_all(std::span<const Problem> problems) const;
};

/// The open loop ("free"): the prior ensemble advanced through all times, without observations.
class FreeRun final : public Method {
 public:
  std::string name() const override { return "free"; }
  Analysis assimilate(const Problem& problem) const override;
  /// Problems with the same model, size of ensemble and times advance together.
  std::vector<Analysis> assimilate_all(std::span<const Problem> problems) const override;
};

/// Further results of a window.
struct WindowReport {
  std::vector<double> share;        ///< Impact::share of the m observations; may be empty
  std::vector<double> sensitivity;  ///< Impact::sensitivity of the m observations; may be empty
  std::vector<Iteration> iterations;
};

/// One window of one problem, or one time of observations for a filter.
struct WindowProblem {
  const Ensemble& prior;                              ///< at the time of the control vector
  autodiff::Tensor values;                            ///< (m) observed
  std::unique_ptr<const ErrorCovariance> covariance;  ///< of the m errors
  const Observations& observations;                   ///< the m observations; only times, places, channels are valid
  autodiff::Random& random;                           ///< of the problem
  Diagnostics& diagnostics;                           ///< of the problem; the method adds to it
  WindowReport* report = nullptr;                     ///< filled by the method unless null
  std::size_t index = 0;                              ///< position of the problem among those of assimilate_all
};

/// A method that analyses window by window. Derived classes compute the posterior ensemble at the time of the window's
/// control vector.
class WindowMethod : public Method {
 public:
  /// Throws Error when a setting is out of range.
  explicit WindowMethod(WindowSettings windows);

  /// Runs the windows one after the other. Window k has the times k shift .. k shift + length - 1; its control vector
  /// lies at the first of them (for the first window at time 0). The posterior is advanced to the next window. When
  /// windows overlap, R of an observation is multiplied by the number of windows that contain it, so that it counts
  /// once. Observations between the last time of a window and the first time of the next belong to the window.
  ///
  /// With a gross-error check a window is analysed up to three times. The first analysis leaves out observations that
  /// check_gross_errors rejects against the prior, the next ones those that it rejects against the last posterior,
  /// until nothing changes; an observation can come back. Each window decides separately; the last decision is in
  /// Analysis::qc. A window without remaining observations keeps its prior.
  ///
  /// With a random walk independent normal steps are added to each control of each member at the start of each later
  /// window. The mean of the steps over members is subtracted, so that the ensemble's mean does not change. Throws
  /// Error when `walk` has another number of controls than the model.
  Analysis assimilate(const Problem& problem) const final;
  /// Problems with the same model, size of ensemble, times, and times, places and channels of the observations advance
  /// together, window by window: one observation operator serves them all.
  std::vector<Analysis> assimilate_all(std::span<const Problem> problems) const final;

 protected:
  /// The posteriors of problems that differ only in ensemble, values and covariance. first: no earlier window had
  /// observations.
  virtual std::vector<Ensemble> analyse(const ObservationOperator& observe, std::span<const WindowProblem> problems,
                                        bool first) const = 0;
  /// Whether R is multiplied when windows overlap.
  virtual bool counts_once() const { return true; }

 private:
  struct Group;
  struct Window;
  /// The posteriors of one window, with quality control; the prior when no observation remains.
  std::vector<Ensemble> analyse_window(Group& group, const Window& window, const std::vector<Ensemble>& priors,
                                       bool first) const;

  WindowSettings windows_;
};

}  // namespace levda::da
