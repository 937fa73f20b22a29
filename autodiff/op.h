#pragma once

/// Operations. Each operation is one row, an Op: its name, shape rule, forward computation and two derivative rules.
/// The rows are in ops/. Users write formulas with the functions below.
///
/// The derivative rules are written with these public functions. Therefore they work on every backend, and if their
/// arguments are on a tape, they are recorded and can be differentiated again. The jvp rule is written by hand and not
/// derived from the vjp rule, so that <w, J v> = <J' w, v> tests both.

#include <concepts>
#include <functional>
#include <span>

#include "autodiff/tape.h"

namespace levda::autodiff {

using Inputs = std::span<const Var>;
/// Axes of a shape; negative axes count from the end.
using Axes = std::vector<int>;

/// One application of an operation, for its derivative rules.
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
  /// J v: the tangent of the output from the tangents of the inputs. An empty tangent is zero; at least one is not
  /// empty. Tangents may have extra leading axes, the same for all that have them, to carry several directions at once.
  std::function<Var(const Call&, const Vars& v)> jvp;
  /// Replaces vjp where one computation gives all cotangents: adds the cotangent of input wanted[k] to sums[k], the sum
  /// that the input has received so far (empty: zero).
  std::function<void(const Call&, const std::vector<int>& wanted, const Var& w, Vars& sums)> vjp_all = {};
};

/// Checks the inputs, computes the output, and records the call if an input is tracked. Throws Error that begins with
/// "[name]" when an input has no value, is of int64, or is on a tape that no longer exists; when inputs are on
/// different tapes or differ in type or device; and NonFiniteError under the guard of the tape.
Var evaluate(const std::shared_ptr<const Op>& op, Vars inputs, Attributes attributes = {});

/// The rows of all operations.
std::vector<const Op*> operations();

// Elementwise operations. Operands broadcast as in NumPy. Values and derivatives are NaN or infinite where IEEE
// arithmetic is; denormal numbers count. Functions of one variable have their limits at +-infinity (silu(-infinity) and
// its derivatives are 0), and on the CPU are off by at most 4 units in the last place over the whole range of their
// type. Where a derivative does not exist, the comment of the function says which number it returns.
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
/// base^x, for a number above 0.
Var pow(double base, const Var& x);
/// Derivative sign(x): 0 at 0.
Var abs(const Var& x);
/// -1, 0 or 1. Derivative 0.
Var sign(const Var& x);
/// 1 / (1 + exp(-x)).
Var sigmoid(const Var& x);
/// x sigmoid(x).
Var silu(const Var& x);
/// d silu(x) / dx. For x < 0 its two terms cancel; the units are those of the larger one.
Var silu_derivative(const Var& x);
Var tanh(const Var& x);
/// max(x, 0). Derivative at 0: 0.
Var relu(const Var& x);
/// x P(x) with the standard normal distribution function P, not an approximation of it. The derivative is off by some
/// units in the last place of 1, and denormal values by some least denormal numbers.
Var gelu(const Var& x);
Var erf(const Var& x);
/// log(1 + exp(x)), without overflow for any x.
Var softplus(const Var& x);
/// The greater of two numbers. If they are equal, each gets half of the derivative.
Var maximum(const Var& a, const Var& b);
/// The smaller of two numbers. If they are equal, each gets half of the derivative.
Var minimum(const Var& a, const Var& b);
Var maximum(const Var& a, double b);
Var minimum(const Var& a, double b);
inline Var maximum(double a, const Var& b) { return maximum(b, a); }
inline Var minimum(double a, const Var& b) { return minimum(b, a); }
/// 1 where a > b, else 0: a mask. Derivative 0.
Var greater(const Var& a, const Var& b);
Var greater(const Var& a, double b);
Var greater(double a, const Var& b);
/// 1 where a < b, else 0.
inline Var less(const Var& a, const Var& b) { return greater(b, a); }
inline Var less(const Var& a, double b) { return greater(b, a); }
inline Var less(double a, const Var& b) { return greater(b, a); }
/// a where the mask is not 0, else b. The mask counts as a constant. An element that is not selected does not matter,
/// even if it is NaN, and its cotangent is 0. (But if that element was computed with an infinite slope, 0 times
/// infinity is NaN: select before that operation.)
Var where(const Var& mask, const Var& a, const Var& b);
Var where(const Var& mask, const Var& a, double b);
Var where(const Var& mask, double a, const Var& b);
/// alpha x + beta; by default beta is a zero that keeps the sign of a zero.
Var scale(const Var& x, double alpha, double beta = -0.0);

