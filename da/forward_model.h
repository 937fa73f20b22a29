#pragma once

/// What assimilation methods see of a model.

#include <memory>

#include "autodiff/op.h"
#include "da/observations.h"

namespace levda::da {

/// A value and its derivatives along some directions.
struct Linearisation {
  autodiff::Tensor value;     ///< G(v), (m)
  autodiff::Tensor tangents;  ///< row k: (dG/dv) direction k, (k, m)
};

/// G: from control vectors at the start of a window to what its m observations would be, in physical units. Called from
/// several threads at once.
///
/// The `_each` functions serve several problems at once, which a device with many processors needs to be busy. By
/// default they do one problem like the other, in parallel, so that none knows of the others to the last bit.
class ObservationOperator {
 public:
  virtual ~ObservationOperator() = default;
  virtual std::int64_t size() const = 0;
  /// v (rows, n) -> (rows, m) in tape operations, in v's type.
  virtual autodiff::Var operator()(const autodiff::Var& v) const = 0;
  /// The same for constants, many at once.
  virtual autodiff::Tensor predict(const autodiff::Tensor& v) const;
  /// v (n), directions (k, n). By default one forward sweep (jvp) over the tape of operator().
  virtual Linearisation linearise(const autodiff::Tensor& v, const autodiff::Tensor& directions) const;

  /// predict of each of some groups: v (groups, rows, n) -> (groups, rows, m).
  virtual autodiff::Tensor predict_each(const autodiff::Tensor& v) const;
  /// linearise of each of some points, each with directions of its own: v (points, n), directions (points, k, n) ->
  /// value (points, m), tangents (points, k, m).
  virtual Linearisation linearise_each(const autodiff::Tensor& v, const autodiff::Tensor& directions) const;
};

/// Dynamics and observation of control vectors v in R^n; a control that does not change, such as a parameter, is part
/// of v and stays as it is. Called from several threads at once.
class ForwardModel {
 public:
  virtual ~ForwardModel() = default;
  virtual std::int64_t controls() const = 0;
  /// v (rows, n) after some seconds, >= 0: (rows, n), in tape operations.
  virtual autodiff::Var advance(const autodiff::Var& v, double seconds) const = 0;
  /// advance of each of some groups, as ObservationOperator has it: v (groups, rows, n).
  virtual autodiff::Tensor advance_each(const autodiff::Tensor& v, double seconds) const;
  /// G for observations whose times count from where v lies; their values and errors do not matter to it.
  virtual std::unique_ptr<ObservationOperator> observe(const Observations& observations) const = 0;
};

}  // namespace levda::da
