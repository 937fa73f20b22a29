#pragma once

/// A solver as a forward model of full states, for comparisons with methods that have no surrogate.

#include "da/forward_model.h"
#include "models/grid.h"
#include "models/propagator.h"

namespace levda::da {

/// Control vectors [fields; u], and a clock if the solver has one (n in all):
///   fields (c, ny, nx), each channel less its mean and over its standard deviation over the training trajectories;
///   u (p), parameters with their prior range as [-1, 1];
///   clock, the data set's time with its first and last frame as -1 and 1: members come from different frames, so each
///   has its time, which is estimated like a parameter.
/// States are linear between solver steps and bicubic between nodes (models/interpolation.h). During the steps a
/// parameter that the solver would refuse is replaced by the nearest value of its prior range. Members are advanced in
/// parallel. There are no derivatives through the solver's steps.
class SolverModel final : public ForwardModel {
 public:
  /// mean, deviation: per channel, physical units. Throws Error when the arguments do not fit together or the grid is a
  /// list of points.
  SolverModel(models::Description about, models::Propagator propagator, std::int64_t steps_per_frame,
              std::vector<double> mean, std::vector<double> deviation);

  const models::Description& about() const { return about_; }
  std::int64_t controls() const override { return field_size() + about_.parameters() + (propagator_.clock ? 1 : 0); }

  /// The control vector (n) of a state (c, ny, nx) and parameters (p) in physical units, at a time of the data set.
  std::vector<double> control(std::span<const float> state, std::span<const double> parameters, double time) const;
  /// States of control vectors (rows, n): (rows, c, ny, nx), physical units.
  std::vector<float> states(const autodiff::Tensor& v) const;
  /// Parameters of control vectors (rows, n): (rows, p), physical units.
  std::vector<double> parameters(const autodiff::Tensor& v) const;

  /// Throws Error when v is tracked and the duration is not 0, and when a member does not stay finite.
  autodiff::Var advance(const autodiff::Var& v, double duration) const override;
  autodiff::Tensor forecast(const autodiff::Tensor& v, double duration) const override;
  /// On a tape the operator has derivatives when all observations lie at time 0, where it is linear; otherwise it
  /// throws Error. Throws Error when a place lies outside the grid by more than a cell.
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
