#pragma once

/// Operations. Each is one row, an Op: its name, shape rule, forward computation and two derivative rules. The rows are
/// in ops/; the functions below are what one writes formulas with.
///
/// The derivative rules are written with these same public functions. So they work on every backend, and when their
/// arguments are on a tape they are recorded and can be differentiated again. The jvp rule is written by hand, not
/// derived from the vjp rule: then <w, J v> = <J' w, v> is a test of both.

#include <functional>
#include <span>

#include "autodiff/tape.h"

namespace levda::autodiff {

using Inputs = std::span<const Var>;
/// Negative ones count from the end.
using Axes = std::vector<int>;

/// One application of an operation, as its derivative rules see it.
struct Call {
  const Attributes& attributes;
  Inputs inputs;
  const Var& output;
};

struct Op {
  const char* name;
  /// Shape of the result. Throws Error that begins with "[name]" when the inputs do not fit.
  std::function<Shape(Inputs, const Attributes&)> shape;
  std::function<void(Backend&, Inputs, Attributes&, Tensor& y)> forward;
  /// J_i' w: the cotangent of input i, in its shape, from w, the cotangent of the output.
  std::function<Var(const Call&, int i, const Var& w)> vjp;
  /// J v: the tangent of the output from those of the inputs (empty: zero; at least one is not). Tangents may have
  /// extra leading axes, equal among those that have them: that many directions are carried at once.
  std::function<Var(const Call&, const Vars& v)> jvp;
  /// In place of vjp where the cotangents come all at once: adds that of input wanted[k] to sums[k], what the input has
  /// received so far (empty: nothing).
  std::function<void(const Call&, const std::vector<int>& wanted, const Var& w, Vars& sums)> vjp_all = {};
};

/// Checks, computes, and records if an input is tracked. Throws Error when inputs are on different tapes, or differ in
/// type or device, and NonFiniteError under the tape's guard.
Var evaluate(const std::shared_ptr<const Op>& op, Vars inputs, Attributes attributes = {});

/// All rows.
std::vector<const Op*> operations();

// Elementwise; operands broadcast as in NumPy. Where IEEE arithmetic has a NaN or an infinity, so have values and
// derivatives; what a derivative is at an edge stands with the function.
Var operator+(const Var& a, const Var& b);
Var operator-(const Var& a, const Var& b);
Var operator*(const Var& a, const Var& b);
/// 0 / 0 is NaN, and so are its derivatives.
Var operator/(const Var& a, const Var& b);
Var neg(const Var& x);
Var sin(const Var& x);
Var cos(const Var& x);
Var exp(const Var& x);
/// Derivative at 0: infinity.
Var sqrt(const Var& x);
Var square(const Var& x);
/// Natural logarithm. At 0: -infinity, derivative infinity.
Var log(const Var& x);
/// x^p for a constant p. Derivative p x^(p-1), also at 0: infinity for p = 1/2, 1 for p = 1; for p = 0 it is 0
/// everywhere, and pow(0, 0) = 1.
Var pow(const Var& x, double p);
/// Derivative sign(x): 0 at 0.
Var abs(const Var& x);
/// -1, 0 or 1. Derivative 0.
Var sign(const Var& x);
/// 1 / (1 + exp(-x)).
Var sigmoid(const Var& x);
/// x sigmoid(x).
Var silu(const Var& x);
/// d silu(x) / dx.
Var silu_derivative(const Var& x);
Var tanh(const Var& x);
/// max(x, 0). Derivative at 0: 0.
Var relu(const Var& x);
/// x P(x) with the standard normal distribution function P, exactly.
Var gelu(const Var& x);
Var erf(const Var& x);
/// log(1 + exp(x)), of any x without overflow.
Var softplus(const Var& x);
/// The greater and the lesser of two. Where they are equal each has half the derivative.
Var maximum(const Var& a, const Var& b);
Var minimum(const Var& a, const Var& b);
/// 1 where a > b, else 0: a mask. Derivative 0.
Var greater(const Var& a, const Var& b);
/// a where the mask is not 0, else b. The mask counts as a constant. A selection: what is not taken, a NaN too, does
/// not matter, and its cotangent is 0. (But 0 times an infinite slope further up is NaN: guard the argument there.)
Var where(const Var& mask, const Var& a, const Var& b);
/// alpha x + beta.
Var scale(const Var& x, double alpha, double beta = 0);

inline Var operator-(const Var& x) { return neg(x); }
inline Var operator*(double alpha, const Var& x) { return scale(x, alpha); }
inline Var operator*(const Var& x, double alpha) { return scale(x, alpha); }
inline Var operator+(const Var& x, double beta) { return scale(x, 1, beta); }
inline Var operator+(double beta, const Var& x) { return scale(x, 1, beta); }
inline Var operator-(const Var& x, double beta) { return scale(x, 1, -beta); }
inline Var operator-(double beta, const Var& x) { return scale(x, -1, beta); }

/// Product over the last two axes, leading axes broadcast; either side transposed. Both of rank >= 2.
Var matmul(const Var& a, const Var& b, bool transpose_a = false, bool transpose_b = false);
/// The solution y of a y = b, or of a' y = b: a (.., n, n), b (.., n, m), leading axes broadcast. By LU factors with
/// row exchanges; throws Error that begins with "[solve] singular" when a pivot is exactly 0.
Var solve(const Var& a, const Var& b, bool transpose_a = false);
/// The lower triangular L with L L' = (a + a') / 2, for a (.., n, n). Throws Error that begins with
/// "[cholesky] not positive definite".
Var cholesky(const Var& a);
/// x W + b: x (.., in) of rank >= 2, W (in, out), b (out).
Var linear(const Var& x, const Var& weight, const Var& bias);
/// silu(x W + b), the hidden layer of our networks, as one operation.
Var linear_silu(const Var& x, const Var& weight, const Var& bias);

/// Sum over the axes that `shape`, which broadcasts to x's, has as 1 or lacks.
Var sum_to(const Var& x, const Shape& shape);
/// Sum of all elements, a scalar.
Var sum(const Var& x);
/// Sum over some axes, which stay with extent 1 (keep) or go. Throws Error when an axis is given twice.
Var sum(const Var& x, const Axes& axes, bool keep = false);
/// Mean of all elements, a scalar, or over some axes; NaN where there are none.
Var mean(const Var& x);
Var mean(const Var& x, const Axes& axes, bool keep = false);
/// log of the sum of exp(x) over some axes, without overflow. Where all x are -infinity, or there are none, it is
/// -infinity; an x of -infinity has derivative 0.
Var logsumexp(const Var& x, const Axes& axes, bool keep = false);
/// Sum of the products of two equal shapes, a scalar.
Var dot(const Var& a, const Var& b);
/// Repetition to a shape that x broadcasts to.
Var expand(const Var& x, const Shape& shape);

Var reshape(const Var& x, const Shape& shape);
/// All of the same shape except along the axis.
Var concat(const Vars& parts, int axis);
/// Equal shapes along a new axis at that position of the result.
Var stack(const Vars& parts, int axis);
/// Axis i of the result is axis permutation[i] of x.
Var transpose(const Var& x, const Axes& permutation);
/// Exchange of the last two axes.
Var transpose(const Var& x);
/// Part [begin, begin + extent) of an axis.
Var slice(const Var& x, int axis, std::int64_t begin, std::int64_t extent);
/// x as part [begin, begin + its extent) of an axis of the given extent, zeros around it: the adjoint of slice.
Var pad(const Var& x, int axis, std::int64_t begin, std::int64_t extent);
/// The elements index[k] of an axis, in that order; index from Tensor::indices.
Var gather(const Var& x, int axis, const Tensor& index);
/// Element k is added to element index[k] of an axis of the given extent: the adjoint of gather.
Var scatter_add(const Var& x, int axis, const Tensor& index, std::int64_t extent);

}  // namespace levda::autodiff
