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

/// G: from control vectors at the start of a window to what its m observations would be, in physical units.
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
};

/// Dynamics and observation of control vectors v in R^n; a control that does not change, such as a parameter, is part
/// of v and stays as it is.
class ForwardModel {
 public:
  virtual ~ForwardModel() = default;
  virtual std::int64_t controls() const = 0;
  /// v (rows, n) after some seconds, >= 0: (rows, n), in tape operations.
  virtual autodiff::Var advance(const autodiff::Var& v, double seconds) const = 0;
  /// G for observations whose times count from where v lies.
  virtual std::unique_ptr<ObservationOperator> observe(const Observations& observations) const = 0;
};

}  // namespace levda::da
