/// Signs, comparisons and selections. Their slopes are constant between jumps.

#include "autodiff/ops/rows.h"

namespace levda::autodiff {

namespace {

/// Derivative rules of an operation that is constant between its jumps.
Var no_cotangent(const Call& n, int i, const Var&) { return constant(0, n.inputs[i].shape(), n.inputs[i]); }
Var no_tangent(const Call& n, const Vars& v) {
  return constant(0, n.output.shape().prepend(leading(v, n.inputs)), n.output);
}

const Op sign_row = {
    .name = "sign",
    .shape = [](Inputs x, const Attributes&) { return x[0].shape(); },
    .forward = [](Backend& backend, Inputs x, Attributes&, Tensor& y) { backend.unary(Unary::sign, x[0].value(), y); },
    .vjp = no_cotangent,
    .jvp = no_tangent};

template <Binary f>
void binary(Backend& backend, Inputs x, Attributes&, Tensor& y) {
  backend.binary(f, x[0].value(), x[1].value(), y);
}

const Op greater_row = {
    .name = "greater",
    .shape = [](Inputs x, const Attributes&) { return broadcast("greater", x[0].shape(), x[1].shape()); },
    .forward = binary<Binary::greater>,
    .vjp = no_cotangent,
    .jvp = no_tangent};

/// Input i's share of the greater or the lesser: 1, 0, or 1/2 at a tie. A constant.
Var share(const Call& n, int i, bool greatest) {
  const Var own = n.inputs[i].detach();
  const Var other = n.inputs[1 - i].detach();
  const Var ahead = greater(own, other) - greater(other, own);
  return scale(ahead, greatest ? 0.5 : -0.5, 0.5);
}

template <bool greatest>
Var choice_vjp(const Call& n, int i, const Var& w) {
  return unbroadcast(w * share(n, i, greatest), n.inputs[i].shape());
}
template <bool greatest>
Var choice_jvp(const Call& n, const Vars& v) {
  return add_tangents(v[0] ? aligned(n, v, 0) * share(n, 0, greatest) : Var(),
                      v[1] ? aligned(n, v, 1) * share(n, 1, greatest) : Var());
}

const Op maximum_row = {
    .name = "maximum",
    .shape = [](Inputs x, const Attributes&) { return broadcast("maximum", x[0].shape(), x[1].shape()); },
    .forward = binary<Binary::maximum>,
    .vjp = choice_vjp<true>,
    .jvp = choice_jvp<true>};
const Op minimum_row = {
    .name = "minimum",
    .shape = [](Inputs x, const Attributes&) { return broadcast("minimum", x[0].shape(), x[1].shape()); },
    .forward = binary<Binary::minimum>,
    .vjp = choice_vjp<false>,
    .jvp = choice_jvp<false>};

/// Inputs: mask, a, b.
const Op where_row = {
    .name = "where",
    .shape =
        [](Inputs x, const Attributes&) {
          return broadcast("where", x[0].shape(), broadcast("where", x[1].shape(), x[2].shape()));
        },
    .forward = [](Backend& backend, Inputs x, Attributes&,
                  Tensor& y) { backend.select(x[0].value(), x[1].value(), x[2].value(), y); },
    .vjp =
        [](const Call& n, int i, const Var& w) {
          const Var& mask = n.inputs[0];
          const Var zero = constant(0, {}, w);
          return unbroadcast(i == 1 ? where(mask, w, zero) : where(mask, zero, w), n.inputs[i].shape());
        },
    .jvp =
        [](const Call& n, const Vars& v) {
          const Var zero = constant(0, {}, n.output);
          return filled(n, v, where(n.inputs[0], v[1] ? aligned(n, v, 1) : zero, v[2] ? aligned(n, v, 2) : zero));
        }};

}  // namespace

std::vector<const Op*> choice_rows() { return {&sign_row, &greater_row, &maximum_row, &minimum_row, &where_row}; }

Var sign(const Var& x) { return evaluate(row(sign_row), {x}); }
Var greater(const Var& a, const Var& b) { return evaluate(row(greater_row), {a, b}); }
Var maximum(const Var& a, const Var& b) { return evaluate(row(maximum_row), {a, b}); }
Var minimum(const Var& a, const Var& b) { return evaluate(row(minimum_row), {a, b}); }
Var maximum(const Var& a, double b) { return maximum(a, constant(b, {}, a)); }
Var minimum(const Var& a, double b) { return minimum(a, constant(b, {}, a)); }
Var greater(const Var& a, double b) { return greater(a, constant(b, {}, a)); }
Var greater(double a, const Var& b) { return greater(constant(a, {}, b), b); }
Var where(const Var& mask, const Var& a, double b) { return where(mask, a, constant(b, {}, a)); }
Var where(const Var& mask, double a, const Var& b) { return where(mask, constant(a, {}, b), b); }
Var where(const Var& mask, const Var& a, const Var& b) { return evaluate(row(where_row), {mask.detach(), a, b}); }

}  // namespace levda::autodiff
