#pragma once

/// Turns a forward model of bounded or positive controls into one of unbounded controls.

#include <limits>

#include "da/ensemble.h"
#include "da/forward_model.h"

namespace levda::da {

/// The range of a control x of the inner model, and the unbounded z that stands for it:
///   both bounds: x = lower + (upper - lower) sigmoid(z)     (logit)
///   one bound:   x = lower + exp(z) or upper - exp(z)       (log)
///   none:        x = z
struct Bounds {
  double lower = -std::numeric_limits<double>::infinity();
  double upper = std::numeric_limits<double>::infinity();

  friend bool operator==(const Bounds&, const Bounds&) = default;
};

/// The inner model with control vectors z: a method computes with unbounded numbers, and the inner model sees bounded
/// ones. All transforms are tape operations. A control that the inner model does not change keeps its z to the bit.
class BoundedModel final : public ForwardModel {
 public:
  /// bounds: one entry per control of the inner model, which must outlive this. Throws Error for another number of
  /// bounds or an empty range.
  BoundedModel(const ForwardModel& inner, std::vector<Bounds> bounds);

  std::int64_t controls() const override { return inner_.controls(); }
  autodiff::Var advance(const autodiff::Var& z, double duration) const override;
  std::unique_ptr<ObservationOperator> observe(const Observations& observations) const override;
  const std::vector<Bounds>& bounds() const { return bounds_; }

  /// z (.., n) -> x, within the bounds.
  autodiff::Var bounded(const autodiff::Var& z) const;
  /// The inverse, for x strictly within the bounds.
  autodiff::Var unbounded(const autodiff::Var& x) const;
  Ensemble bounded(const Ensemble& z) const;
  /// Throws Error naming the control when a member is not within its bounds.
  Ensemble unbounded(const Ensemble& x) const;

 private:
  const ForwardModel& inner_;
  std::vector<Bounds> bounds_;
};

}  // namespace levda::da
