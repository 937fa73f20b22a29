#include "da/levda.h"

#include <fmt/format.h>

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "da/internal/matrices.h"
#include "nn/lbfgs.h"

namespace levda::da {

using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

namespace {

/// What the model says near a point of w-space, whitened.
struct Local {
  Vector innovation;   // R^-1/2 (y - G(v(w)))
  Matrix sensitivity;  // R^-1/2 Y, as rows: (N, m)
};

/// J of one problem's window in w-space, in the whitened innovation d = R^-1/2 (y - G). Knows no model: it says where
/// the model is to be evaluated, and what the answer means.
class Objective {
 public:
  explicit Objective(const WindowProblem& problem)
      : problem_(problem), mean_(vector_of(problem.prior.mean())), anomalies_(matrix_of(problem.prior.anomalies())) {}

  const WindowProblem& problem() const { return problem_; }
  std::int64_t members() const { return anomalies_.rows(); }
  Vector control(const Vector& w) const { return mean_ + anomalies_.transpose() * w; }

  /// The directions of min(n, N) forward sweeps: along the controls themselves where they are fewer.
  Matrix directions() const {
    return few_controls() ? Matrix(Matrix::Identity(mean_.size(), mean_.size())) : anomalies_;
  }

  /// Of a prediction (m).
  Vector innovation(const Tensor& prediction) const {
    return vector_of(whiten(Var(problem_.values) - Var(prediction.to(DType::float64))));
  }

  /// Of a linearisation along directions().
  Local local(const Tensor& value, const Tensor& tangents) const {
    const Matrix whitened = matrix_of(whiten(Var(tangents.to(DType::float64))));
    return {innovation(value), few_controls() ? Matrix(anomalies_ * whitened) : whitened};
  }

  /// R^-1/2 Y of the members' own predictions (N, m), centred on their mean; and R^-1/2 (y - that mean).
  Local of_members(const Tensor& predictions) const {
    const Matrix whitened = matrix_of(whiten(Var(predictions)));
    const Vector mean = whitened.colwise().mean();
    const Vector y = vector_of(whiten(Var(problem_.values)));
    const double scale = 1 / std::sqrt(static_cast<double>(members() - 1));
    return {y - mean, scale * (whitened.rowwise() - mean.transpose())};
  }

  /// Squared whitened misfit of every row of predictions (N, m).
  Vector misfits(const Tensor& predictions) const {
    return matrix_of(whiten(Var(problem_.values) - Var(predictions.to(DType::float64)))).rowwise().squaredNorm();
  }

 private:
  bool few_controls() const { return mean_.size() < members(); }
  Tensor whiten(const Var& x) const { return problem_.covariance->whiten(x).value(); }

  const WindowProblem& problem_;
  Vector mean_;
  Matrix anomalies_;
};

/// A point in the w-space of one of the problems.
struct Point {
  const Objective* objective;
  const Vector* w;
};

/// The model at some points, in a type of its own, in one call; f(k, innovation at point k), in parallel.
template <typename F>
void innovations(const ObservationOperator& observe, std::span<const Point> points, DType model, const F& f) {
  if (points.empty()) return;
  Vars controls;
  for (const Point& point : points)
    controls.emplace_back(tensor_of(Matrix(point.objective->control(*point.w).transpose())));
  const Tensor predictions = observe.predict_each(stack(controls, 0).value().to(model));  // (points, 1, m)
  in_parallel(points.size(), [&](std::size_t k) {
    f(k, points[k].objective->innovation(part(predictions, k).reshaped({observe.size()})));
  });
}

/// The same with derivatives: f(k, Local at point k).
template <typename F>
void linearisations(const ObservationOperator& observe, std::span<const Point> points, DType model, const F& f) {
  if (points.empty()) return;
  Vars controls;
  Vars directions;
  for (const Point& point : points) {
    controls.emplace_back(tensor_of(point.objective->control(*point.w)));
    directions.emplace_back(tensor_of(point.objective->directions()));
  }
  const Linearisation all =
      observe.linearise_each(stack(controls, 0).value().to(model), stack(directions, 0).value().to(model));
  in_parallel(points.size(),
              [&](std::size_t k) { f(k, points[k].objective->local(part(all.value, k), part(all.tangents, k))); });
}

/// Predictions of all members of all problems: (problems, N, m).
Tensor predict_members(const ObservationOperator& observe, std::span<const Objective> objectives, DType model) {
  Vars members;
  for (const Objective& objective : objectives) members.emplace_back(objective.problem().prior.members());
  return observe.predict_each(stack(members, 0).value().to(model));
}

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

/// Gauss-Newton with Levenberg-Marquardt damping from best.w, R multiplied by `factor`, as questions to the model and
/// what follows from the answers; so that many minimisations can ask at once.
class GaussNewton {
 public:
  enum class Need : std::uint8_t { linearisation, innovation, nothing };

