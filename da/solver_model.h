#pragma once

/// A solver as a forward model of full states: what a method costs and reaches that has no surrogate.

#include "da/forward_model.h"
#include "models/grid.h"
#include "models/propagator.h"

namespace levda::da {

/// Control vectors [fields; u], and one more where the solver has a clock (n in all):
///   fields (c, ny, nx), each channel less its mean and over its standard deviation over the training trajectories;
///   u (p), parameters with their prior range as [-1, 1];
///   clock, the data set's time with its first and last frame as -1 and 1: members that come from several frames know
///   of the hour what their fields do, and it is estimated like a parameter.
/// Time is whole solver steps, linear between them; places are bicubic between nodes (models/interpolation.h). A
/// parameter that the solver would refuse is taken as the nearest in its prior range, for the steps only. Members are
/// advanced in parallel. There are no derivatives through the solver's steps.
class SolverModel final : public ForwardModel {
 public:
  /// A frame interval is a whole number of solver steps. mean, deviation: per channel, physical units. Throws Error
  /// when they do not fit together, or the grid is a list of points.
  SolverModel(models::Description about, models::Propagator propagator, std::int64_t steps_per_frame,
              std::vector<double> mean, std::vector<double> deviation);

  const models::Description& about() const { return about_; }
  std::int64_t controls() const override { return field_size() + about_.parameters() + (propagator_.clock ? 1 : 0); }

  /// The control vector (n) of a state (c, ny, nx) and parameters (p), physical units, at a time on the data set's
  /// clock.
  std::vector<double> control(std::span<const float> state, std::span<const double> parameters, double time) const;
  /// States of control vectors (rows, n): (rows, c, ny, nx), physical units.
  std::vector<float> states(const autodiff::Tensor& v) const;
  /// Parameters of control vectors (rows, n): (rows, p), physical units.
  std::vector<double> parameters(const autodiff::Tensor& v) const;

  /// Throws Error when v is tracked and time passes, and when a member does not stay finite.
  autodiff::Var advance(const autodiff::Var& v, double duration) const override;
  autodiff::Tensor forecast(const autodiff::Tensor& v, double duration) const override;
  /// Values of channels. What is on a tape has derivatives where all observations lie at time 0: there the operator is
  /// linear; later ones are an Error. Throws Error when a place lies outside the grid by more than a cell.
  std::unique_ptr<ObservationOperator> observe(const Observations& observations) const override;

 private:
  class Operator;
  struct Member;

  std::int64_t field_size() const { return about_.channels() * about_.grid.cells(); }
  double clock_range() const;
  Member member(const double* v) const;
  void advance_member(Member& member, std::int64_t steps, double fraction) const;

  models::Description about_;
  models::Propagator propagator_;
  double step_;  ///< of the solver, in the data set's unit of time
  std::vector<double> mean_;
  std::vector<double> deviation_;
};

}  // namespace levda::da
