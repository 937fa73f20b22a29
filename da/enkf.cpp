#include "da/enkf.h"

#include <cmath>

#include "da/internal/decompositions.h"
#include "da/internal/ensemble_space.h"

namespace levda::da {

namespace {

/// Rows of normal numbers with mean 0 over the rows and expected variance 1: (N, m).
Matrix centred_draws(std::int64_t rows, std::int64_t columns, autodiff::Random& random) {
  Matrix draws(rows, columns);
  for (double& value : draws.reshaped<Eigen::RowMajor>()) value = random.normal();
  const Vector mean = draws.colwise().mean();
  return std::sqrt(static_cast<double>(rows) / static_cast<double>(rows - 1)) * (draws.rowwise() - mean.transpose());
}

/// (S'S + I)^-1 S' for S (N, m): (m, N).
Matrix gain_of(const Matrix& s) {
  const std::int64_t n = s.rows();
  const std::int64_t m = s.cols();
  if (m < n) return solve_positive(Matrix(s.transpose() * s + Matrix::Identity(m, m)), Matrix(s.transpose()));
  return solve_positive(Matrix(s * s.transpose() + Matrix::Identity(n, n)), s).transpose();
}

}  // namespace

Enkf::Enkf(const Inflation& inflation) : inflation_(inflation) { check(inflation); }

Ensemble Enkf::analyse(const ObservationOperator& observe, const WindowProblem& problem) const {
  const Predictions predictions = predictions_of(observe, problem);
  const Matrix& s = predictions.anomalies;
  // In units of the errors: y + e_i - G(x_i) = (y - mean prediction) + e_i - anomaly of the prediction.
  Matrix innovations = centred_draws(s.rows(), s.cols(), problem.random);
  innovations -= std::sqrt(static_cast<double>(s.rows() - 1)) * s;
  innovations.rowwise() += predictions.innovation.transpose();
  const Matrix weights = innovations * gain_of(s);
  const Matrix members = matrix_of(problem.prior.members()) + weights * matrix_of(problem.prior.anomalies());
  return inflated(problem.prior, Ensemble(tensor_of(members)), inflation_, problem.random);
}

}  // namespace levda::da
