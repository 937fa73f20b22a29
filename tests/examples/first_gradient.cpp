// A first gradient: how the misfit of a straight line to four points changes with its slope and intercept, and a few
// steps of gradient descent that fit the line.

#include <cmath>
#include <cstdio>

#include "autodiff/derivatives.h"

using namespace levda::autodiff;

int main() {
  // Points on the line y = 2 x + 1. A Tensor is an array of numbers with a shape.
  const std::vector<double> at{0, 1, 2, 3};
  const std::vector<double> seen{1, 3, 5, 7};
  const Tensor x = Tensor::from(std::span(at), {4});
  const Tensor y = Tensor::from(std::span(seen), {4});

  // The mean squared error of a line. Write the formula; the derivatives come by themselves.
  const auto misfit = [&](const Vars& line) {
    const Var& slope = line[0];
    const Var& intercept = line[1];
    return mean(square(slope * Var(x) + intercept - Var(y)));
  };

  // Start from the line y = 0.
  std::vector<Tensor> line{Tensor::zeros({}, DType::float64), Tensor::zeros({}, DType::float64)};
  const ValueAndGrad start = value_and_grad(misfit, line);
  std::printf("misfit of y = 0: %.1f, its gradient: (%.1f, %.1f)\n", start.value, start.gradients[0].item(),
              start.gradients[1].item());

  // Downhill in 500 steps of length 0.1 times the gradient.
  for (int step = 0; step < 500; ++step) {
    const ValueAndGrad at_line = value_and_grad(misfit, line);
    for (std::size_t i = 0; i < 2; ++i)
      line[i] = Tensor::full({}, line[i].item() - 0.1 * at_line.gradients[i].item(), DType::float64);
  }
  std::printf("fitted line: y = %.4f x + %.4f\n", line[0].item(), line[1].item());

  // By hand: the gradient at y = 0 is -2 mean(x y) = -17 and -2 mean(y) = -8.
  const bool right = start.value == 21 && start.gradients[0].item() == -17 && start.gradients[1].item() == -8 &&
                     std::abs(line[0].item() - 2) < 1e-6 && std::abs(line[1].item() - 1) < 1e-6;
  return right ? 0 : 1;
}
