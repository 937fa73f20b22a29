#pragma once

/// A forward model of bounded or positive controls, as one of unbounded ones.

#include <limits>

#include "da/ensemble.h"
#include "da/forward_model.h"

namespace levda::da {

/// Where a control x of the inner model may lie, and which z stands for it:
///   both bounds: x = lower + (upper - lower) sigmoid(z)     (logit)
///   one bound:   x = lower + exp(z) or upper - exp(z)       (log)
///   none:        x = z
struct Bounds {
  double lower = -std::numeric_limits<double>::infinity();
  double upper = std::numeric_limits<double>::infinity();

  friend bool operator==(const Bounds&, const Bounds&) = default;
};

/// The inner model with control vectors z: what a method adds up and multiplies has no bounds, what the inner model
/// sees has. All in tape operations. A control that the inner model's steps leave as it is keeps its z to the bit.
class BoundedModel final : public ForwardModel {
 public:
  /// One entry per control of the inner model, which must outlive it. Throws Error: another number, an empty range.
  BoundedModel(const ForwardModel& inner, std::vector<Bounds> bounds);

  std::int64_t controls() const override { return inner_.controls(); }
  autodiff::Var advance(const autodiff::Var& z, double duration) const override;
  std::unique_ptr<ObservationOperator> observe(const Observations& observations) const override;
  const std::vector<Bounds>& bounds() const { return bounds_; }

  /// z (.., n) -> x, within the bounds.
  autodiff::Var bounded(const autodiff::Var& z) const;
  /// The inverse, for x within the bounds and not on them.
  autodiff::Var unbounded(const autodiff::Var& x) const;
  Ensemble bounded(const Ensemble& z) const;
  /// Throws Error naming the control: a member that is not within its bounds.
  Ensemble unbounded(const Ensemble& x) const;

 private:
  const ForwardModel& inner_;
  std::vector<Bounds> bounds_;
};

}  // namespace levda::da
