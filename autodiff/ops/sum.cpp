/// Sums and repetitions, each the adjoint of the other.

#include <fmt/format.h>

#include <limits>

#include "autodiff/error.h"
#include "autodiff/ops/rows.h"

namespace levda::autodiff {

namespace {

const Op sum_to_row = {
    .name = "sum_to",
    .shape =
        [](Inputs x, const Attributes& a) {
          if (!broadcasts_to(a.shape, x[0].shape()))
            throw Error(fmt::format("[sum_to] cannot sum {} to {}", x[0].shape().text(), a.shape.text()));
          return a.shape;
        },
    .forward = [](Backend& backend, Inputs x, Attributes&, Tensor& y) { backend.sum_to(x[0].value(), y); },
    .vjp = [](const Call& n, int, const Var& w) { return expand(w, n.inputs[0].shape()); },
    .jvp =
        [](const Call& n, const Vars& v) {
          const Shape lead = leading(v[0], n.inputs[0]);
          Shape kept = n.attributes.shape;  // missing axes become ones, so that the leading axes stay separate
          while (kept.rank() < n.inputs[0].shape().rank()) kept = kept.prepend({1});
          return reshape(sum_to(v[0], kept.prepend(lead)), n.attributes.shape.prepend(lead));
        }};

const Op expand_row = {
    .name = "expand",
    .shape =
        [](Inputs x, const Attributes& a) {
          if (!broadcasts_to(x[0].shape(), a.shape))
            throw Error(fmt::format("[expand] cannot repeat {} to {}", x[0].shape().text(), a.shape.text()));
          return a.shape;
        },
    .forward =
        [](Backend& backend, Inputs x, Attributes& a, Tensor& y) {
          Strided from;
          Strided to;
          std::int64_t step_x = 1;
          std::int64_t step_y = 1;
          for (int axis = 1; axis <= a.shape.rank(); ++axis) {
            const int position = a.shape.rank() - axis;
            to.strides[position] = step_y;
            step_y *= a.shape[-axis];
            if (axis > x[0].shape().rank()) continue;
            from.strides[position] = x[0].shape()[-axis] == 1 ? 0 : step_x;
            step_x *= x[0].shape()[-axis];
          }
          backend.copy(a.shape, x[0].value(), from, y, to);
        },
    .vjp = [](const Call& n, int, const Var& w) { return sum_to(w, n.inputs[0].shape()); },
    .jvp =
        [](const Call& n, const Vars& v) {
          const Shape lead = leading(v[0], n.inputs[0]);
          return expand(align(v[0], n.inputs[0], n.attributes.shape.rank()), n.attributes.shape.prepend(lead));
        }};

double greatest_finite(DType dtype) {
  return dtype == DType::float32 ? static_cast<double>(std::numeric_limits<float>::max())
                                 : std::numeric_limits<double>::max();
}

/// The greatest element over the axes that `shape` lacks, a constant, and the same with 0 in place of infinities.
struct Most {
  Var value;
  Var infinite;
  Var shift;
  Most(const Var& x, const Shape& shape) {
    Tensor most = Tensor::empty(shape, x.dtype(), x.value().backend());
    most.backend().max_to(x.value(), most);
    value = most;
    infinite = greater(abs(value), constant(greatest_finite(x.dtype()), {}, x));
    shift = where(infinite, constant(0, {}, x), value);
  }
};

/// The weights of the elements x in their logsumexp; exactly 0 where x is -infinity. They are exp(x - m) over the sum
/// of these, with the greatest element m, and not exp(x - y): the result y has the round-off of a number of the size of
/// x, so that the weights would not sum to 1.
Var weights(const Call& n) {
  const Var& x = n.inputs[0];
  const Var least = constant(-greatest_finite(x.dtype()), {}, x);
  const Most most(x, n.output.shape());
  const Var e = exp(x - most.shift);
  const Var total = sum_to(e, n.output.shape());
  const Var divisor = where(greater(least, most.value), constant(1, {}, x), total);
  return where(greater(least, x.detach()), constant(0, {}, x), e / divisor);
}

/// The result has the rank of x.
const Op logsumexp_row = {.name = "logsumexp",
                          .shape = [](Inputs, const Attributes& a) { return a.shape; },
                          .forward =
                              [](Backend&, Inputs in, Attributes&, Tensor& y) {
                                // No shift by an infinity, and no round-off in a sum without elements.
                                const Var x = in[0].detach();
                                const Most most(x, y.shape());
                                const Var sums = log(sum_to(exp(x - most.shift), y.shape())) + most.shift;
                                y = where(most.infinite, most.value, sums).value();
                              },
                          .vjp = [](const Call& n, int, const Var& w) { return w * weights(n); },
                          .jvp =
                              [](const Call& n, const Vars& v) {
                                const Shape lead = leading(v[0], n.inputs[0]);
                                return sum_to(v[0] * weights(n), n.output.shape().prepend(lead));
                              }};

/// The shape with some axes of extent 1, and without them.
struct Reduced {
  Shape kept;
  Shape dropped;
};
Reduced reduced(const char* op, const Shape& x, const Axes& axes) {
  std::array<bool, Shape::max_rank> gone{};
  for (const int axis : axes) {
    bool& mark = gone[x.position(axis)];
    if (mark) throw Error(fmt::format("[{}] axis {} of {} is given twice", op, axis, x.text()));
    mark = true;
  }
  Reduced result;
  for (int axis = 0; axis < x.rank(); ++axis) {
    const Shape extent = x.part(axis, axis + 1);
    result.kept = (gone[axis] ? Shape({1}) : extent).prepend(result.kept);
    if (!gone[axis]) result.dropped = extent.prepend(result.dropped);
  }
  return result;
}

}  // namespace

std::vector<const Op*> sum_rows() { return {&sum_to_row, &expand_row, &logsumexp_row}; }

Var sum_to(const Var& x, const Shape& shape) { return evaluate(row(sum_to_row), {x}, {.shape = shape}); }

namespace {

Var sum_as(const char* who, const Var& x, const Axes& axes, bool keep) {
  const Reduced shape = reduced(who, x.shape(), axes);
  const Var y = evaluate(row(sum_to_row), {x}, {.shape = shape.kept, .as = who});
  return keep ? y : reshape(y, shape.dropped);
}

Var divided(const Var& total, double count) { return scale_as("mean", total, 1 / count); }

}  // namespace

Var sum(const Var& x) { return evaluate(row(sum_to_row), {x}, {.as = "sum"}); }
Var sum(const Var& x, const Axes& axes, bool keep) { return sum_as("sum", x, axes, keep); }
Var mean(const Var& x) {
  return divided(evaluate(row(sum_to_row), {x}, {.as = "mean"}), static_cast<double>(x.shape().size()));
}
Var mean(const Var& x, const Axes& axes, bool keep) {
  double count = 1;
  for (const int axis : axes) count *= static_cast<double>(x.shape()[axis]);
  return divided(sum_as("mean", x, axes, keep), count);
}
Var logsumexp(const Var& x, const Axes& axes, bool keep) {
  const Reduced shape = reduced("logsumexp", x.shape(), axes);
  const Var y = evaluate(row(logsumexp_row), {x}, {.shape = shape.kept});
  return keep ? y : reshape(y, shape.dropped);
}
Var dot(const Var& a, const Var& b) { return evaluate(row(sum_to_row), {product_as("dot", a, b)}, {.as = "dot"}); }
Var expand(const Var& x, const Shape& shape) { return evaluate(row(expand_row), {x}, {.shape = shape}); }

}  // namespace levda::autodiff
