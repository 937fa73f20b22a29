#include "da/internal/ensemble_space.h"

#include <cmath>

#include "da/internal/decompositions.h"

namespace levda::da {

using autodiff::Var;

Predictions predictions_of(const ObservationOperator& observe, const WindowProblem& problem) {
  return predictions_of(observe.predict(problem.prior.members()), problem);
}

Predictions predictions_of(const autodiff::Tensor& predictions, const WindowProblem& problem) {
  const auto whiten = [&](const autodiff::Tensor& x) { return problem.covariance->whiten(Var(x)).value(); };
  const Matrix members = matrix_of(whiten(predictions));
  const Vector mean = members.colwise().mean();
  const double scale = 1 / std::sqrt(static_cast<double>(members.rows() - 1));
  return {scale * (members.rowwise() - mean.transpose()), vector_of(whiten(problem.values)) - mean};
}

autodiff::Tensor predict_all(const ObservationOperator& observe, std::span<const Matrix> members) {
  autodiff::Vars all;
  for (const Matrix& one : members) all.emplace_back(tensor_of(one));
  return observe.predict(stack(all, 0).value());
}

Weights weights_of(const Matrix& s, const Vector& d) {
  const std::int64_t n = s.rows();
  if (s.cols() < n) {
    // With S'S = V L V': (I + S S')^-1 S = S V (1 + L)^-1 V', and (1 / sqrt(1 + l) - 1) / l without its cancellation.
    const SymmetricEigen eigen = symmetric_eigen(s.transpose() * s);
    const Eigen::ArrayXd root = (1 + eigen.values.array().max(0)).sqrt();
    const Matrix sv = s * eigen.vectors;
    const Eigen::VectorXd inverse = root.square().inverse();
    const Eigen::VectorXd shrink = (root * (1 + root)).inverse();
    return {sv * inverse.cwiseProduct(eigen.vectors.transpose() * d),
            Matrix::Identity(n, n) - sv * shrink.asDiagonal() * sv.transpose()};
  }
  const SymmetricEigen eigen = symmetric_eigen(s * s.transpose());
  const Eigen::ArrayXd plus_one = 1 + eigen.values.array().max(0);
  const Eigen::MatrixXd& u = eigen.vectors;
  const Eigen::VectorXd inverse = plus_one.inverse();
  const Eigen::VectorXd root = plus_one.rsqrt();
  return {u * inverse.cwiseProduct(u.transpose() * (s * d)), u * root.asDiagonal() * u.transpose()};
}

Matrix members_of(const Weights& weights, const Matrix& anomalies, const Vector& mean) {
  const std::int64_t n = anomalies.rows();
  const Matrix each = (std::sqrt(static_cast<double>(n - 1)) * weights.transform).rowwise() + weights.mean.transpose();
  return (each * anomalies).rowwise() + mean.transpose();
}

void report_impact(const WindowProblem& problem, const Matrix& transform, const Matrix& sensitivity,
                   const Vector& innovation) {
  if (problem.report == nullptr) return;
  const Vector share = (transform * sensitivity).colwise().squaredNorm();
  problem.report->share.assign(share.begin(), share.end());
  const ErrorCovariance& r = *problem.covariance;
  problem.report->sensitivity = r.solve(r.colour(Var(tensor_of(innovation)))).value().to_vector();
}

}  // namespace levda::da
