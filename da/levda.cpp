#include "da/levda.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "nn/lbfgs.h"

namespace levda::da {

using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;

namespace {

/// Rows of a float64 tensor on the host.
Matrix matrix_of(const Tensor& x) {
  const std::vector<double> values = x.to_vector();
  const std::int64_t columns = x.shape()[-1];
  return Eigen::Map<const Matrix>(values.data(), x.size() / std::max<std::int64_t>(columns, 1), columns);
}

Vector vector_of(const Tensor& x) { return matrix_of(x).reshaped<Eigen::RowMajor>(); }

Tensor tensor_of(const Matrix& x) {
  return Tensor::from(std::span<const double>(x.data(), static_cast<std::size_t>(x.size())), {x.rows(), x.cols()});
}

Tensor tensor_of(const Vector& x) {
  return Tensor::from(std::span<const double>(x.data(), static_cast<std::size_t>(x.size())), {x.size()});
}

/// J of one window in w-space, in the whitened innovation d = R^-1/2 (y - G).
class Objective {
 public:
  Objective(const Ensemble& prior, const ObservationOperator& observe, const Tensor& values,
            const ErrorCovariance& covariance)
      : observe_(observe),
        values_(values),
        covariance_(covariance),
        mean_(vector_of(prior.mean())),
        anomalies_(matrix_of(prior.anomalies())) {}

  std::int64_t members() const { return anomalies_.rows(); }
  Vector control(const Vector& w) const { return mean_ + anomalies_.transpose() * w; }

  /// In what type the model runs; everything around it is float64.
  struct Precision {
    DType model = DType::float64;
  };

  /// R^-1/2 (y - G(v(w))).
  Vector innovation(const Vector& w, Precision precision) const {
    const Vector v = control(w);
    const Tensor prediction = observe_.predict(tensor_of(v).reshaped({1, v.size()}).to(precision.model));
    return whitened(prediction.reshaped({observe_.size()}));
  }

  struct Local {
    Vector innovation;
    Matrix sensitivity;  // R^-1/2 Y, as rows: (N, m)
  };
  Local linearise(const Vector& w, Precision precision) const {
    // min(n, N) forward sweeps: along the controls themselves where they are fewer.
    const bool few_controls = mean_.size() < members();
    const Matrix directions = few_controls ? Matrix(Matrix::Identity(mean_.size(), mean_.size())) : anomalies_;
    const Linearisation local =
        observe_.linearise(tensor_of(control(w)).to(precision.model), tensor_of(directions).to(precision.model));
    const Matrix tangents = matrix_of(covariance_.whiten(Var(local.tangents.to(DType::float64))).value());
    return {whitened(local.value), few_controls ? Matrix(anomalies_ * tangents) : tangents};
  }

  /// R^-1/2 Y of the members' own predictions, centred on their mean, as rows (N, m); and R^-1/2 (y - that mean).
  Local ensemble(const Ensemble& prior) const {
    const Tensor predictions = observe_.predict(prior.members());
    const Matrix whitened_predictions = matrix_of(covariance_.whiten(Var(predictions)).value());
    const Vector mean = whitened_predictions.colwise().mean();
    const Vector y = vector_of(covariance_.whiten(Var(values_)).value());
    const double scale = 1 / std::sqrt(static_cast<double>(members() - 1));
    return {y - mean, scale * (whitened_predictions.rowwise() - mean.transpose())};
  }

  /// J, and its gradient by the tape.
  CostGradient by_tape(const Ensemble& prior, std::span<const double> w, double factor) const {
    return cost_and_gradient(prior, observe_, values_, covariance_, w, factor);
  }

  /// Squared whitened misfit of every row of v.
  Vector misfits(const Tensor& v) const {
    const Tensor innovations = (Var(values_) - Var(observe_.predict(v).to(DType::float64))).value();
    return matrix_of(covariance_.whiten(Var(innovations)).value()).rowwise().squaredNorm();
  }

 private:
  Vector whitened(const Tensor& prediction) const {
    return vector_of(covariance_.whiten(Var(values_) - Var(prediction.to(DType::float64))).value());
  }

