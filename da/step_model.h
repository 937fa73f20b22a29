#pragma once

/// A forward model from the function that is one step of it: a small system of one's own in a few lines.

#include <functional>

#include "da/forward_model.h"

namespace levda::da {

/// Control vectors are the states themselves, parameters among them. The channel of an observation is the component of
/// the state, the name of that channel is its number; its place does not matter. Times are whole numbers of steps.
class StepModel final : public ForwardModel {
 public:
  /// v (rows, controls) after one step of `dt`: (rows, controls), in tape operations; called from several threads.
  using Step = std::function<autodiff::Var(const autodiff::Var& v)>;

  /// Throws Error when there are no controls or dt is not positive.
  StepModel(std::int64_t controls, double dt, Step step);

  std::int64_t controls() const override { return controls_; }
  /// Throws Error when the time is not a whole number of steps, to 1e-6 of one.
  autodiff::Var advance(const autodiff::Var& v, double duration) const override;
  /// Throws Error for a time as above, or a channel that is no control.
  std::unique_ptr<ObservationOperator> observe(const Observations& observations) const override;

 private:
  std::int64_t controls_;
  double dt_;
  Step step_;
};

}  // namespace levda::da
