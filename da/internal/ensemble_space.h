#pragma once

/// The linear analysis in the space of N ensemble weights, which ensemble filters and smoothers share. Not installed.

#include "da/internal/matrices.h"
#include "da/method.h"

namespace levda::da {

/// What the members' own predictions say, in units of the errors.
struct Predictions {
  Matrix anomalies;   ///< R^-1/2 Y, centred on the members' mean, as rows: (N, m)
  Vector innovation;  ///< R^-1/2 (y - that mean), (m)
};

Predictions predictions_of(const ObservationOperator& observe, const WindowProblem& problem);
/// Of what the model says of some members (N, m).
Predictions predictions_of(const autodiff::Tensor& predictions, const WindowProblem& problem);

/// Predictions of the rows of a matrix (N, n) for each problem: (problems, N, m), in one call.
autodiff::Tensor predict_all(const ObservationOperator& observe, std::span<const Matrix> members);

/// The posterior as weights of the prior anomalies (Hunt et al. 2007). With S = R^-1/2 Y, d = R^-1/2 (y - G):
struct Weights {
  Vector mean;       ///< (I + S S')^-1 S d, (N)
  Matrix transform;  ///< (I + S S')^-1/2, symmetric, (N, N); it keeps the mean: its rows sum to 1
};

/// S (N, m), d (m). By the eigenvalues of S S' or S' S, whichever is smaller. Takes S and d as they are: R^-1 is in
/// them.
Weights weights_of(const Matrix& anomalies, const Vector& innovation);

/// mean + mean weights' A + sqrt(N - 1) transform A for the prior anomalies A (N, k) and the mean (k) of some controls:
/// (N, k).
Matrix members_of(const Weights& weights, const Matrix& anomalies, const Vector& mean);

/// Fills the share of every observation and dJ/dy in the problem's report, where there is one: from the posterior's
/// transform H^-1/2, S (k, m) and the innovation (m) there.
void report_impact(const WindowProblem& problem, const Matrix& transform, const Matrix& sensitivity,
                   const Vector& innovation);

}  // namespace levda::da