  const ObservationOperator& observe_;
  const Tensor& values_;
  const ErrorCovariance& covariance_;
  Vector mean_;
  Matrix anomalies_;
};

/// Where one start has got to.
struct Minimum {
  std::size_t start = 0;
  Vector w;
  double cost = std::numeric_limits<double>::infinity();
  double gradient_norm = 0;
  std::int64_t iterations = 0;  // of the last minimisation
  Matrix hessian;               // I + Y' R^-1 Y there
};

/// 1/2 w'w + 1/2 d'd / factor; infinite where the model leaves the range of numbers.
double cost(const Vector& w, const Vector& innovation, double factor) {
  const double value = 0.5 * w.squaredNorm() + 0.5 * innovation.squaredNorm() / factor;
  return std::isfinite(value) ? value : std::numeric_limits<double>::infinity();
}

/// Gauss-Newton with Levenberg-Marquardt damping from best.w, R multiplied by `factor`.
void minimise(const Objective& objective, Minimum& best, double factor, std::int64_t iterations, double tolerance,
              Objective::Precision precision) {
  const std::int64_t n = objective.members();
  Objective::Local local = objective.linearise(best.w, precision);
  best.cost = cost(best.w, local.innovation, factor);
  best.iterations = 0;
  double damping = 0;
  for (;;) {
    best.hessian = Matrix::Identity(n, n) + local.sensitivity * local.sensitivity.transpose() / factor;
    const Vector gradient = best.w - local.sensitivity * local.innovation / factor;
    best.gradient_norm = gradient.norm();
    if (best.iterations == iterations) return;
    ++best.iterations;
    // Damping grows until J falls; it shrinks again after a success.
    const double typical = best.hessian.trace() / static_cast<double>(n);
    Vector w;
    double lower = std::numeric_limits<double>::infinity();
    for (int attempt = 0; attempt < 12; ++attempt) {
      const Matrix damped = best.hessian + damping * Matrix::Identity(n, n);
      w = best.w - damped.llt().solve(gradient);
      lower = cost(w, objective.innovation(w, precision), factor);
      if (lower <= best.cost) break;
      damping = std::max(4 * damping, 1e-2 * typical);
    }
    if (!(lower <= best.cost)) return;  // no descent at any damping: at the minimum, to round-off
    const bool last = best.cost - lower <= tolerance * (1 + best.cost);
    damping = damping < 1e-6 * typical ? 0 : damping / 8;
    best.w = w;
    best.cost = lower;
    local = objective.linearise(best.w, precision);
    if (last) iterations = best.iterations;  // gradient and Hessian at the new point, then stop
  }
}

/// The same by the exact gradient alone; the Hessian comes from one linearisation at the end.
void minimise_by_gradient(const Objective& objective, const Ensemble& prior, Minimum& best, double factor,
                          std::int64_t iterations, double tolerance) {
  const auto f = [&](std::span<const double> w, std::span<double> gradient) {
    const CostGradient here = objective.by_tape(prior, w, factor);
    std::copy(here.gradient.begin(), here.gradient.end(), gradient.begin());
    return here.cost;
  };
  const nn::LbfgsResult result =
      nn::minimise_lbfgs(f, std::vector<double>(best.w.begin(), best.w.end()),
                         {.iterations = iterations, .gradient_tolerance = 1e-10, .value_tolerance = tolerance});
  best.w = Eigen::Map<const Vector>(result.x.data(), best.w.size());
  best.cost = result.value;
  best.gradient_norm = result.gradient_norm;
  best.iterations = result.iterations;
  const Matrix y = objective.linearise(best.w, {DType::float64}).sensitivity;
  best.hessian = Matrix::Identity(y.rows(), y.rows()) + y * y.transpose() / factor;
}

/// The minimum of the quadratic J of the ensemble's own Y: (I + Y' R^-1 Y) w = Y' R^-1 (y - mean prediction).
Minimum minimise_by_ensemble(const Objective& objective, const Ensemble& prior) {
  const Objective::Local local = objective.ensemble(prior);
  const std::int64_t n = objective.members();
  Minimum minimum{.start = 0, .w = {}, .cost = 0, .gradient_norm = 0, .iterations = 1, .hessian = {}};
  minimum.hessian = Matrix::Identity(n, n) + local.sensitivity * local.sensitivity.transpose();
  minimum.w = minimum.hessian.llt().solve(local.sensitivity * local.innovation);
  minimum.cost = cost(minimum.w, local.innovation - local.sensitivity.transpose() * minimum.w, 1);
  return minimum;
}

/// Sorts by cost and drops those that a further, less annealed minimisation would waste its time on: cost above
/// `ratio` times the lowest, or within the posterior uncertainty of a better one, (w - w')' H (w - w') < 1.
void keep_promising(std::vector<Minimum>& minima, double ratio) {
  std::stable_sort(minima.begin(), minima.end(), [](const Minimum& a, const Minimum& b) { return a.cost < b.cost; });
  std::vector<Minimum> kept;
  for (Minimum& minimum : minima) {
    const bool hopeless = !kept.empty() && !(minimum.cost <= ratio * kept.front().cost);
    const bool known = std::any_of(kept.begin(), kept.end(), [&](const Minimum& better) {
      const Vector difference = minimum.w - better.w;
      return difference.dot(better.hessian * difference) < 1;
    });
    if (!hopeless && !known) kept.push_back(std::move(minimum));
  }
  minima = std::move(kept);
}

/// Starting points: w = 0, then the members with the smallest misfit, w_i = sqrt(N - 1) (e_i - 1/N).
std::vector<Minimum> starting_points(const Objective& objective, const Ensemble& prior, std::int64_t count,
                                     DType precision) {
  const std::int64_t n = objective.members();
  std::vector<Minimum> starts{{.start = 0, .w = Vector::Zero(n)}};
  if (count < 1) return starts;
  const Vector misfits = objective.misfits(prior.members().to(precision));
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return misfits[a] < misfits[b]; });
  for (std::int64_t k = 0; k < std::min(count, n); ++k) {
    Vector w = Vector::Constant(n, -1 / static_cast<double>(n));
    w[order[k]] += 1;
    starts.push_back({.start = starts.size(), .w = std::sqrt(static_cast<double>(n - 1)) * w});
  }
  return starts;
}

}  // namespace

