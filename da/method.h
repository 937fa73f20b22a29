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
};

/// Throws Error when the parts of a problem do not fit together.
void check(const Problem& problem);

/// What a method says of itself, by name ("iterations", "cost"); per window where it has several.
using Diagnostics = std::map<std::string, std::vector<double>>;

struct Analysis {
  std::vector<Ensemble> ensembles;  ///< smoothed, one per time: from the last window that contains it
  Diagnostics diagnostics;
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

/// One window of one problem.
struct WindowProblem {
  const Ensemble& prior;                              ///< where the window's control vector lies
  autodiff::Tensor values;                            ///< (m) observed
  std::unique_ptr<const ErrorCovariance> covariance;  ///< of the m errors
  const Observations& observations;                   ///< the m: times, places and channels are those of all problems
  autodiff::Random& random;                           ///< of the problem
  Diagnostics& diagnostics;                           ///< of the problem; to be added to
};

/// What a window method brings: the posterior ensemble where the window's control vector lies.
class WindowMethod : public Method {
 public:
  /// Runs the windows one after the other: window k holds the times k shift .. k shift + length - 1; its control vector
  /// lies at the first of them (for the first window at time 0). The posterior is carried on to the next window. Where
  /// windows overlap, R of an observation is multiplied by the number of windows that it enters, so that it counts
  /// once. Observations between the last time of a window and the next one's first belong to the window.
  Analysis assimilate(const Problem& problem) const final;
  /// In step, window by window, those of one model, size of ensemble, times, windows, and times, places and channels of
  /// the observations: one observation operator serves them all.
  std::vector<Analysis> assimilate_all(std::span<const Problem> problems) const final;

 protected:
  /// The posterior of each of some problems that differ in ensemble, values and covariance only. first: no window with
  /// observations came before.
  virtual std::vector<Ensemble> analyse(const ObservationOperator& observe, std::span<const WindowProblem> problems,
                                        bool first) const = 0;
};

}  // namespace levda::da
