#pragma once

/// The model, as assimilation methods see it.

#include <memory>

#include "autodiff/op.h"
#include "da/observations.h"

namespace levda::da {

/// A value and its derivatives along some directions.
struct Linearisation {
  autodiff::Tensor value;     ///< G(v), (.., m)
  autodiff::Tensor tangents;  ///< row k: (dG/dv) direction k, (.., k, m)
};

/// G: maps control vectors at the start of a window to the values that its m observations would have, in physical
/// units. Called from several threads at once.
///
/// operator() works on a tape; predict and linearise evaluate constants, with any number of axes before those that are
/// named. By default they evaluate the groups (of predict) or points (of linearise) independently in parallel: results
/// are bitwise independent of the batch. A model overrides them when it can evaluate a batch at once, which keeps a
/// device with many processors busy.
class ObservationOperator {
 public:
  virtual ~ObservationOperator() = default;
  virtual std::int64_t size() const = 0;
  /// v (rows, n) -> (rows, m) in tape operations, in v's type.
  virtual autodiff::Var operator()(const autodiff::Var& v) const = 0;
  /// G of constants: v (.., rows, n) -> (.., rows, m).
  virtual autodiff::Tensor predict(const autodiff::Tensor& v) const;
  /// G and its derivatives at points v (.., n), along each point's directions (.., k, n): value (.., m), tangents
  /// (.., k, m). By default one forward sweep (jvp) over the tape of operator() at each point.
  virtual Linearisation linearise(const autodiff::Tensor& v, const autodiff::Tensor& directions) const;
};

/// Dynamics and observation of control vectors v in R^n. Parameters are controls that do not change. Durations have the
/// unit of the observations' times, which is that of the data set. Called from several threads at once.
class ForwardModel {
 public:
  virtual ~ForwardModel() = default;
  virtual std::int64_t controls() const = 0;
  /// v (rows, n) after a duration >= 0: (rows, n), in tape operations.
  virtual autodiff::Var advance(const autodiff::Var& v, double duration) const = 0;
  /// advance for constants v (.., rows, n), by default group by group as in ObservationOperator::predict.
  virtual autodiff::Tensor forecast(const autodiff::Tensor& v, double duration) const;
  /// G of observations whose times count from the time of v; their values and errors do not matter to it.
  virtual std::unique_ptr<ObservationOperator> observe(const Observations& observations) const = 0;
};

}  // namespace levda::da
