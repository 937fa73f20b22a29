#pragma once

/// Products of small matrices.

#include <Eigen/Core>
#include <cstdint>

namespace levda::models {

using FourLanes = Eigen::Array<double, 4, 1>;

/// A tile of out(i)[r] = sum_k a(i)[k] b[k stride + r] in registers.
template <int Rows, int Columns, class A, class Out>
void product_tile(std::int64_t first, std::int64_t inner, const A& a, const double* b, std::int64_t stride,
                  std::int64_t column, const Out& out) {
  FourLanes sum[Rows][Columns];
  const double* left[Rows];
  for (int i = 0; i < Rows; ++i) {
    left[i] = a(first + i);
    for (int c = 0; c < Columns; ++c) sum[i][c].setZero();
  }
  b += column;
  for (std::int64_t k = 0; k < inner; ++k, b += stride) {
    FourLanes right[Columns];
    for (int c = 0; c < Columns; ++c) right[c] = Eigen::Map<const FourLanes>(b + 4 * c);
    for (int i = 0; i < Rows; ++i)
      for (int c = 0; c < Columns; ++c) sum[i][c] += left[i][k] * right[c];
  }
  for (int i = 0; i < Rows; ++i)
    for (int c = 0; c < Columns; ++c) Eigen::Map<FourLanes>(out(first + i) + column + 4 * c) = sum[i][c];
}

template <int Rows, class A, class Out>
void product_rows(std::int64_t first, std::int64_t inner, std::int64_t column, std::int64_t columns, const A& a,
                  const double* b, std::int64_t stride, const Out& out) {
  if (columns >= 8)
    product_tile<Rows, 2>(first, inner, a, b, stride, column, out);
  else
    product_tile<Rows, 1>(first, inner, a, b, stride, column, out);
}

/// out(i)[r] = sum_k a(i)[k] b[k stride + r] for i < rows, k < inner, r < columns, a multiple of 4. With sizes
/// of a few tens Eigen's product spends more time on packing than on multiplying.
template <class A, class Out>
void product(std::int64_t rows, std::int64_t inner, std::int64_t columns, const A& a, const double* b,
             std::int64_t stride, const Out& out) {
  const std::int64_t tiles = (rows + 5) / 6;
  for (std::int64_t column = 0; column < columns; column += 8)
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      const std::int64_t first = tile * rows / tiles;
      const std::int64_t left = columns - column;
      switch ((tile + 1) * rows / tiles - first) {
        case 6: product_rows<6>(first, inner, column, left, a, b, stride, out); break;
        case 5: product_rows<5>(first, inner, column, left, a, b, stride, out); break;
        case 4: product_rows<4>(first, inner, column, left, a, b, stride, out); break;
        case 3: product_rows<3>(first, inner, column, left, a, b, stride, out); break;
        case 2: product_rows<2>(first, inner, column, left, a, b, stride, out); break;
        default: product_rows<1>(first, inner, column, left, a, b, stride, out); break;
      }
    }
}

}  // namespace levda::models
