#pragma once

/// Gauss-Newton with Levenberg-Marquardt damping, many minimisations at once. For LEVDA's own files.

#include "da/internal/window_cost.h"

namespace levda::da {

/// Gauss-Newton with Levenberg-Marquardt damping from best.w, R multiplied by `factor`, as questions to the model and
/// what follows from the answers; so that many minimisations can ask at once.
class GaussNewton {
 public:
  enum class Need : std::uint8_t { linearisation, innovation, nothing };

  /// members: Y of the members' own predictions, with which each iterate's exact gradient is compared.
  GaussNewton(const Objective& objective, const Local& members, Minimum& best, double factor, std::int64_t iterations,
              double tolerance);

  /// What is to be known next, and at which point.
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

/// Advances all minimisations in rounds: what they need of the model is evaluated together.
void minimise(const ObservationOperator& observe, std::span<GaussNewton> minimisations, autodiff::DType model);

}  // namespace levda::da
