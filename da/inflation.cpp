#include "da/inflation.h"

#include <fmt/format.h>

#include <cmath>

#include "autodiff/error.h"
#include "da/internal/decompositions.h"
#include "da/internal/matrices.h"

namespace levda::da {

namespace {

/// Uniformly random among the orthogonal n x n matrices U with U 1 = 1: in a basis whose first vector is 1 / sqrt(n),
/// the identity beside the Q of a matrix of normal numbers, with the signs that make R's diagonal positive.
Matrix mean_preserving_rotation(std::int64_t n, autodiff::Random& random) {
  const Eigen::MatrixXd ones = Eigen::MatrixXd::Ones(n, 1);
  const Eigen::MatrixXd basis = householder(ones).q;
  Eigen::MatrixXd normal(n - 1, n - 1);
  for (double& value : normal.reshaped()) value = random.normal();
  const Orthogonal qr = householder(normal);
  Eigen::MatrixXd inner = Eigen::MatrixXd::Identity(n, n);
  inner.bottomRightCorner(n - 1, n - 1) = qr.q * Eigen::MatrixXd(qr.diagonal.array().sign().matrix().asDiagonal());
  return basis * inner * basis.transpose();
}

}  // namespace

void check(const Inflation& i) {
  if (!(i.factor > 0) || !std::isfinite(i.factor)) throw Error(fmt::format("inflation: a factor of {}", i.factor));
  if (!(i.relaxation >= 0 && i.relaxation <= 1))
    throw Error(fmt::format("inflation: a relaxation of {} is not in 0 .. 1", i.relaxation));
}

Ensemble inflated(const Ensemble& prior, const Ensemble& posterior, const Inflation& inflation,
                  autodiff::Random& random) {
  if (inflation == Inflation{}) return posterior;
  const Vector mean = vector_of(posterior.mean());
  Matrix departures = matrix_of(posterior.members()).rowwise() - mean.transpose();
  if (inflation.relaxation > 0) {
    const std::vector<double> before = prior.spread();
    const std::vector<double> after = posterior.spread();
    for (std::size_t k = 0; k < after.size(); ++k)
      if (after[k] > 0)
        departures.col(static_cast<std::int64_t>(k)) *= 1 + inflation.relaxation * (before[k] - after[k]) / after[k];
  }
  departures *= inflation.factor;
  if (inflation.rotate) departures = (mean_preserving_rotation(posterior.size(), random) * departures).eval();
  return Ensemble(tensor_of(Matrix(departures.rowwise() + mean.transpose())));
}

}  // namespace levda::da
