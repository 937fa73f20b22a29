#include "da/four_d_var.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "da/internal/decompositions.h"
#include "da/internal/ensemble_space.h"
#include "nn/lbfgs.h"

namespace levda::da {

using autodiff::Tensor;
using autodiff::Var;

namespace {

using Transform = std::function<Var(const Var& z)>;  // z (rows, k) -> C z (rows, n), in tape operations

CostGradient cost_at(const Tensor& mean, const Transform& transform, const ObservationOperator& observe,
                     const Tensor& values, const ErrorCovariance& covariance, std::span<const double> z) {
  const Tensor at = Tensor::from(z, {1, static_cast<std::int64_t>(z.size())});
  const auto result = autodiff::value_and_grad(
      [&](const autodiff::Vars& x) {
        const Var innovation = covariance.whiten(Var(values) - observe(Var(mean) + transform(x[0])));
        return 0.5 * dot(x[0], x[0]) + 0.5 * dot(innovation, innovation);
      },
      std::span(&at, 1));
  return {result.value, result.gradients[0].to_vector()};
}

/// J of one problem's window, and its minimisation.
class Variational {
 public:
  Variational(const WindowProblem& problem, const ObservationOperator& observe, const FourDVarSettings& settings)
      : problem_(problem), observe_(observe), settings_(settings), mean_(problem.prior.mean()) {
    const double root = std::sqrt(settings.scale);
    if (const ErrorCovariance* b = settings.background.get()) {
      size_ = b->size();
      transform_ = [b, root](const Var& z) { return root * b->colour(z); };
    } else {
      size_ = problem.prior.size();
      transform_ = [a = Var(problem.prior.anomalies()), root](const Var& z) { return root * matmul(z, a); };
    }
    z_ = Vector::Zero(size_);
  }

  void minimise() {
    if (settings_.minimiser == FourDVarMinimiser::lbfgs)
      by_gradient();
    else
      by_gauss_newton();
  }

  Ensemble posterior() {
    const bool sampled = settings_.background != nullptr;
    const std::int64_t members = problem_.prior.size();
    const bool exact = !sampled || size_ <= settings_.exact_controls;
    const Matrix draws = sampled ? centred_draws(members, size_) : Matrix::Identity(members, members);
    if (!exact) basis_ = rows(draws);
    if (!exact || sensitivity_.size() == 0) linearise();  // Gauss-Newton ends with it
    const SymmetricEigen eigen = symmetric_eigen(hessian());
    const Matrix root = eigen.inverse_root();
    const Matrix anomalies = exact ? Matrix(draws * (root * basis_)) : Matrix(root * basis_);
    const double scale = std::sqrt(static_cast<double>(members - 1));

    Diagnostics& diagnostics = problem_.diagnostics;
    diagnostics["iterations"].push_back(static_cast<double>(iterations_));
    diagnostics["cost"].push_back(cost_);
    diagnostics["cost_background"].push_back(0.5 * z_.squaredNorm());
    diagnostics["cost_observations"].push_back(cost_ - 0.5 * z_.squaredNorm());
    diagnostics["gradient_norm"].push_back(gradient_norm_);
    diagnostics["degrees_of_freedom"].push_back((1 - eigen.values.array().inverse()).sum());
    report_impact(problem_, root, sensitivity_, innovation_);
    return Ensemble(tensor_of(Matrix((scale * anomalies).rowwise() + control(z_).transpose())));
  }

 private:
  /// C z of every row of z.
  Matrix rows(const Matrix& z) const { return matrix_of(transform_(Var(tensor_of(z))).value()); }
  Vector control(const Vector& z) const {
    return vector_of(mean_) + Vector(rows(z.transpose()).reshaped<Eigen::RowMajor>());
  }

  /// N x k, such that the members' k x k sample covariance is the identity: to round-off with more members than k,
  /// otherwise on average.
  Matrix centred_draws(std::int64_t members, std::int64_t size) const {
    Matrix draws(members, size);
    for (double& value : draws.reshaped<Eigen::RowMajor>()) value = problem_.random.normal();
    draws = (draws.rowwise() - draws.colwise().mean()).eval();
    if (members <= size) return draws / std::sqrt(static_cast<double>(members - 1));
    return householder(draws).q.leftCols(size);
  }

  double cost(const Vector& z, const Vector& innovation) const {
    const double value = 0.5 * z.squaredNorm() + 0.5 * innovation.squaredNorm();
    return std::isfinite(value) ? value : std::numeric_limits<double>::infinity();
  }
  Vector innovation(const Tensor& prediction) const {
    return vector_of(problem_.covariance->whiten(Var(problem_.values) - Var(prediction)).value());
  }

  /// Linearises at z along the rows of basis_, which are by default the columns of C.
  void linearise() {
    if (basis_.size() == 0) basis_ = rows(Matrix::Identity(size_, size_));
    const Linearisation local = observe_.linearise(tensor_of(control(z_)), tensor_of(basis_));
    innovation_ = innovation(local.value);
    sensitivity_ = matrix_of(problem_.covariance->whiten(Var(local.tangents)).value());
  }
  Matrix hessian() const {
    return Matrix::Identity(sensitivity_.rows(), sensitivity_.rows()) + sensitivity_ * sensitivity_.transpose();
  }

