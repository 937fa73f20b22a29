#include "da/internal/gauss_newton.h"

#include <algorithm>
#include "da/internal/decompositions.h"

namespace levda::da {

GaussNewton::GaussNewton(const Objective& objective, const Local& members, Minimum& best, double factor,
                         std::int64_t iterations, double tolerance)
    : objective_(objective),
      members_(members),
      best_(best),
      factor_(factor),
      iterations_(iterations),
      tolerance_(tolerance) {
  best_.cost = std::numeric_limits<double>::infinity();
  best_.iterations = 0;
}

void GaussNewton::answer(const Local& local) {
  const std::int64_t n = objective_.members();
  if (best_.iterations == 0) best_.cost = cost(best_.w, local.innovation, factor_);
  best_.hessian = Matrix::Identity(n, n) + local.sensitivity * local.sensitivity.transpose() / factor_;
  gradient_ = best_.w - local.sensitivity * local.innovation / factor_;
  best_.gradient_norm = gradient_.norm();
  best_.trace.push_back(
      {.factor = factor_,
       .cost_background = 0.5 * best_.w.squaredNorm(),
       .cost_observations = best_.cost - 0.5 * best_.w.squaredNorm(),
       .gradient_norm = best_.gradient_norm,
       .gradient_difference = ((local.sensitivity - members_.sensitivity) * local.innovation).norm() / factor_,
       .damping = damping_});
  typical_ = best_.hessian.trace() / static_cast<double>(n);
  attempts_ = 0;
  need_ = Need::nothing;
  if (best_.iterations == iterations_) return;
  ++best_.iterations;
  propose();
}

void GaussNewton::answer(const Vector& innovation) {
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
    need_ = Need::nothing;  // no descent at any damping: this is the minimum to round-off
    if (++attempts_ < 12) propose();
  }
}

void GaussNewton::propose() {
  const std::int64_t n = objective_.members();
  const Matrix damped = best_.hessian + damping_ * Matrix::Identity(n, n);
  trial_ = best_.w - solve_positive(damped, gradient_);
  need_ = Need::innovation;
}

void minimise(const ObservationOperator& observe, std::span<GaussNewton> minimisations, autodiff::DType model) {
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
    // Including minimisations whose step was just accepted.
    const std::vector<GaussNewton*> arrived = asking(GaussNewton::Need::linearisation);
    linearisations(observe, points_of(arrived), model,
                   [&](std::size_t k, const Local& local) { arrived[k]->answer(local); });
    if (steps.empty() && arrived.empty()) return;
  }
}

}  // namespace levda::da
