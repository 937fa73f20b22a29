#pragma once

/// The linear analysis in the space of N ensemble weights, shared by ensemble filters and smoothers. Not installed.

#include "da/internal/matrices.h"
#include "da/method.h"

namespace levda::da {

/// Predictions of the members, in units of the errors.
struct Predictions {
  Matrix anomalies;   ///< R^-1/2 Y, centred on the members' mean, as rows: (N, m)
  Vector innovation;  ///< R^-1/2 (y - that mean), (m)
};

Predictions predictions_of(const ObservationOperator& observe, const WindowProblem& problem);
/// From predictions (N, m) of the members.
Predictions predictions_of(const autodiff::Tensor& predictions, const WindowProblem& problem);

/// Predictions of the rows of a matrix (N, n) for each problem: (problems, N, m), in one call.
autodiff::Tensor predict_all(const ObservationOperator& observe, std::span<const Matrix> members);

/// The posterior as weights of the prior anomalies (Hunt et al. 2007). With S = R^-1/2 Y, d = R^-1/2 (y - G):
struct Weights {
  Vector mean;       ///< (I + S S')^-1 S d, (N)
  Matrix transform;  ///< (I + S S')^-1/2, symmetric, (N, N); it keeps the mean: its rows sum to 1
};

/// S (N, m), d (m), both already multiplied by R^-1/2. Uses the eigenvalues of S S' or S' S, whichever is smaller.
Weights weights_of(const Matrix& anomalies, const Vector& innovation);

/// mean + mean weights' A + sqrt(N - 1) transform A for the prior anomalies A (N, k) and the mean (k) of some controls:
/// (N, k).
Matrix members_of(const Weights& weights, const Matrix& anomalies, const Vector& mean);

/// Fills share and dJ/dy of every observation in the problem's report, unless it is null, from the posterior's
/// transform H^-1/2, S (k, m) and the innovation (m) at the analysis.
void report_impact(const WindowProblem& problem, const Matrix& transform, const Matrix& sensitivity,
                   const Vector& innovation);

}  // namespace levda::da
