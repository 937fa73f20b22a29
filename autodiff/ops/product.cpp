/// Matrix products.

#include <fmt/format.h>

#include "autodiff/error.h"
#include "autodiff/internal/sweep.h"
#include "autodiff/ops/rows.h"

namespace levda::autodiff {

namespace {

Shape matmul_shape(Inputs x, const Attributes& a) {
  const Shape& l = x[0].shape();
  const Shape& r = x[1].shape();
  const auto fail = [&] {
    throw Error(fmt::format("[matmul] cannot multiply {} and {}{}{}", l.text(), r.text(),
                            a.transpose_a ? ", left transposed" : "", a.transpose_b ? ", right transposed" : ""));
  };
  if (l.rank() < 2 || r.rank() < 2) fail();
  if (l[a.transpose_a ? -2 : -1] != r[a.transpose_b ? -1 : -2]) fail();
  const Shape batch = broadcast("matmul", l.part(0, l.rank() - 2), r.part(0, r.rank() - 2));
  return Shape({l[a.transpose_a ? -1 : -2], r[a.transpose_b ? -2 : -1]}).prepend(batch);
}

/// The shape with all axes but the last merged into rows.
Var as_matrix(const Var& x) {
  if (x.shape().rank() == 2) return x;
  return reshape(x, {x.shape().size(0, x.shape().rank() - 1), x.shape()[-1]});
}

const Op matmul_row = {
    .name = "matmul",
    .shape = matmul_shape,
    .forward = [](Backend& backend, Inputs x, Attributes& a,
                  Tensor& y) { backend.matmul(x[0].value(), a.transpose_a, x[1].value(), a.transpose_b, nullptr, y); },
    .vjp =
        [](const Call& n, int i, const Var& w) {
          const Var& a = n.inputs[0];
          const Var& b = n.inputs[1];
          const bool ta = n.attributes.transpose_a;
          const bool tb = n.attributes.transpose_b;
          if (i == 0) return unbroadcast(ta ? matmul(b, w, tb, true) : matmul(w, b, false, !tb), a.shape());
          // If the right side has no leading axes, one product over all rows gives its cotangent.
          if (!ta && !tb && b.shape().rank() == 2) return matmul(as_matrix(a), as_matrix(w), true, false);
          return unbroadcast(tb ? matmul(w, a, true, ta) : matmul(a, w, !ta, false), b.shape());
        },
    .jvp =
        [](const Call& n, const Vars& v) {
          const Var& a = n.inputs[0];
          const Var& b = n.inputs[1];
          const bool ta = n.attributes.transpose_a;
          const bool tb = n.attributes.transpose_b;
          const int rank = n.output.shape().rank();
          return add_tangents(v[0] ? matmul(align(v[0], a, rank), b, ta, tb) : Var(),
                              v[1] ? matmul(a, align(v[1], b, rank), ta, tb) : Var());
        }};

Shape layer_shape(const char* op, Inputs x) {
  const Shape& in = x[0].shape();
  const Shape& weight = x[1].shape();
  const Shape& bias = x[2].shape();
  if (in.rank() < 2 || weight.rank() != 2 || bias.rank() != 1 || in[-1] != weight[0] || weight[1] != bias[0])
    throw Error(
        fmt::format("[{}] input {}, weight {} and bias {} do not fit", op, in.text(), weight.text(), bias.text()));
  return in.with(-1, weight[1]);
}

/// Cotangent of input i of x W + b from the cotangent w of the result.
Var layer_vjp(Inputs inputs, int i, const Var& w) {
  if (i == 0) return matmul(w, inputs[1], false, true);
  if (i == 1) return matmul(as_matrix(inputs[0]), as_matrix(w), true, false);
  return sum_to(w, inputs[2].shape());
}

/// Tangent of x W + b.
Var layer_jvp(const Call& n, const Vars& v) {
  const int rank = n.output.shape().rank();
  Var tangent = v[0] ? matmul(v[0], n.inputs[1]) : Var();
  if (v[1]) tangent = add_tangents(tangent, matmul(n.inputs[0], align(v[1], n.inputs[1], rank)));
  if (v[2]) tangent = add_tangents(tangent, align(v[2], n.inputs[2], rank));
  return filled(n, v, tangent);
}

const Op linear_row = {
    .name = "linear",
    .shape = [](Inputs x, const Attributes&) { return layer_shape("linear", x); },
    .forward = [](Backend& backend, Inputs x, Attributes&,
                  Tensor& y) { backend.matmul(x[0].value(), false, x[1].value(), false, &x[2].value(), y); },
    .vjp = [](const Call& n, int i, const Var& w) { return layer_vjp(n.inputs, i, w); },
    .jvp = layer_jvp};

/// The slope of silu at x W + b: kept by the forward computation, or computed again if the sweep is recorded.
Var layer_slope(const Call& n) {
  if (!any_tracked(n.inputs)) return n.attributes.saved;
  return silu_derivative(linear(n.inputs[0], n.inputs[1], n.inputs[2]));
}

/// silu(linear(..)), which keeps the slope and not the sum: one array and two passes over memory fewer.
const Op linear_silu_row = {.name = "linear_silu",
                            .shape = [](Inputs x, const Attributes&) { return layer_shape("linear_silu", x); },
                            .forward =
                                [](Backend& backend, Inputs x, Attributes& a, Tensor& y) {
                                  if (a.recorded) a.saved = Tensor::empty(y.shape(), y.dtype(), backend);
                                  backend.matmul(x[0].value(), false, x[1].value(), false, &x[2].value(), y);
                                  backend.silu(y, y, a.recorded ? &a.saved : nullptr);
                                },
                            .vjp = {},
                            .jvp = [](const Call& n, const Vars& v) { return layer_jvp(n, v) * layer_slope(n); },
                            .vjp_all =
                                [](const Call& n, const std::vector<int>& wanted, const Var& w, Vars& sums) {
                                  const Var through = w * layer_slope(n);
                                  for (std::size_t k = 0; k < wanted.size(); ++k)
                                    accumulate(sums[k], layer_vjp(n.inputs, wanted[k], through));
                                }};

}  // namespace

std::vector<const Op*> product_rows() { return {&matmul_row, &linear_row, &linear_silu_row}; }

Var matmul(const Var& a, const Var& b, bool transpose_a, bool transpose_b) {
  return evaluate(row(matmul_row), {a, b}, {.transpose_a = transpose_a, .transpose_b = transpose_b});
}

Var linear(const Var& x, const Var& weight, const Var& bias) { return evaluate(row(linear_row), {x, weight, bias}); }

Var linear_silu(const Var& x, const Var& weight, const Var& bias) {
  return evaluate(row(linear_silu_row), {x, weight, bias});
}

}  // namespace levda::autodiff
