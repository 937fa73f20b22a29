#pragma once

/// The cost of a window in the space of weights w, its evaluations at some points, and its minimum. Not installed.

#include <limits>

#include "autodiff/op.h"
#include "da/internal/ensemble_space.h"
#include "da/method.h"

namespace levda::da {

/// Whitened linearisation of the model at a point of w-space.
struct Local {
  Vector innovation;   // R^-1/2 (y - G(v(w)))
  Matrix sensitivity;  // R^-1/2 Y, as rows: (N, m)
};

/// J of one problem's window in w-space, with the whitened innovation d = R^-1/2 (y - G). It does not call the model:
/// it gives the control vectors to evaluate and interprets the results.
class Objective {
 public:
  explicit Objective(const WindowProblem& problem)
      : problem_(problem), mean_(vector_of(problem.prior.mean())), anomalies_(matrix_of(problem.prior.anomalies())) {}

  const WindowProblem& problem() const { return problem_; }
  std::int64_t members() const { return anomalies_.rows(); }
  Vector control(const Vector& w) const { return mean_ + anomalies_.transpose() * w; }

  /// The directions of min(n, N) forward sweeps: the controls if they are fewer than the members.
  Matrix directions() const {
    return few_controls() ? Matrix(Matrix::Identity(mean_.size(), mean_.size())) : anomalies_;
  }

  /// The innovation of a prediction (m).
  Vector innovation(const autodiff::Tensor& prediction) const {
    return vector_of(whiten(autodiff::Var(problem_.values) - autodiff::Var(prediction.to(autodiff::DType::float64))));
  }

  /// From a linearisation along directions().
  Local local(const autodiff::Tensor& value, const autodiff::Tensor& tangents) const {
    const Matrix whitened = matrix_of(whiten(autodiff::Var(tangents.to(autodiff::DType::float64))));
    return {innovation(value), few_controls() ? Matrix(anomalies_ * whitened) : whitened};
  }

  /// From the members' predictions (N, m).
  Local of_members(const autodiff::Tensor& predictions) const {
    Predictions here = predictions_of(predictions, problem_);
    return {std::move(here.innovation), std::move(here.anomalies)};
  }

  /// Squared whitened misfit of every row of predictions (N, m).
  Vector misfits(const autodiff::Tensor& predictions) const {
    return matrix_of(whiten(autodiff::Var(problem_.values) - autodiff::Var(predictions.to(autodiff::DType::float64))))
        .rowwise()
        .squaredNorm();
  }

 private:
  bool few_controls() const { return mean_.size() < members(); }
  autodiff::Tensor whiten(const autodiff::Var& x) const { return problem_.covariance->whiten(x).value(); }

  const WindowProblem& problem_;
  Vector mean_;
  Matrix anomalies_;
};

/// A point in the w-space of one of the problems.
struct Point {
  const Objective* objective;
  const Vector* w;
};

/// Evaluates the model at some points in the type `model`, in one call; then f(k, innovation at point k), in parallel.
template <typename F>
void innovations(const ObservationOperator& observe, std::span<const Point> points, autodiff::DType model, const F& f) {
  if (points.empty()) return;
  autodiff::Vars controls;
  for (const Point& point : points)
    controls.emplace_back(tensor_of(Matrix(point.objective->control(*point.w).transpose())));
  const autodiff::Tensor predictions = observe.predict(stack(controls, 0).value().to(model));  // (points, 1, m)
  in_parallel(points.size(), [&](std::size_t k) {
    f(k, points[k].objective->innovation(part(predictions, k).reshaped({observe.size()})));
  });
}

/// Linearises the model at some points in one call; then f(k, Local at point k), in parallel.
template <typename F>
void linearisations(const ObservationOperator& observe, std::span<const Point> points, autodiff::DType model,
                    const F& f) {
  if (points.empty()) return;
  autodiff::Vars controls;
  autodiff::Vars directions;
  for (const Point& point : points) {
    controls.emplace_back(tensor_of(point.objective->control(*point.w)));
    directions.emplace_back(tensor_of(point.objective->directions()));
  }
  const Linearisation all =
      observe.linearise(stack(controls, 0).value().to(model), stack(directions, 0).value().to(model));
  in_parallel(points.size(),
              [&](std::size_t k) { f(k, points[k].objective->local(part(all.value, k), part(all.tangents, k))); });
}

/// Predictions of all members of all problems: (problems, N, m).
autodiff::Tensor predict_members(const ObservationOperator& observe, std::span<const Objective> objectives,
                                 autodiff::DType model);

/// The state of the minimisations from one start.
struct Minimum {
  std::size_t start = 0;
  Vector w;
  double cost = std::numeric_limits<double>::infinity();
  double gradient_norm = 0;
  std::int64_t iterations = 0;   // of the last minimisation
  Matrix hessian;                // I + Y' R^-1 Y there
  std::vector<Iteration> trace;  // of all minimisations that led there
};

/// 1/2 w'w + 1/2 d'd / factor; infinite when it is not a finite number.
double cost(const Vector& w, const Vector& innovation, double factor);

}  // namespace levda::da