Levda::Levda(LevdaSettings settings) : settings_(std::move(settings)) {
  if (settings_.starts < 0 || settings_.iterations < 1 || settings_.annealing.empty() ||
      settings_.annealing.back() != 1)
    throw Error("levda: starts >= 0, iterations >= 1 and annealing factors that end with 1 are needed");
  if (!(settings_.keep_ratio >= 1)) throw Error("levda: keep_ratio >= 1 is needed");
  for (const double factor : settings_.annealing)
    if (!(factor >= 1)) throw Error(fmt::format("levda: annealing factor {} is below 1", factor));
}

Ensemble Levda::analyse(const Ensemble& prior, const ObservationOperator& observe, const Tensor& values,
                        const ErrorCovariance& covariance, bool first, Diagnostics& diagnostics) const {
  const Objective objective(prior, observe, values, covariance);
  const bool by_ensemble = settings_.minimiser == Minimiser::ensemble;
  std::vector<Minimum> minima = starting_points(objective, prior, first && !by_ensemble ? settings_.starts : 0,
                                                settings_.mixed_precision ? DType::float32 : DType::float64);
  const std::vector<double> factors = first && !by_ensemble ? settings_.annealing : std::vector<double>{1};
  std::int64_t iterations = 0;
  for (const double factor : factors) {
    const bool coarse = factor != 1;
    const Objective::Precision precision{coarse && settings_.mixed_precision ? DType::float32 : DType::float64};
    const double tolerance = coarse ? settings_.coarse_tolerance : settings_.tolerance;
    const auto descend = [&](Minimum& minimum) {
      switch (settings_.minimiser) {
        case Minimiser::gauss_newton:
          return minimise(objective, minimum, factor, settings_.iterations, tolerance, precision);
        case Minimiser::lbfgs:
          return minimise_by_gradient(objective, prior, minimum, factor, settings_.iterations, tolerance);
        case Minimiser::ensemble: minimum = minimise_by_ensemble(objective, prior);
      }
    };
    oneapi::tbb::parallel_for(
        oneapi::tbb::blocked_range<std::size_t>(0, minima.size(), 1),
        [&](const auto& range) {
          for (std::size_t k = range.begin(); k < range.end(); ++k) descend(minima[k]);
        },
        oneapi::tbb::simple_partitioner());
    for (const Minimum& minimum : minima) iterations += minimum.iterations;
    keep_promising(minima, settings_.keep_ratio);
  }
  const Minimum* const best = &minima.front();
  if (!std::isfinite(best->cost)) throw Error("levda: the cost is not finite at any starting point");

  const std::int64_t n = objective.members();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(best->hessian);
  const Matrix transform = eigen.operatorInverseSqrt();
  const Matrix anomalies = transform * matrix_of(prior.anomalies());
  const Vector mean = objective.control(best->w);
  const Matrix members = (std::sqrt(static_cast<double>(n - 1)) * anomalies).rowwise() + mean.transpose();

  diagnostics["iterations"].push_back(static_cast<double>(iterations));
  diagnostics["best_start"].push_back(static_cast<double>(best->start));
  diagnostics["cost"].push_back(best->cost);
  diagnostics["cost_background"].push_back(0.5 * best->w.squaredNorm());
  diagnostics["cost_observations"].push_back(best->cost - 0.5 * best->w.squaredNorm());
  diagnostics["gradient_norm"].push_back(best->gradient_norm);
  const Objective::Local exact = objective.linearise(best->w, {DType::float64});
  const Matrix difference = exact.sensitivity - objective.ensemble(prior).sensitivity;
  diagnostics["gradient_difference"].push_back((difference * exact.innovation).norm());
  diagnostics["degrees_of_freedom"].push_back((1 - eigen.eigenvalues().array().inverse()).sum());  // tr(Y H^-1 Y' R^-1)
  return Ensemble(tensor_of(members));
}

CostGradient cost_and_gradient(const Ensemble& prior, const ObservationOperator& observe, const Tensor& values,
                               const ErrorCovariance& covariance, std::span<const double> w, double factor) {
  const Tensor weights = Tensor::from(w, {1, prior.size()});
  const auto result = autodiff::value_and_grad(
      [&](const autodiff::Vars& x) {
        const Var v = Var(prior.mean()) + matmul(x[0], Var(prior.anomalies()));
        const Var innovation = Var(values) - observe(v);
        return 0.5 * dot(x[0], x[0]) + (0.5 / factor) * dot(innovation, covariance.solve(innovation));
      },
      std::span(&weights, 1));
  return {result.value, result.gradients[0].to_vector()};
}

}  // namespace levda::da