  void by_gauss_newton() {
    if (settings_.background && size_ > settings_.exact_controls)
      throw Error(
          fmt::format("4dvar: Gauss-Newton with {} controls, exact_controls is {}", size_, settings_.exact_controls));
    double damping = 0;
    linearise();
    cost_ = cost(z_, innovation_);
    if (!std::isfinite(cost_)) throw Error("4dvar: the cost is not finite at the background");
    for (;;) {
      const Vector gradient = z_ - sensitivity_ * innovation_;
      gradient_norm_ = gradient.norm();
      if (problem_.report != nullptr)
        problem_.report->iterations.push_back({.cost_background = 0.5 * z_.squaredNorm(),
                                               .cost_observations = cost_ - 0.5 * z_.squaredNorm(),
                                               .gradient_norm = gradient_norm_,
                                               .damping = damping});
      const Matrix h = hessian();
      const bool arrived = std::sqrt(gradient.dot(solve_positive(h, gradient))) <= settings_.tolerance;
      if (arrived || iterations_ == settings_.iterations) return;
      const double typical = h.trace() / static_cast<double>(size_);
      constexpr int most = 12;
      int attempts = 0;
      for (; attempts < most; ++attempts) {
        const Vector trial = z_ - solve_positive(Matrix(h + damping * Matrix::Identity(size_, size_)), gradient);
        const Tensor prediction = observe_.predict(tensor_of(Matrix(control(trial).transpose())));
        const double lower = cost(trial, innovation(prediction));
        if (lower <= cost_) {
          z_ = trial;
          cost_ = lower;
          break;
        }
        damping = std::max(4 * damping, 1e-2 * typical);
      }
      if (attempts == most) return;  // no descent at any damping: at the minimum, to round-off
      damping = damping < 1e-6 * typical ? 0 : damping / 8;
      ++iterations_;
      linearise();
    }
  }

  void by_gradient() {
    const auto f = [&](std::span<const double> z, std::span<double> gradient) {
      const CostGradient here = cost_at(mean_, transform_, observe_, problem_.values, *problem_.covariance, z);
      std::copy(here.gradient.begin(), here.gradient.end(), gradient.begin());
      return here.cost;
    };
    const nn::LbfgsResult result =
        nn::minimise_lbfgs(f, std::vector<double>(z_.begin(), z_.end()),
                           {.iterations = settings_.iterations, .gradient_tolerance = settings_.tolerance});
    z_ = Eigen::Map<const Vector>(result.x.data(), size_);
    cost_ = result.value;
    gradient_norm_ = result.gradient_norm;
    iterations_ = result.iterations;
  }

  const WindowProblem& problem_;
  const ObservationOperator& observe_;
  const FourDVarSettings& settings_;
  Tensor mean_;
  Transform transform_;
  std::int64_t size_ = 0;  // of z
  Vector z_;
  Matrix basis_;        // directions of forward sweeps, as rows: (k, n)
  Vector innovation_;   // R^-1/2 (y - G(v(z)))
  Matrix sensitivity_;  // R^-1/2 (dG/dv) along them: (k, m)
  double cost_ = 0;
  double gradient_norm_ = 0;
  std::int64_t iterations_ = 0;
};

}  // namespace

FourDVar::FourDVar(FourDVarSettings settings, WindowSettings windows)
    : WindowMethod(std::move(windows)), settings_(std::move(settings)) {
  if (!(settings_.scale > 0) || !std::isfinite(settings_.scale))
    throw Error(fmt::format("4dvar: B times {}", settings_.scale));
  if (settings_.iterations < 1) throw Error(fmt::format("4dvar: {} iterations", settings_.iterations));
  if (!(settings_.tolerance >= 0)) throw Error(fmt::format("4dvar: a tolerance of {}", settings_.tolerance));
}

std::vector<Ensemble> FourDVar::analyse(const ObservationOperator& observe, std::span<const WindowProblem> problems,
                                        bool) const {
  std::vector<Ensemble> posteriors(problems.size());
  in_parallel(problems.size(), [&](std::size_t k) {
    const WindowProblem& p = problems[k];
    if (settings_.background && settings_.background->size() != p.prior.controls())
      throw Error(
          fmt::format("4dvar: B of {} controls for a model of {}", settings_.background->size(), p.prior.controls()));
    Variational variational(p, observe, settings_);
    variational.minimise();
    posteriors[k] = variational.posterior();
  });
  return posteriors;
}

CostGradient four_d_var_cost(const Tensor& mean, const ErrorCovariance& background, const ObservationOperator& observe,
                             const Tensor& values, const ErrorCovariance& covariance, std::span<const double> z) {
  return cost_at(
      mean, [&](const Var& x) { return background.colour(x); }, observe, values, covariance, z);
}

}  // namespace levda::da
