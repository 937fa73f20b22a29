#pragma once

/// Decompositions of small matrices. They are compiled once, because their templates take long to compile.

#include "da/internal/matrices.h"

namespace levda::da {

struct SymmetricEigen {
  Vector values;            ///< ascending
  Eigen::MatrixXd vectors;  ///< columns

  /// vectors f(values) vectors' for f = 1 / sqrt.
  Eigen::MatrixXd inverse_root() const;
};

/// Eigenvalues and eigenvectors of a symmetric matrix; only its lower triangle is read.
SymmetricEigen symmetric_eigen(const Eigen::MatrixXd& a);

/// a^-1 b for a symmetric positive definite a.
Matrix solve_positive(const Matrix& a, const Matrix& b);
Vector solve_positive(const Matrix& a, const Vector& b);

/// a = q r with orthogonal q (n, n), for a (n, k), k <= n; the diagonal of r.
struct Orthogonal {
  Eigen::MatrixXd q;
  Vector diagonal;
};
Orthogonal householder(const Eigen::MatrixXd& a);

}  // namespace levda::da
