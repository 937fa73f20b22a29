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
};

/// Checks, computes, and records if an input is tracked. Throws Error when inputs are on different tapes, or differ in
/// type or device.
Var evaluate(const std::shared_ptr<const Op>& op, Vars inputs, Attributes attributes = {});

/// All rows.
std::vector<const Op*> operations();

// Elementwise; operands broadcast as in NumPy.
Var operator+(const Var& a, const Var& b);
Var operator-(const Var& a, const Var& b);
Var operator*(const Var& a, const Var& b);
Var operator/(const Var& a, const Var& b);
Var neg(const Var& x);
Var sin(const Var& x);
Var cos(const Var& x);
Var exp(const Var& x);
Var sqrt(const Var& x);
Var square(const Var& x);
/// 1 / (1 + exp(-x)).
Var sigmoid(const Var& x);
/// x sigmoid(x).
Var silu(const Var& x);
/// d silu(x) / dx.
Var silu_derivative(const Var& x);
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
/// x W + b: x (.., in) of rank >= 2, W (in, out), b (out).
Var linear(const Var& x, const Var& weight, const Var& bias);

/// Sum over the axes that `shape`, which broadcasts to x's, has as 1 or lacks.
Var sum_to(const Var& x, const Shape& shape);
/// Sum of all elements, a scalar.
Var sum(const Var& x);
/// Sum of the products of two equal shapes, a scalar.
Var dot(const Var& a, const Var& b);
/// Repetition to a shape that x broadcasts to.
Var expand(const Var& x, const Shape& shape);

Var reshape(const Var& x, const Shape& shape);
/// All of the same shape except along the axis.
Var concat(const Vars& parts, int axis);
/// Part [begin, begin + extent) of an axis.
Var slice(const Var& x, int axis, std::int64_t begin, std::int64_t extent);
/// x as part [begin, begin + its extent) of an axis of the given extent, zeros around it: the adjoint of slice.
Var pad(const Var& x, int axis, std::int64_t begin, std::int64_t extent);
/// The elements index[k] of an axis, in that order; index from Tensor::indices.
Var gather(const Var& x, int axis, const Tensor& index);
/// Element k is added to element index[k] of an axis of the given extent: the adjoint of gather.
Var scatter_add(const Var& x, int axis, const Tensor& index, std::int64_t extent);

}  // namespace levda::autodiff