  GaussNewton(const Objective& objective, Minimum& best, double factor, std::int64_t iterations, double tolerance)
      : objective_(objective), best_(best), factor_(factor), iterations_(iterations), tolerance_(tolerance) {
    best_.cost = std::numeric_limits<double>::infinity();
    best_.iterations = 0;
  }

  /// What is to be known next, and at which point.
  Need need() const { return need_; }
  Point point() const { return {&objective_, need_ == Need::linearisation ? &best_.w : &trial_}; }

  void answer(const Local& local) {
    const std::int64_t n = objective_.members();
    if (best_.iterations == 0) best_.cost = cost(best_.w, local.innovation, factor_);
    best_.hessian = Matrix::Identity(n, n) + local.sensitivity * local.sensitivity.transpose() / factor_;
    gradient_ = best_.w - local.sensitivity * local.innovation / factor_;
    best_.gradient_norm = gradient_.norm();
    typical_ = best_.hessian.trace() / static_cast<double>(n);
    attempts_ = 0;
    need_ = Need::nothing;
    if (best_.iterations == iterations_) return;
    ++best_.iterations;
    propose();
  }

  void answer(const Vector& innovation) {
    const double lower = cost(trial_, innovation, factor_);
    if (lower <= best_.cost) {
      const bool last = best_.cost - lower <= tolerance_ * (1 + best_.cost);
      damping_ = damping_ < 1e-6 * typical_ ? 0 : damping_ / 8;
      best_.w = trial_;
      best_.cost = lower;
      if (last) iterations_ = best_.iterations;  // gradient and Hessian at the new point, then stop
      need_ = Need::linearisation;
    } else {
      // Damping grows until J falls; it shrinks again after a success.
      damping_ = std::max(4 * damping_, 1e-2 * typical_);
      need_ = Need::nothing;  // no descent at any damping: at the minimum, to round-off
      if (++attempts_ < 12) propose();
    }
  }

 private:
  void propose() {
    const std::int64_t n = objective_.members();
    const Matrix damped = best_.hessian + damping_ * Matrix::Identity(n, n);
    trial_ = best_.w - damped.llt().solve(gradient_);
    need_ = Need::innovation;
  }

