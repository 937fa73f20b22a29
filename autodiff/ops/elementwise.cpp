/// Scalar functions applied to every element.

#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "autodiff/error.h"
#include "autodiff/ops/rows.h"

namespace levda::autodiff {

namespace {

Shape same_shape(Inputs x, const Attributes&) { return x[0].shape(); }

template <Unary f>
void unary(Backend& backend, Inputs x, Attributes&, Tensor& y) {
  backend.unary(f, x[0].value(), y);
}

/// The row of a scalar function. Both rules multiply by the derivative.
template <Unary f>
Op unary_row(const char* name, Var (*derivative)(const Call&)) {
  return {.name = name,
          .shape = same_shape,
          .forward = unary<f>,
          .vjp = [derivative](const Call& n, int, const Var& w) { return w * derivative(n); },
          .jvp = [derivative](const Call& n, const Vars& v) { return v[0] * derivative(n); }};
}

const Op neg_row = {.name = "neg",
                    .shape = same_shape,
                    .forward = unary<Unary::neg>,
                    .vjp = [](const Call&, int, const Var& w) { return -w; },
                    .jvp = [](const Call&, const Vars& v) { return -v[0]; }};
const Op sin_row = unary_row<Unary::sin>("sin", [](const Call& n) { return cos(n.inputs[0]); });
const Op cos_row = unary_row<Unary::cos>("cos", [](const Call& n) { return -sin(n.inputs[0]); });
const Op exp_row = unary_row<Unary::exp>("exp", [](const Call& n) { return n.output; });
const Op square_row = unary_row<Unary::square>("square", [](const Call& n) { return 2 * n.inputs[0]; });
/// s (1 - s) without cancellation.
const Op sigmoid_row =
    unary_row<Unary::sigmoid>("sigmoid", [](const Call& n) { return n.output * sigmoid(-n.inputs[0]); });
/// Value and derivative share an exponential, which takes more time in the training of a small network than anything
/// but the products. Therefore a recorded forward computation keeps the derivative for sweeps that are not recorded.
Var silu_slope(const Call& n) { return n.inputs[0].tracked() ? silu_derivative(n.inputs[0]) : Var(n.attributes.saved); }
const Op silu_row = {.name = "silu",
                     .shape = same_shape,
                     .forward =
                         [](Backend& backend, Inputs x, Attributes& a, Tensor& y) {
                           const Tensor& in = x[0].value();
                           if (a.recorded) a.saved = Tensor::empty(in.shape(), in.dtype(), backend);
                           backend.silu(in, y, a.recorded ? &a.saved : nullptr);
                         },
                     .vjp = [](const Call& n, int, const Var& w) { return w * silu_slope(n); },
                     .jvp = [](const Call& n, const Vars& v) { return v[0] * silu_slope(n); }};
/// x between bounds outside of which a factor of x is 0. So an infinite x does not make the product NaN.
Var within(const Var& x, double bound) { return minimum(maximum(x, constant(-bound, {}, x)), constant(bound, {}, x)); }
/// s c (2 + x (c - s)) with c = 1 - s.
const Op silu_derivative_row = unary_row<Unary::silu_derivative>("silu_derivative", [](const Call& n) {
  const Var& x = n.inputs[0];
  const Var s = sigmoid(x);
  const Var c = sigmoid(-x);
  return s * (c * (2 + within(x, 800) * (c - s)));
});
/// 1 - tanh(x)^2 without cancellation.
const Op tanh_row = unary_row<Unary::tanh>("tanh", [](const Call& n) {
  const Var twice = 2 * n.inputs[0];
  return 4 * (sigmoid(twice) * sigmoid(-twice));
});
// The slopes of relu and abs are constant almost everywhere, so they are not recorded.
const Op relu_row = unary_row<Unary::relu>(
    "relu", [](const Call& n) { return greater(n.inputs[0].detach(), constant(0, {}, n.inputs[0])); });
const Op abs_row = unary_row<Unary::abs>("abs", [](const Call& n) { return sign(n.inputs[0].detach()); });
/// exp(-x^2) is 0 beyond 28 in every type; exp(-x^2 / 2) beyond 40.
const Op erf_row = unary_row<Unary::erf>(
    "erf", [](const Call& n) { return 2 * std::numbers::inv_sqrtpi * exp(-square(within(n.inputs[0], 28))); });
/// P + x p with the normal density p = P'.
const Op gelu_row = unary_row<Unary::gelu>("gelu", [](const Call& n) {
  const Var x = within(n.inputs[0], 40);
  const double root_half = 1 / std::numbers::sqrt2;
  const Var density = std::numbers::inv_sqrtpi * root_half * exp(-0.5 * square(x));
  return scale(erf(root_half * x), 0.5, 0.5) + x * density;
});
const Op softplus_row = unary_row<Unary::softplus>("softplus", [](const Call& n) { return sigmoid(n.inputs[0]); });
const Op log_row = {.name = "log",
                    .shape = same_shape,
                    .forward = unary<Unary::log>,
                    .vjp = [](const Call& n, int, const Var& w) { return w / n.inputs[0]; },
                    .jvp = [](const Call& n, const Vars& v) { return v[0] / n.inputs[0]; }};
/// p = 0 is a special case, because 0 times the infinite x^-1 at 0 would be NaN.
Var pow_slope(const Call& n) {
  const double p = n.attributes.alpha;
  return p == 0 ? constant(0, n.inputs[0].shape(), n.inputs[0]) : p * pow(n.inputs[0], p - 1);
}
const Op pow_row = {
    .name = "pow",
    .shape = same_shape,
    .forward = [](Backend& backend, Inputs x, Attributes& a, Tensor& y) { backend.power(x[0].value(), a.alpha, y); },
    .vjp = [](const Call& n, int, const Var& w) { return w * pow_slope(n); },
    .jvp = [](const Call& n, const Vars& v) { return v[0] * pow_slope(n); }};
/// The derivative at 0 is infinite, by IEEE division.
const Op sqrt_row = {.name = "sqrt",
                     .shape = same_shape,
                     .forward = unary<Unary::sqrt>,
                     .vjp = [](const Call& n, int, const Var& w) { return w / (2 * n.output); },
                     .jvp = [](const Call& n, const Vars& v) { return v[0] / (2 * n.output); }};
const Op scale_row = {.name = "scale",
                      .shape = same_shape,
                      .forward = [](Backend& backend, Inputs x, Attributes& a,
                                    Tensor& y) { backend.scale(x[0].value(), a.alpha, a.beta, y); },
                      .vjp = [](const Call& n, int, const Var& w) { return scale(w, n.attributes.alpha); },
                      .jvp = [](const Call& n, const Vars& v) { return scale(v[0], n.attributes.alpha); }};

template <Binary f>
void binary(Backend& backend, Inputs x, Attributes&, Tensor& y) {
  backend.binary(f, x[0].value(), x[1].value(), y);
}

Shape broadcast_add(Inputs x, const Attributes&) { return broadcast("add", x[0].shape(), x[1].shape()); }
Shape broadcast_sub(Inputs x, const Attributes&) { return broadcast("sub", x[0].shape(), x[1].shape()); }
Shape broadcast_mul(Inputs x, const Attributes&) { return broadcast("mul", x[0].shape(), x[1].shape()); }
Shape broadcast_div(Inputs x, const Attributes&) { return broadcast("div", x[0].shape(), x[1].shape()); }

const Op add_row = {
    .name = "add",
    .shape = broadcast_add,
    .forward = binary<Binary::add>,
    .vjp = [](const Call& n, int i, const Var& w) { return unbroadcast(w, n.inputs[i].shape()); },
    .jvp = [](const Call& n, const Vars& v) { return filled(n, v, add_tangents(aligned(n, v, 0), aligned(n, v, 1))); }};
const Op sub_row = {
    .name = "sub",
    .shape = broadcast_sub,
    .forward = binary<Binary::sub>,
    .vjp = [](const Call& n, int i, const Var& w) { return unbroadcast(i == 0 ? w : -w, n.inputs[i].shape()); },
    .jvp =
        [](const Call& n, const Vars& v) {
          const Var minus_b = v[1] ? -aligned(n, v, 1) : Var();
          return filled(n, v, add_tangents(aligned(n, v, 0), minus_b));
        }};
const Op mul_row = {
    .name = "mul",
    .shape = broadcast_mul,
    .forward = binary<Binary::mul>,
    .vjp = [](const Call& n, int i, const Var& w) { return unbroadcast(w * n.inputs[1 - i], n.inputs[i].shape()); },
    .jvp =
        [](const Call& n, const Vars& v) {
          return add_tangents(v[0] ? aligned(n, v, 0) * n.inputs[1] : Var(),
                              v[1] ? n.inputs[0] * aligned(n, v, 1) : Var());
        }};
const Op div_row = {.name = "div",
                    .shape = broadcast_div,
                    .forward = binary<Binary::div>,
                    .vjp =
                        [](const Call& n, int i, const Var& w) {
                          const Var q = w / n.inputs[1];
                          return unbroadcast(i == 0 ? q : -(q * n.output), n.inputs[i].shape());
                        },
                    .jvp =
                        [](const Call& n, const Vars& v) {
                          return add_tangents(v[0] ? aligned(n, v, 0) / n.inputs[1] : Var(),
                                              v[1] ? -(n.output * aligned(n, v, 1)) / n.inputs[1] : Var());
                        }};

}  // namespace

std::vector<const Op*> elementwise_rows() {
  return {&neg_row,   &sin_row,  &cos_row,  &exp_row, &sqrt_row, &square_row,         &sigmoid_row, &silu_row,
          &tanh_row,  &relu_row, &gelu_row, &erf_row, &log_row,  &softplus_row,       &pow_row,     &abs_row,
          &scale_row, &add_row,  &sub_row,  &mul_row, &div_row,  &silu_derivative_row};
}

Shape leading(const Vars& tangents, Inputs primals) {
  Shape most;
  for (std::size_t i = 0; i < tangents.size(); ++i) {
    if (!tangents[i]) continue;
    const Shape own = leading(tangents[i], primals[i]);
    if (own.rank() > most.rank()) most = own;
  }
  return most;
}

Var align(const Var& tangent, const Var& primal, int rank) {
  const Shape lead = leading(tangent, primal);
  if (lead.rank() == 0 || primal.shape().rank() >= rank) return tangent;
  Shape shape = primal.shape();
  while (shape.rank() < rank) shape = shape.prepend({1});
  return reshape(tangent, shape.prepend(lead));
}

Var aligned(const Call& n, const Vars& v, int i) {
  return v[i] ? align(v[i], n.inputs[i], n.output.shape().rank()) : Var();
}

Var filled(const Call& n, const Vars& v, const Var& tangent) {
  const Shape full = n.output.shape().prepend(leading(v, n.inputs));
  return tangent.shape() == full ? tangent : expand(tangent, full);
}

Var unbroadcast(const Var& x, const Shape& shape) { return x.shape() == shape ? x : sum_to(x, shape); }

Var add_tangents(const Var& a, const Var& b) { return a && b ? a + b : (a ? a : b); }

Var operator+(const Var& a, const Var& b) { return evaluate(row(add_row), {a, b}); }
Var operator-(const Var& a, const Var& b) { return evaluate(row(sub_row), {a, b}); }
Var operator*(const Var& a, const Var& b) { return evaluate(row(mul_row), {a, b}); }
Var product_as(const char* who, const Var& a, const Var& b) { return evaluate(row(mul_row), {a, b}, {.as = who}); }
Var operator/(const Var& a, const Var& b) { return evaluate(row(div_row), {a, b}); }
Var neg(const Var& x) { return evaluate(row(neg_row), {x}); }
Var sin(const Var& x) { return evaluate(row(sin_row), {x}); }
Var cos(const Var& x) { return evaluate(row(cos_row), {x}); }
Var exp(const Var& x) { return evaluate(row(exp_row), {x}); }
Var sqrt(const Var& x) { return evaluate(row(sqrt_row), {x}); }
Var square(const Var& x) { return evaluate(row(square_row), {x}); }
Var sigmoid(const Var& x) { return evaluate(row(sigmoid_row), {x}); }
Var silu(const Var& x) { return evaluate(row(silu_row), {x}); }
Var silu_derivative(const Var& x) { return evaluate(row(silu_derivative_row), {x}); }
Var tanh(const Var& x) { return evaluate(row(tanh_row), {x}); }
Var relu(const Var& x) { return evaluate(row(relu_row), {x}); }
Var gelu(const Var& x) { return evaluate(row(gelu_row), {x}); }
Var erf(const Var& x) { return evaluate(row(erf_row), {x}); }
Var softplus(const Var& x) { return evaluate(row(softplus_row), {x}); }
Var log(const Var& x) { return evaluate(row(log_row), {x}); }
Var pow(const Var& x, double p) { return evaluate(row(pow_row), {x}, {.alpha = p}); }
Var abs(const Var& x) { return evaluate(row(abs_row), {x}); }
Var pow(double base, const Var& x) {
  if (!(base > 0)) throw Error(fmt::format("[pow] base {} of a variable exponent is not above 0", base));
  return exp(std::log(base) * x);
}
Var scale(const Var& x, double alpha, double beta) { return scale_as("scale", x, alpha, beta); }
Var scale_as(const char* who, const Var& x, double alpha, double beta) {
  return evaluate(row(scale_row), {x}, {.alpha = alpha, .beta = beta, .as = who});
}
Var operator/(const Var& x, double alpha) { return x / constant(alpha, {}, x); }
Var operator/(double alpha, const Var& x) { return constant(alpha, {}, x) / x; }

}  // namespace levda::autodiff
