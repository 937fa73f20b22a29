#pragma once

/// Gauss-Newton with Levenberg-Marquardt damping for many minimisations at once. Not installed.

#include "da/internal/window_cost.h"

namespace levda::da {

/// One minimisation from best.w, with R multiplied by `factor`. It says which evaluation of the model it needs next and
/// receives the result, so that one call of the model can serve many minimisations.
class GaussNewton {
 public:
  enum class Need : std::uint8_t { linearisation, innovation, nothing };

  /// members: Y of the members' predictions, for gradient_difference.
  GaussNewton(const Objective& objective, const Local& members, Minimum& best, double factor, std::int64_t iterations,
              double tolerance);

  /// The next evaluation that is needed, and its point.
  Need need() const { return need_; }
  Point point() const { return {&objective_, need_ == Need::linearisation ? &best_.w : &trial_}; }

  void answer(const Local& local);
  void answer(const Vector& innovation);

 private:
  void propose();

  const Objective& objective_;
  const Local& members_;
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

/// Runs all minimisations in rounds; one call of the model evaluates all points of a round.
void minimise(const ObservationOperator& observe, std::span<GaussNewton> minimisations, autodiff::DType model);

}  // namespace levda::da
