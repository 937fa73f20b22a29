#pragma once

/// Walks over several arrays at once, with broadcasting. Backends turn shapes into loops with them.

#include <array>
#include <cstdint>

#include "autodiff/shape.h"

namespace levda::autodiff {

/// Walk of several operands over the same extents with axes of extent 1 dropped and contiguous axes merged. The last
/// axis is the inner loop; its strides are 0 or 1 for broadcast operands.
template <int operands>
struct Walk {
  std::array<std::int64_t, Shape::max_rank> extents{};
  std::array<std::array<std::int64_t, Shape::max_rank>, operands> strides{};
  int rank = 0;

  Walk(const Shape& shape, const std::array<const std::int64_t*, operands>& from) {
    for (int axis = 0; axis < shape.rank(); ++axis) {
      if (shape[axis] == 1) continue;
      bool merge = rank > 0;
      for (int o = 0; merge && o < operands; ++o) merge = strides[o][rank - 1] == from[o][axis] * shape[axis];
      if (!merge) extents[rank++] = 1;
      extents[rank - 1] *= shape[axis];
      for (int o = 0; o < operands; ++o) strides[o][rank - 1] = from[o][axis];
    }
    if (rank == 0) extents[rank++] = 1;
  }

  /// f(offsets) for every inner loop, in row-major order.
  template <typename F>
  void for_each_row(F&& f) const {
    std::int64_t total = 1;
    for (int axis = 0; axis < rank; ++axis) total *= extents[axis];
    if (total == 0) return;
    std::array<std::int64_t, Shape::max_rank> index{};
    std::array<std::int64_t, operands> offset{};
    for (;;) {
      f(offset);
      int axis = rank - 2;
      for (; axis >= 0; --axis) {
        for (int o = 0; o < operands; ++o) offset[o] += strides[o][axis];
        if (++index[axis] < extents[axis]) break;
        for (int o = 0; o < operands; ++o) offset[o] -= strides[o][axis] * extents[axis];
        index[axis] = 0;
      }
      if (axis < 0) return;
    }
  }
  std::int64_t inner() const { return extents[rank - 1]; }
  std::int64_t inner_stride(int operand) const { return strides[operand][rank - 1]; }
};

/// Row-major strides of x seen with the axes of `over`; 0 where x is repeated.
inline std::array<std::int64_t, Shape::max_rank> broadcast_strides(const Shape& x, const Shape& over) {
  std::array<std::int64_t, Shape::max_rank> strides{};
  std::int64_t stride = 1;
  for (int axis = 1; axis <= x.rank(); ++axis) {
    strides[over.rank() - axis] = x[-axis] == 1 ? 0 : stride;
    stride *= x[-axis];
  }
  return strides;
}

/// The walk of operands of these shapes over a shape that they broadcast to.
template <typename... Operands>
Walk<sizeof...(Operands)> broadcast_walk(const Shape& over, const Operands&... operands) {
  const std::array strides{broadcast_strides(operands, over)...};
  std::array<const std::int64_t*, sizeof...(Operands)> from;
  for (std::size_t o = 0; o < strides.size(); ++o) from[o] = strides[o].data();
  return Walk<sizeof...(Operands)>(over, from);
}

/// The walk over the matrices of y (its last two axes), with the matrices of a and b that belong to each.
inline Walk<3> matrix_walk(const Shape& a, const Shape& b, const Shape& y) {
  const auto batch = [](const Shape& shape) { return shape.part(0, shape.rank() - 2); };
  return broadcast_walk(batch(y), batch(a), batch(b), batch(y));
}

/// f(ia, ib, iy) for every matrix of y: the positions of the matrices in the order of matrix_walk.
template <typename F>
void for_each_matrix(const Shape& a, const Shape& b, const Shape& y, F&& f) {
  const Walk<3> walk = matrix_walk(a, b, y);
  walk.for_each_row([&](const auto& offset) {
    for (std::int64_t i = 0; i < walk.inner(); ++i)
      f(offset[0] + i * walk.inner_stride(0), offset[1] + i * walk.inner_stride(1),
        offset[2] + i * walk.inner_stride(2));
  });
}

}  // namespace levda::autodiff
