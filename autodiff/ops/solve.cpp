/// Linear systems and the Cholesky factor, for small matrices.

#include <fmt/format.h>

#include "autodiff/error.h"
#include "autodiff/ops/rows.h"

namespace levda::autodiff {

namespace {

void check_square(const char* op, const Shape& a) {
  if (a.rank() < 2 || a[-1] != a[-2]) throw Error(fmt::format("[{}] the matrix {} is not square", op, a.text()));
}

const Op solve_row = {
    .name = "solve",
    .shape =
        [](Inputs x, const Attributes&) {
          const Shape& a = x[0].shape();
          const Shape& b = x[1].shape();
          check_square("solve", a);
          if (b.rank() < 2 || b[-2] != a[-1])
            throw Error(fmt::format("[solve] matrix {} and right side {} do not fit", a.text(), b.text()));
          const Shape batch = broadcast("solve", a.part(0, a.rank() - 2), b.part(0, b.rank() - 2));
          return Shape({b[-2], b[-1]}).prepend(batch);
        },
    .forward = [](Backend& backend, Inputs x, Attributes& a,
                  Tensor& y) { backend.solve(x[0].value(), a.transpose_a, x[1].value(), y); },
    // With y = a^-1 b: b's cotangent is a^-T w =: z, a's is -z y'; transposed, -y z'.
    .vjp =
        [](const Call& n, int i, const Var& w) {
          const bool transposed = n.attributes.transpose_a;
          const Var z = solve(n.inputs[0], w, !transposed);
          if (i == 1) return unbroadcast(z, n.inputs[1].shape());
          const Var product = transposed ? matmul(n.output, z, false, true) : matmul(z, n.output, false, true);
          return -unbroadcast(product, n.inputs[0].shape());
        },
    // a dy = db - da y.
    .jvp =
        [](const Call& n, const Vars& v) {
          const bool transposed = n.attributes.transpose_a;
          Var right = v[1] ? aligned(n, v, 1) : Var();
          if (v[0]) right = add_tangents(right, -matmul(aligned(n, v, 0), n.output, transposed));
          return solve(n.inputs[0], right, transposed);
        }};

/// 1 below the diagonal, 1/2 on it, 0 above. A symmetric matrix is triangle + triangle' with this factor.
Var half_triangle(const Var& like) {
  const std::int64_t n = like.shape()[-1];
  std::vector<double> values(static_cast<std::size_t>(n * n));
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j <= i; ++j) values[i * n + j] = i == j ? 0.5 : 1;
  return Tensor::from(std::span<const double>(values), {n, n}, like.dtype(), like.value().backend());
}

Var symmetric(const Var& x) { return 0.5 * (x + transpose(x)); }

/// Derivatives after Murray, arXiv 1602.07527, with T the half_triangle:
/// dL = L (T * (L^-1 da L^-T)), and a's cotangent is L^-T (T * (L' w)) L^-1, both with symmetric da.
const Op cholesky_row = {
    .name = "cholesky",
    .shape =
        [](Inputs x, const Attributes&) {
          check_square("cholesky", x[0].shape());
          return x[0].shape();
        },
    .forward = [](Backend& backend, Inputs x, Attributes&, Tensor& y) { backend.cholesky(x[0].value(), y); },
    .vjp =
        [](const Call& n, int, const Var& w) {
          const Var& l = n.output;
          const Var left = solve(l, half_triangle(l) * matmul(l, w, true), true);
          return symmetric(solve(l, transpose(left), true));
        },
    .jvp =
        [](const Call& n, const Vars& v) {
          const Var& l = n.output;
          const Var left = solve(l, symmetric(v[0]));
          return matmul(l, half_triangle(l) * solve(l, transpose(left)));
        }};

}  // namespace

std::vector<const Op*> solve_rows() { return {&solve_row, &cholesky_row}; }

Var solve(const Var& a, const Var& b, bool transpose_a) {
  return evaluate(row(solve_row), {a, b}, {.transpose_a = transpose_a});
}
Var cholesky(const Var& a) { return evaluate(row(cholesky_row), {a}); }

}  // namespace levda::autodiff
