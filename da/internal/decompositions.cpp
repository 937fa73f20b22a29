#include "da/internal/decompositions.h"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>

namespace levda::da {

Eigen::MatrixXd SymmetricEigen::inverse_root() const {
  return vectors * values.cwiseInverse().cwiseSqrt().asDiagonal() * vectors.transpose();
}

SymmetricEigen symmetric_eigen(const Eigen::MatrixXd& a) {
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(a);
  return {eigen.eigenvalues(), eigen.eigenvectors()};
}

Matrix solve_positive(const Matrix& a, const Matrix& b) { return a.llt().solve(b); }
Vector solve_positive(const Matrix& a, const Vector& b) { return a.llt().solve(b); }

Orthogonal householder(const Eigen::MatrixXd& a) {
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(a);
  return {qr.householderQ(), qr.matrixQR().diagonal()};
}

}  // namespace levda::da
