#pragma once

/// The control of the LEVDA authors' flood program: a transform of the ensemble. Not installed.

#include "da/method.h"

namespace levda::da {

/// Member k of the posterior is [sb + sum_j A0_kj a_j ; u_k + du_k], with sb and a_j mean and anomalies (over
/// sqrt(N - 1)) of the states, A0 a full N x N matrix and du an increment of each member's parameters. Both minimise
///
///   J = sum over times of the mean over members and observations of the squared whitened misfit
///       + mean (A0 - sqrt(N - 1) I)^2 + 0.1 mean du^2
///
/// from A0 = sqrt(N - 1) I and du = 0, the prior members themselves.
class TransformControl {
 public:
  TransformControl(const ObservationOperator& observe, const WindowProblem& problem, std::int64_t parameters);

  /// x = [A0 row by row; du row by row].
  std::vector<double> start() const;
  /// J at x and its gradient, by one reverse sweep.
  double cost(std::span<const double> x, std::span<double> gradient) const;
  /// The part of J without observations.
  double background(std::span<const double> x) const;
  Ensemble ensemble(std::span<const double> x) const;

 private:
  autodiff::Var members(const autodiff::Var& transform, const autodiff::Var& increment) const;

  const ObservationOperator& observe_;
  const WindowProblem& problem_;
  std::int64_t size_;           // N
  std::int64_t states_;         // of a control vector
  std::int64_t parameters_;     // of it
  autodiff::Tensor mean_;       // (states)
  autodiff::Tensor anomalies_;  // (N, states)
  autodiff::Tensor own_;        // the members' parameters (N, parameters)
  autodiff::Tensor weights_;    // of the observations (m): 1 / (N observations at that time)
};

/// The posterior by L-BFGS, with diagnostics and iterations in the problem.
Ensemble analyse_by_transform(const ObservationOperator& observe, const WindowProblem& problem, std::int64_t parameters,
                              std::int64_t iterations);

}  // namespace levda::da
