// An operation of your own: the wind speed sqrt(u^2 + v^2) of two components, with derivatives that you write by hand.
//
// The library could differentiate the formula by itself, but in a calm (u = v = 0) it would divide zero by zero: the
// slope of sqrt at zero is infinite. Here you decide that the derivative in a calm is zero.

#include <cmath>
#include <cstdio>

#include "autodiff/check.h"
#include "autodiff/custom_op.h"

using namespace levda::autodiff;

// An input's share of the speed: u / speed or v / speed, and 0 in a calm.
Var share(const Call& n, int i) {
  const Var calm = constant(1, {}, n.output) - sign(n.output);  // 1 where the speed is 0, else 0
  return n.inputs[i] / (n.output + calm);
}

Var wind_speed(const Var& u, const Var& v) {
  static const Function operation = custom_op({
      .name = "wind_speed",
      .value = [](const Vars& x) { return sqrt(square(x[0]) + square(x[1])); },
      .vjp = [](const Call& n, int i, const Var& w) { return w * share(n, i); },
      .jvp =
          [](const Call& n, const Vars& t) {  // an empty tangent stands for zero
            const Var from_u = t[0] ? t[0] * share(n, 0) : Var();
            const Var from_v = t[1] ? t[1] * share(n, 1) : Var();
            return add_tangents(from_u, from_v);
          },
  });
  return operation({u, v});
}

int main() {
  // Three places: a gale, a breeze and a calm.
  const std::vector<double> u{16, 3, 0};
  const std::vector<double> v{12, -4, 0};
  const std::vector<Tensor> wind{Tensor::from(std::span(u), {3}), Tensor::from(std::span(v), {3})};

  const auto total = [](const Vars& x) { return sum(wind_speed(x[0], x[1])); };
  const ValueAndGrad result = value_and_grad(total, wind);
  const std::vector<double> slope = result.gradients[0].to_vector();
  std::printf("sum of speeds  %.1f\nslopes in u    %.2f %.2f %.2f\n", result.value, slope[0], slope[1], slope[2]);

  // Always test derivatives that you wrote: against each other and against finite differences, away from the calm.
  const std::vector<Tensor> windy{wind[0].rows(0, 2), wind[1].rows(0, 2)};
  const DerivativeCheck check = check_derivatives(total, windy);
  std::printf("%s", check.text().c_str());

  const bool right = result.value == 25 && slope[0] == 0.8 && slope[1] == 0.6 && slope[2] == 0 &&
                     check.adjoint_error() < 1e-14 && check.finite_difference_error() < 1e-9;
  return right ? 0 : 1;
}