/// alpha / x.
Var operator/(double alpha, const Var& x);
Var operator/(const Var& x, double alpha);
inline Var operator-(const Var& x) { return neg(x); }
inline Var operator*(double alpha, const Var& x) { return scale(x, alpha); }
inline Var operator*(const Var& x, double alpha) { return scale(x, alpha); }
inline Var operator+(const Var& x, double beta) { return scale(x, 1, beta); }
inline Var operator+(double beta, const Var& x) { return scale(x, 1, beta); }
inline Var operator-(const Var& x, double beta) { return scale(x, 1, -beta); }
inline Var operator-(double beta, const Var& x) { return scale(x, -1, beta); }

/// Matrix product over the last two axes; leading axes broadcast. Each side can be transposed. Both of rank >= 2.
Var matmul(const Var& a, const Var& b, bool transpose_a = false, bool transpose_b = false);
/// The solution y of a y = b, or of a' y = b, by LU factors with row exchanges: a (.., n, n), b (.., n, m), leading
/// axes broadcast. Throws Error that begins with "[solve] singular" when a pivot is exactly 0.
Var solve(const Var& a, const Var& b, bool transpose_a = false);
/// The lower triangular L with L L' = (a + a') / 2, for a (.., n, n). Throws Error that begins with
/// "[cholesky] not positive definite".
Var cholesky(const Var& a);
/// x W + b: x (.., in) of rank >= 2, W (in, out), b (out).
Var linear(const Var& x, const Var& weight, const Var& bias);
/// silu(x W + b), a hidden layer of a network, as one operation.
Var linear_silu(const Var& x, const Var& weight, const Var& bias);

/// Sum over the axes in which `shape` has extent 1 or which it lacks. `shape` must broadcast to the shape of x. The
/// relative error grows with the logarithm of the number of terms only (Backend::sum_to); the same holds for all sums
/// below, for scatter_add and for tiled_sum.
Var sum_to(const Var& x, const Shape& shape);
/// Sum of all elements, a scalar.
Var sum(const Var& x);
/// Sum over some axes. They stay with extent 1 if keep is true, else they go. Throws Error when an axis is given twice.
Var sum(const Var& x, const Axes& axes, bool keep = false);
/// Mean of all elements, a scalar; NaN if there are none.
Var mean(const Var& x);
/// Mean over some axes; NaN if they have no elements. keep: as for sum.
Var mean(const Var& x, const Axes& axes, bool keep = false);
/// log of the sum of exp(x) over some axes, without overflow. It is -infinity if all x are -infinity or there are none.
/// The derivatives are positive and sum to 1, whatever the size of x; for an x of -infinity the derivative is 0.
Var logsumexp(const Var& x, const Axes& axes, bool keep = false);
/// The same over one axis.
template <std::same_as<int> Axis>
Var sum(const Var& x, Axis axis, bool keep = false) {
  return sum(x, Axes{axis}, keep);
}
template <std::same_as<int> Axis>
Var mean(const Var& x, Axis axis, bool keep = false) {
  return mean(x, Axes{axis}, keep);
}
template <std::same_as<int> Axis>
Var logsumexp(const Var& x, Axis axis, bool keep = false) {
  return logsumexp(x, Axes{axis}, keep);
}
/// Sum of the elementwise products, a scalar.
Var dot(const Var& a, const Var& b);
/// x repeated to a shape that it broadcasts to.
Var expand(const Var& x, const Shape& shape);

/// x with another shape; the elements and their order stay.
Var reshape(const Var& x, const Shape& shape);
/// The same; an extent of -1, which may stand once, becomes what the size of x leaves for it.
Var reshape(const Var& x, std::initializer_list<std::int64_t> extents);
/// The parts one after the other along an axis. Their other extents must be equal.
Var concat(const Vars& parts, int axis);
/// Parts of equal shapes along a new axis, at position `axis` of the result.
Var stack(const Vars& parts, int axis);
/// Axis i of the result is axis permutation[i] of x.
Var transpose(const Var& x, const Axes& permutation);
/// x with its last two axes exchanged.
Var transpose(const Var& x);
/// Part [begin, begin + extent) of an axis. Throws Error when it is not inside.
Var slice(const Var& x, int axis, std::int64_t begin, std::int64_t extent);
/// An array of zeros whose axis has the given extent, with x as its part from `begin` on: the adjoint of slice.
Var pad(const Var& x, int axis, std::int64_t begin, std::int64_t extent);
/// The elements index[0], index[1], .. of an axis. index: see Tensor::indices.
Var gather(const Var& x, int axis, const Tensor& index);
/// Zeros with an axis of the given extent, to whose element index[k] the element k of x is added, for all k: the
/// adjoint of gather.
Var scatter_add(const Var& x, int axis, const Tensor& index, std::int64_t extent);

}  // namespace levda::autodiff
