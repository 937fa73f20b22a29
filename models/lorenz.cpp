#include "models/lorenz.h"

#include <fmt/format.h>

#include "autodiff/error.h"

namespace levda::models {

using autodiff::Tensor;
using autodiff::Var;

Var runge_kutta_4(const std::function<Var(const Var&)>& f, const Var& x, double dt) {
  const Var k1 = f(x);
  const Var k2 = f(x + (dt / 2) * k1);
  const Var k3 = f(x + (dt / 2) * k2);
  const Var k4 = f(x + dt * k3);
  return x + (dt / 6) * (k1 + 2.0 * (k2 + k3) + k4);
}

Var Lorenz63::tendency(const Var& x) const {
  const Var a = slice(x, -1, 0, 1);
  const Var b = slice(x, -1, 1, 1);
  const Var c = slice(x, -1, 2, 1);
  return autodiff::concat({sigma * (b - a), a * (rho - c) - b, a * b - beta * c}, -1);
}

Var Lorenz63::step(const Var& x, double dt) const {
  return runge_kutta_4([this](const Var& y) { return tendency(y); }, x, dt);
}

Lorenz96::Lorenz96(std::int64_t n) {
  if (n < 4) throw Error(fmt::format("Lorenz-96: {} places, at least 4 are needed", n));
  const auto shifted = [n](std::int64_t by) {
    std::vector<std::int64_t> positions;
    for (std::int64_t i = 0; i < n; ++i) positions.push_back((i + n + by) % n);
    return Tensor::indices(positions);
  };
  next_ = shifted(1);
  previous_ = shifted(-1);
  second_ = shifted(-2);
}

Var Lorenz96::tendency(const Var& x, const Var& forcing) const {
  return (gather(x, -1, next_) - gather(x, -1, second_)) * gather(x, -1, previous_) - x + forcing;
}

Var Lorenz96::step(const Var& x, const Var& forcing, double dt) const {
  return runge_kutta_4([&](const Var& y) { return tendency(y, forcing); }, x, dt);
}

}  // namespace levda::models
