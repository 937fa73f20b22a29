/// Sums and repetitions, each the adjoint of the other.

#include <fmt/format.h>

#include "autodiff/error.h"
#include "autodiff/ops/rows.h"

namespace levda::autodiff {

namespace {

const Op sum_to_row = {
    .name = "sum_to",
    .shape =
        [](Inputs x, const Attributes& a) {
          if (!broadcasts_to(a.shape, x[0].shape()))
            throw Error(fmt::format("[sum_to] {} to {}", x[0].shape().text(), a.shape.text()));
          return a.shape;
        },
    .forward = [](Backend& backend, Inputs x, Attributes&, Tensor& y) { backend.sum_to(x[0].value(), y); },
    .vjp = [](const Call& n, int, const Var& w) { return expand(w, n.inputs[0].shape()); },
    .jvp =
        [](const Call& n, const Vars& v) {
          const Shape lead = leading(v[0], n.inputs[0]);
          Shape kept = n.attributes.shape;  // with the missing axes as ones, so that the leading ones stay apart
          while (kept.rank() < n.inputs[0].shape().rank()) kept = kept.prepend({1});
          return reshape(sum_to(v[0], kept.prepend(lead)), n.attributes.shape.prepend(lead));
        }};

const Op expand_row = {.name = "expand",
                       .shape =
                           [](Inputs x, const Attributes& a) {
                             if (!broadcasts_to(x[0].shape(), a.shape))
                               throw Error(fmt::format("[expand] {} to {}", x[0].shape().text(), a.shape.text()));
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
                             return expand(align(v[0], n.inputs[0], n.attributes.shape.rank()),
                                           n.attributes.shape.prepend(lead));
                           }};

}  // namespace

std::vector<const Op*> sum_rows() { return {&sum_to_row, &expand_row}; }

Var sum_to(const Var& x, const Shape& shape) { return evaluate(row(sum_to_row), {x}, {.shape = shape}); }
Var sum(const Var& x) { return sum_to(x, {}); }
Var dot(const Var& a, const Var& b) { return sum(a * b); }
Var expand(const Var& x, const Shape& shape) { return evaluate(row(expand_row), {x}, {.shape = shape}); }

}  // namespace levda::autodiff
