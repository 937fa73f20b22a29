/// Operations that move elements and compute nothing.

#include <fmt/format.h>

#include "autodiff/error.h"
#include "autodiff/ops/rows.h"

namespace levda::autodiff {

namespace {

/// Row-major strides.
Strided walk_of(const Shape& shape, std::int64_t offset = 0) {
  Strided walk{.offset = offset};
  std::int64_t stride = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    walk.strides[axis] = stride;
    stride *= shape[axis];
  }
  return walk;
}

/// Elements between neighbours along an axis.
std::int64_t stride_of(const Shape& shape, int axis) { return shape.size(shape.position(axis) + 1, shape.rank()); }

void check_part(const char* op, const Shape& whole, const Attributes& a, std::int64_t extent) {
  if (a.begin < 0 || extent < 0 || extent > whole[a.axis] || a.begin > whole[a.axis] - extent)
    throw Error(fmt::format("[{}] {} elements from {} on are outside axis {} of {}", op, extent, a.begin, a.axis,
                            whole.text()));
}

void check_index(const char* op, const Var& x, const Tensor& index) {
  if (!index || index.dtype() != DType::int64 || index.shape().rank() != 1)
    throw Error(fmt::format("[{}] the index must be a list of int64", op));
  if (&index.backend() != &x.value().backend())
    throw Error(fmt::format("[{}] the index is on device {}, the input on {}", op, name(index.device()),
                            name(x.value().device())));
}

const Op reshape_row = {
    .name = "reshape",
    .shape =
        [](Inputs x, const Attributes& a) {
          if (x[0].shape().size() != a.shape.size())
            throw Error(fmt::format("[reshape] cannot reshape {} to {}", x[0].shape().text(), a.shape.text()));
          return a.shape;
        },
    .forward = [](Backend&, Inputs x, Attributes& a, Tensor& y) { y = x[0].value().reshaped(a.shape); },
    .vjp = [](const Call& n, int, const Var& w) { return reshape(w, n.inputs[0].shape()); },
    .jvp = [](const Call& n,
              const Vars& v) { return reshape(v[0], n.attributes.shape.prepend(leading(v[0], n.inputs[0]))); }};

const Op concat_row = {.name = "concat",
                       .shape =
                           [](Inputs x, const Attributes& a) {
                             std::int64_t extent = 0;
                             for (const Var& part : x) {
                               if (part.shape().rank() != x[0].shape().rank() ||
                                   !(part.shape().with(a.axis, 0) == x[0].shape().with(a.axis, 0)))
                                 throw Error(fmt::format("[concat] cannot join {} and {} along axis {}",
                                                         x[0].shape().text(), part.shape().text(), a.axis));
                               extent += part.shape()[a.axis];
                             }
                             return x[0].shape().with(a.axis, extent);
                           },
                       .forward =
                           [](Backend& backend, Inputs x, Attributes& a, Tensor& y) {
                             std::int64_t begin = 0;
                             for (const Var& part : x) {
                               backend.copy(part.shape(), part.value(), walk_of(part.shape()), y,
                                            walk_of(y.shape(), begin * stride_of(y.shape(), a.axis)));
                               begin += part.shape()[a.axis];
                             }
                           },
                       .vjp =
                           [](const Call& n, int i, const Var& w) {
                             std::int64_t begin = 0;
                             for (int part = 0; part < i; ++part) begin += n.inputs[part].shape()[n.attributes.axis];
                             return slice(w, n.attributes.axis, begin, n.inputs[i].shape()[n.attributes.axis]);
                           },
                       .jvp =
                           [](const Call& n, const Vars& v) {
                             const Shape lead = leading(v, n.inputs);
                             Vars parts;
                             for (std::size_t i = 0; i < v.size(); ++i) {
                               const Tensor& x = n.inputs[i].value();
                               const Shape full = x.shape().prepend(lead);
                               if (!v[i])
                                 parts.emplace_back(Tensor::zeros(full, x.dtype(), x.backend()));
                               else
                                 parts.push_back(v[i].shape() == full ? v[i] : expand(v[i], full));
                             }
                             return concat(parts, n.attributes.axis);
                           }};

const Op slice_row = {
    .name = "slice",
    .shape =
        [](Inputs x, const Attributes& a) {
          check_part("slice", x[0].shape(), a, a.extent);
          return x[0].shape().with(a.axis, a.extent);
        },
    .forward =
        [](Backend& backend, Inputs x, Attributes& a, Tensor& y) {
          const Shape& whole = x[0].shape();
          backend.copy(y.shape(), x[0].value(), walk_of(whole, a.begin * stride_of(whole, a.axis)), y,
                       walk_of(y.shape()));
        },
    .vjp =
        [](const Call& n, int, const Var& w) {
          return pad(w, n.attributes.axis, n.attributes.begin, n.inputs[0].shape()[n.attributes.axis]);
        },
    .jvp = [](const Call& n,
              const Vars& v) { return slice(v[0], n.attributes.axis, n.attributes.begin, n.attributes.extent); }};

const Op pad_row = {
    .name = "pad",
    .shape =
        [](Inputs x, const Attributes& a) {
          const Shape whole = x[0].shape().with(a.axis, a.extent);
          check_part("pad", whole, a, x[0].shape()[a.axis]);
          return whole;
        },
    .forward =
        [](Backend& backend, Inputs x, Attributes& a, Tensor& y) {
          const Shape& part = x[0].shape();
          backend.fill(y, 0);
          backend.copy(part, x[0].value(), walk_of(part), y,
                       walk_of(y.shape(), a.begin * stride_of(y.shape(), a.axis)));
        },
    .vjp =
        [](const Call& n, int, const Var& w) {
          return slice(w, n.attributes.axis, n.attributes.begin, n.inputs[0].shape()[n.attributes.axis]);
        },
    .jvp = [](const Call& n,
              const Vars& v) { return pad(v[0], n.attributes.axis, n.attributes.begin, n.attributes.extent); }};

const Op gather_row = {
    .name = "gather",
    .shape =
        [](Inputs x, const Attributes& a) {
          check_index("gather", x[0], a.index);
          return x[0].shape().with(a.axis, a.index.size());
        },
    .forward = [](Backend& backend, Inputs x, Attributes& a,
                  Tensor& y) { backend.gather(x[0].value(), a.index, a.axis, y); },
    .vjp =
        [](const Call& n, int, const Var& w) {
          return scatter_add(w, n.attributes.axis, n.attributes.index, n.inputs[0].shape()[n.attributes.axis]);
        },
    .jvp = [](const Call& n, const Vars& v) { return gather(v[0], n.attributes.axis, n.attributes.index); }};

const Op scatter_add_row = {
    .name = "scatter_add",
    .shape =
        [](Inputs x, const Attributes& a) {
          check_index("scatter_add", x[0], a.index);
          if (x[0].shape()[a.axis] != a.index.size())
            throw Error(
                fmt::format("[scatter_add] {} indices for axis {} of {}", a.index.size(), a.axis, x[0].shape().text()));
          return x[0].shape().with(a.axis, a.extent);
        },
    .forward = [](Backend& backend, Inputs x, Attributes& a,
                  Tensor& y) { backend.scatter_add(x[0].value(), a.index, a.axis, y); },
    .vjp = [](const Call& n, int, const Var& w) { return gather(w, n.attributes.axis, n.attributes.index); },
    .jvp = [](const Call& n,
              const Vars& v) { return scatter_add(v[0], n.attributes.axis, n.attributes.index, n.attributes.extent); }};

const Op transpose_row = {.name = "transpose",
                          .shape =
                              [](Inputs x, const Attributes& a) {
                                Shape shape = x[0].shape();
                                for (int i = 0; i < shape.rank(); ++i)
                                  shape = shape.with(i, x[0].shape()[a.permutation[i]]);
                                return shape;
                              },
                          .forward =
                              [](Backend& backend, Inputs x, Attributes& a, Tensor& y) {
                                const Strided all = walk_of(x[0].shape());
                                Strided from;
                                for (int i = 0; i < y.shape().rank(); ++i)
                                  from.strides[i] = all.strides[a.permutation[i]];
                                backend.copy(y.shape(), x[0].value(), from, y, walk_of(y.shape()));
                              },
                          .vjp =
                              [](const Call& n, int, const Var& w) {
                                Axes inverse(w.shape().rank());
                                for (int i = 0; i < w.shape().rank(); ++i) inverse[n.attributes.permutation[i]] = i;
                                return transpose(w, inverse);
                              },
                          .jvp =
                              [](const Call& n, const Vars& v) {
                                const int lead = leading(v[0], n.inputs[0]).rank();
                                Axes whole;
                                for (int i = 0; i < lead; ++i) whole.push_back(i);
                                for (int i = 0; i < n.output.shape().rank(); ++i)
                                  whole.push_back(lead + n.attributes.permutation[i]);
                                return transpose(v[0], whole);
                              }};

/// The axis counted from the end, for the rules.
int from_end(const Var& x, int axis) { return x.shape().position(axis) - x.shape().rank(); }

}  // namespace

