#pragma once

/// A forward model from a function that computes one step: your small system in a few lines.

#include <functional>

#include "da/forward_model.h"

namespace levda::da {

/// Control vectors are states with their parameters. An observation's channel is the component of the control vector,
/// and the channel's name is its number; the place does not matter. Times are whole numbers of steps.
class StepModel final : public ForwardModel {
 public:
  /// v (rows, controls) after one step of `dt`: (rows, controls), in tape operations; called from several threads.
  using Step = std::function<autodiff::Var(const autodiff::Var& v)>;

  /// Throws Error when there are no controls or dt is not positive.
  StepModel(std::int64_t controls, double dt, Step step);

  std::int64_t controls() const override { return controls_; }
  /// Throws Error when the duration is not a whole number of steps, to 1e-6 of one.
  autodiff::Var advance(const autodiff::Var& v, double duration) const override;
  /// Throws Error when a time is not a whole number of steps or a channel is no control.
  std::unique_ptr<ObservationOperator> observe(const Observations& observations) const override;

 private:
  std::int64_t controls_;
  double dt_;
  Step step_;
};

}  // namespace levda::da
