#pragma once

/// The systems of Lorenz (1963) and Lorenz (1996), in tape operations: small, chaotic, and the field's yardstick.

#include <functional>

#include "autodiff/op.h"

namespace levda::models {

/// One step of the classical Runge-Kutta scheme of order 4 for x' = f(x).
autodiff::Var runge_kutta_4(const std::function<autodiff::Var(const autodiff::Var&)>& f, const autodiff::Var& x,
                            double dt);

struct Lorenz63 {
  double sigma = 10;
  double rho = 28;
  double beta = 8.0 / 3;

  /// x (rows, 3) -> (sigma (y - x), rho x - y - x z, x y - beta z).
  autodiff::Var tendency(const autodiff::Var& x) const;
  autodiff::Var step(const autodiff::Var& x, double dt) const;
};

class Lorenz96 {
 public:
  /// n >= 4 places on a circle. Throws Error.
  explicit Lorenz96(std::int64_t n);

  std::int64_t size() const { return next_.size(); }
  /// x (rows, n), forcing (rows, 1) or (1) -> (x_{i+1} - x_{i-2}) x_{i-1} - x_i + forcing.
  autodiff::Var tendency(const autodiff::Var& x, const autodiff::Var& forcing) const;
  autodiff::Var step(const autodiff::Var& x, const autodiff::Var& forcing, double dt) const;

 private:
  autodiff::Tensor next_;  ///< indices of i + 1, i - 1, i - 2
  autodiff::Tensor previous_;
  autodiff::Tensor second_;
};

}  // namespace levda::models
