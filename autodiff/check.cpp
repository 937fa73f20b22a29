#include "autodiff/check.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <vector>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "autodiff/random.h"

namespace levda::autodiff {

namespace {

Tensor random_like(const Tensor& x, Random& random, double size = 1) {
  std::vector<double> values(static_cast<std::size_t>(x.size()));
  for (double& value : values) value = size * random.normal();
  return Tensor::from(std::span<const double>(values), x.shape(), x.dtype(), x.backend());
}

/// Inner product on the host in float64.
double inner(const Tensor& a, const Tensor& b) {
  const std::vector<double> va = a.to_vector();
  const std::vector<double> vb = b.to_vector();
  double total = 0;
  for (std::size_t i = 0; i < va.size(); ++i) total += va[i] * vb[i];
  return total;
}

/// Root of the mean square of the finite elements; 1 if that is 0.
double size_of(const Tensor& x) {
  double squares = 0;
  double count = 0;
  for (const double value : x.to_vector())
    if (std::isfinite(value)) squares += value * value, ++count;
  return squares > 0 ? std::sqrt(squares / count) : 1;
}

struct Extrapolation {
  double value;
  double error;
};

constexpr int most_rows = 16;

/// Ridders' polynomial extrapolation of central differences g(h) to h = 0 ("Accurate computation of F'(x) and
/// F'(x) F''(x)", Advances in Engineering Software 4, 1982).
template <typename F>
Extrapolation ridders(const F& g, double h, int rows) {
  constexpr double shrink = 1.6;
  double table[most_rows][most_rows];
  Extrapolation best{0, std::numeric_limits<double>::infinity()};
  for (int i = 0; i < rows; ++i, h /= shrink) {
    table[0][i] = g(h);
    if (!std::isfinite(best.value) || i == 0) best.value = table[0][i];  // a wide step may leave the domain of f
    double factor = shrink * shrink;
    for (int j = 1; j <= i; ++j, factor *= shrink * shrink) {
      table[j][i] = (table[j - 1][i] * factor - table[j - 1][i - 1]) / (factor - 1);
      const double error =
          std::max(std::abs(table[j][i] - table[j - 1][i]), std::abs(table[j][i] - table[j - 1][i - 1]));
      if (error <= best.error) best = {table[j][i], error};
    }
  }
  return best;
}

double ratio(double difference, double scale) { return difference == 0 ? 0 : std::abs(difference) / scale; }

}  // namespace

double DerivativeCheck::adjoint_error() const { return ratio(by_jvp - by_vjp, scale); }
double DerivativeCheck::finite_difference_error() const { return ratio(by_jvp - by_differences, scale); }

std::string DerivativeCheck::text() const {
  return fmt::format(
      "<w, J v>            {:+.16e}\n<J' w, v>           {:+.16e}  relative difference {:.1e}\n"
      "finite differences  {:+.16e}  relative difference {:.1e}, of which the differences may err by {:.1e}\n",
      by_jvp, by_vjp, adjoint_error(), by_differences, finite_difference_error(), ratio(difference_error, scale));
}

DerivativeCheck check_derivatives(const std::function<Var(const Vars&)>& f, std::span<const Tensor> inputs,
                                  std::uint64_t seed) {
  if (!f) throw Error("[check_derivatives] no function");
  Random random(seed);
  Tape tape;
  const Vars x = tape.variables(inputs);
  const Var y = f(x);
  const Tensor w = random_like(y.value(), random);
  Vars v;
  for (const Tensor& input : inputs) v.emplace_back(random_like(input, random, size_of(input)));

  DerivativeCheck check;
  const Tensor tangent = jvp(y, x, v).value();
  check.by_jvp = inner(w, tangent);
  const std::vector<double> vw = w.to_vector();
  const std::vector<double> vt = tangent.to_vector();
  for (std::size_t i = 0; i < vw.size(); ++i) check.scale += std::abs(vw[i] * vt[i]);
  const Vars cotangents = vjp(y, w, x);
  for (std::size_t i = 0; i < inputs.size(); ++i) check.by_vjp += inner(cotangents[i].value(), v[i].value());

  const auto along = [&](double h) {  // <w, f(x + h v)>
    Vars moved;
    for (std::size_t i = 0; i < inputs.size(); ++i) moved.push_back(Var(inputs[i]) + h * v[i]);
    return inner(w, f(moved).value());
  };
  // Steps that balance truncation against round-off: from large ones for the extrapolation to small ones for functions
  // that bend on a short scale; in float32 larger ones.
  const auto slope = [&](double h) { return (along(h) - along(-h)) / (2 * h); };
  const Extrapolation best = y.dtype() == DType::float64 ? ridders(slope, 0.02, most_rows) : ridders(slope, 0.1, 8);
  check.by_differences = best.value;
  check.difference_error = best.error;
  return check;
}

}  // namespace levda::autodiff