std::vector<const Op*> layout_rows() {
  return {&reshape_row, &concat_row, &slice_row, &pad_row, &gather_row, &scatter_add_row, &transpose_row};
}

Var reshape(const Var& x, const Shape& shape) { return evaluate(row(reshape_row), {x}, {.shape = shape}); }
Var reshape(const Var& x, std::initializer_list<std::int64_t> extents) {
  return reshape(x, resolved("reshape", x.shape().size(), extents));
}
Var concat(const Vars& parts, int axis) {
  if (parts.empty()) throw Error("[concat] nothing to join");
  return evaluate(row(concat_row), parts, {.axis = from_end(parts[0], axis)});
}
Var stack(const Vars& parts, int axis) {
  if (parts.empty()) throw Error("[stack] nothing to join");
  const Shape& shape = parts[0].shape();
  const int position = shape.prepend({1}).position(axis);
  const Shape one = shape.part(position, shape.rank()).prepend({1}).prepend(shape.part(0, position));
  Vars layers;
  for (const Var& part : parts) {
    if (!(part.shape() == shape))
      throw Error(fmt::format("[stack] cannot stack {} and {}", shape.text(), part.shape().text()));
    layers.push_back(reshape(part, one));
  }
  return concat(layers, position);
}
Var transpose(const Var& x, const Axes& permutation) {
  const int rank = x.shape().rank();
  const auto fail = [&] {
    throw Error(fmt::format("[transpose] axes ({}) are not a permutation for {}", fmt::join(permutation, ", "),
                            x.shape().text()));
  };
  if (static_cast<int>(permutation.size()) != rank) fail();
  Attributes attributes;
  std::array<bool, Shape::max_rank> used{};
  for (int i = 0; i < rank; ++i) {
    const int axis = x.shape().position(permutation[i]);
    if (used[axis]) fail();
    used[axis] = true;
    attributes.permutation[i] = static_cast<std::int8_t>(axis);
  }
  return evaluate(row(transpose_row), {x}, std::move(attributes));
}
Var transpose(const Var& x) {
  const int rank = x.shape().rank();
  if (rank < 2) throw Error(fmt::format("[transpose] shape {} does not have two axes", x.shape().text()));
  Axes permutation;
  for (int axis = 0; axis < rank - 2; ++axis) permutation.push_back(axis);
  permutation.push_back(rank - 1);
  permutation.push_back(rank - 2);
  return transpose(x, permutation);
}
Var slice(const Var& x, int axis, std::int64_t begin, std::int64_t extent) {
  return evaluate(row(slice_row), {x}, {.axis = from_end(x, axis), .begin = begin, .extent = extent});
}
Var pad(const Var& x, int axis, std::int64_t begin, std::int64_t extent) {
  return evaluate(row(pad_row), {x}, {.axis = from_end(x, axis), .begin = begin, .extent = extent});
}
Var gather(const Var& x, int axis, const Tensor& index) {
  return evaluate(row(gather_row), {x}, {.axis = from_end(x, axis), .index = index});
}
Var scatter_add(const Var& x, int axis, const Tensor& index, std::int64_t extent) {
  return evaluate(row(scatter_add_row), {x}, {.axis = from_end(x, axis), .extent = extent, .index = index});
}

}  // namespace levda::autodiff