  const Objective& objective_;
  Minimum& best_;
  double factor_;
  std::int64_t iterations_;
  double tolerance_;
  Need need_ = Need::linearisation;
  Vector gradient_;
  Vector trial_;
  double typical_ = 0;  // of the Hessian's diagonal
  double damping_ = 0;
  int attempts_ = 0;
};

/// Advances all minimisations in rounds: what they need of the model is evaluated together.
void minimise(const ObservationOperator& observe, std::span<GaussNewton> minimisations, DType model) {
  for (;;) {
    const auto asking = [&](GaussNewton::Need need) {
      std::vector<GaussNewton*> some;
      for (GaussNewton& one : minimisations)
        if (one.need() == need) some.push_back(&one);
      return some;
    };
    const auto points_of = [](std::span<GaussNewton* const> some) {
      std::vector<Point> points;
      for (const GaussNewton* one : some) points.push_back(one->point());
      return points;
    };
    const std::vector<GaussNewton*> steps = asking(GaussNewton::Need::innovation);
    innovations(observe, points_of(steps), model,
                [&](std::size_t k, const Vector& innovation) { steps[k]->answer(innovation); });
    // Those whose step was good among them.
    const std::vector<GaussNewton*> arrived = asking(GaussNewton::Need::linearisation);
    linearisations(observe, points_of(arrived), model,
                   [&](std::size_t k, const Local& local) { arrived[k]->answer(local); });
    if (steps.empty() && arrived.empty()) return;
  }
}

/// The same by the exact gradient alone; the Hessian comes from one linearisation at the end.
void minimise_by_gradient(const ObservationOperator& observe, const Objective& objective, Minimum& best, double factor,
                          std::int64_t iterations, double tolerance) {
  const WindowProblem& p = objective.problem();
  const auto f = [&](std::span<const double> w, std::span<double> gradient) {
    const CostGradient here = cost_and_gradient(p.prior, observe, p.values, *p.covariance, w, factor);
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
  const Point end{&objective, &best.w};
  linearisations(observe, {&end, 1}, DType::float64, [&](std::size_t, const Local& local) {
    const Matrix& y = local.sensitivity;
    best.hessian = Matrix::Identity(y.rows(), y.rows()) + y * y.transpose() / factor;
  });
}

/// The minimum of the quadratic J of the ensemble's own Y: (I + Y' R^-1 Y) w = Y' R^-1 (y - mean prediction).
Minimum minimise_by_ensemble(const Local& local) {
  const std::int64_t n = local.sensitivity.rows();
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

/// Starting points of every problem: w = 0, then the members with the smallest misfit, w_i = sqrt(N - 1) (e_i - 1/N).
std::vector<std::vector<Minimum>> starting_points(const ObservationOperator& observe,
                                                  std::span<const Objective> objectives, std::int64_t count,
                                                  DType model) {
  const std::int64_t n = objectives.front().members();
  std::vector<std::vector<Minimum>> starts(objectives.size(), {{.start = 0, .w = Vector::Zero(n)}});
  if (count < 1) return starts;
  const Tensor predictions = predict_members(observe, objectives, model);
  in_parallel(objectives.size(), [&](std::size_t i) {
    const Vector misfits = objectives[i].misfits(part(predictions, i));
    std::vector<std::int64_t> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return misfits[a] < misfits[b]; });
    for (std::int64_t k = 0; k < std::min(count, n); ++k) {
      Vector w = Vector::Constant(n, -1 / static_cast<double>(n));
      w[order[k]] += 1;
      starts[i].push_back({.start = starts[i].size(), .w = std::sqrt(static_cast<double>(n - 1)) * w});
    }
  });
  return starts;
}

/// The posterior at the minimum, and what is said of it: `exact` is linearised there, `ensemble` of the members.
Ensemble posterior(const Objective& objective, const Minimum& best, const Local& exact, const Local& ensemble) {
  const std::int64_t n = objective.members();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(best.hessian);
  const Matrix transform = eigen.operatorInverseSqrt();
  const Matrix anomalies = transform * matrix_of(objective.problem().prior.anomalies());
  const Vector mean = objective.control(best.w);
  const Matrix members = (std::sqrt(static_cast<double>(n - 1)) * anomalies).rowwise() + mean.transpose();

  Diagnostics& diagnostics = objective.problem().diagnostics;
  diagnostics["best_start"].push_back(static_cast<double>(best.start));
  diagnostics["cost"].push_back(best.cost);
  diagnostics["cost_background"].push_back(0.5 * best.w.squaredNorm());
  diagnostics["cost_observations"].push_back(best.cost - 0.5 * best.w.squaredNorm());
  diagnostics["gradient_norm"].push_back(best.gradient_norm);
  const Matrix difference = exact.sensitivity - ensemble.sensitivity;
  diagnostics["gradient_difference"].push_back((difference * exact.innovation).norm());
  diagnostics["degrees_of_freedom"].push_back((1 - eigen.eigenvalues().array().inverse()).sum());  // tr(Y H^-1 Y' R^-1)
  return Ensemble(tensor_of(members));
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

std::vector<Ensemble> Levda::analyse(const ObservationOperator& observe, std::span<const WindowProblem> problems,
                                     bool first) const {
  const std::vector<Objective> objectives(problems.begin(), problems.end());
  const bool by_ensemble = settings_.minimiser == Minimiser::ensemble;
  const bool searching = first && !by_ensemble;
  std::vector<std::vector<Minimum>> minima =
      starting_points(observe, objectives, searching ? settings_.starts : 0,
                      settings_.mixed_precision ? DType::float32 : DType::float64);
  const Tensor predictions = predict_members(observe, objectives, DType::float64);
  std::vector<std::int64_t> iterations(problems.size(), 0);
  for (const double factor : searching ? settings_.annealing : std::vector<double>{1}) {
    const bool coarse = factor != 1;
    const DType model = coarse && settings_.mixed_precision ? DType::float32 : DType::float64;
    const double tolerance = coarse ? settings_.coarse_tolerance : settings_.tolerance;
    if (settings_.minimiser == Minimiser::gauss_newton) {
      std::vector<GaussNewton> minimisations;
      for (std::size_t i = 0; i < problems.size(); ++i)
        for (Minimum& minimum : minima[i])
          minimisations.emplace_back(objectives[i], minimum, factor, settings_.iterations, tolerance);
      minimise(observe, minimisations, model);
    } else {
      in_parallel(problems.size(), [&](std::size_t i) {
        in_parallel(minima[i].size(), [&](std::size_t k) {
          if (by_ensemble)
            minima[i][k] = minimise_by_ensemble(objectives[i].of_members(part(predictions, i)));
          else
            minimise_by_gradient(observe, objectives[i], minima[i][k], factor, settings_.iterations, tolerance);
        });
      });
    }
    for (std::size_t i = 0; i < problems.size(); ++i) {
      for (const Minimum& minimum : minima[i]) iterations[i] += minimum.iterations;
      keep_promising(minima[i], settings_.keep_ratio);
    }
  }

  std::vector<Point> best;
  for (std::size_t i = 0; i < problems.size(); ++i) {
    if (!std::isfinite(minima[i].front().cost)) throw Error("levda: the cost is not finite at any starting point");
    best.push_back({&objectives[i], &minima[i].front().w});
  }
  std::vector<Ensemble> posteriors(problems.size());
  linearisations(observe, best, DType::float64, [&](std::size_t i, const Local& exact) {
    problems[i].diagnostics["iterations"].push_back(static_cast<double>(iterations[i]));
    posteriors[i] = posterior(objectives[i], minima[i].front(), exact, objectives[i].of_members(part(predictions, i)));
  });
  return posteriors;
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
