/// Sums over axes and sums of rows that an index chooses.
///
/// They are summed in pairs (Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, 4.2): a sum of n
/// numbers is off by at most (log2 n + 3) u times the sum of their sizes, with u = 2^-24 in float32 and 2^-53 in
/// float64. The pairs depend on shapes and indices alone.

#include <fmt/format.h>

#include <Eigen/Core>
#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

#include "autodiff/cpu/cpu_backend.h"
#include "autodiff/internal/walk.h"
#include "autodiff/tensor.h"

namespace levda::autodiff {

namespace {

/// Sum of n numbers, a power of two.
template <int n, typename T>
T sum_of(const T* x) {
  if constexpr (n == 1) {
    return *x;
  } else {
    using Half = Eigen::Array<T, n / 2, 1>;
    const Half sums = Eigen::Map<const Half>(x) + Eigen::Map<const Half>(x + n / 2);
    return sum_of<n / 2>(sums.data());
  }
}

/// Sum of `count` numbers, fewer than 2 n.
template <int n, typename T>
T sum_of_few(const T* x, std::int64_t count) {
  if constexpr (n == 0)
    return 0;
  else if (count < n)
    return sum_of_few<n / 2>(x, count);
  else
    return sum_of<n>(x) + sum_of_few<n / 2>(x + n, count - n);
}

template <typename T>
T sum_of(const T* x, std::int64_t count) {
  constexpr int leaf = 256;
  if (count < 2 * leaf) return sum_of_few<leaf>(x, count);
  const std::int64_t half = count / leaf / 2 * leaf;
  return sum_of(x, half) + sum_of(x + half, count - half);
}

/// out[j] = sum of row(i)[j] for begin <= i < end, j < width. row(i): a pointer. scratch: `width` numbers for each of
/// the log2(end - begin) levels.
template <typename T, typename Row>
void add_rows(std::int64_t begin, std::int64_t end, std::int64_t width, const Row& row, T* out, T* scratch) {
  constexpr std::int64_t leaf = 4;
  const std::int64_t count = end - begin;
  if (count > leaf) {
    const std::int64_t middle = begin + ((count - 1) / leaf + 1) / 2 * leaf;
    add_rows(begin, middle, width, row, out, scratch);
    add_rows(middle, end, width, row, scratch, scratch + width);
    for (std::int64_t j = 0; j < width; ++j) out[j] += scratch[j];
    return;
  }
  const T* a = row(begin);
  if (count == 1) {
    std::copy_n(a, width, out);
    return;
  }
  const T* b = row(begin + 1);
  const T* c = count > 2 ? row(begin + 2) : nullptr;
  const T* d = count > 3 ? row(begin + 3) : nullptr;
#pragma GCC ivdep
  for (std::int64_t j = 0; count == 4 && j < width; ++j) out[j] = (a[j] + b[j]) + (c[j] + d[j]);
#pragma GCC ivdep
  for (std::int64_t j = 0; count == 3 && j < width; ++j) out[j] = (a[j] + b[j]) + c[j];
#pragma GCC ivdep
  for (std::int64_t j = 0; count == 2 && j < width; ++j) out[j] = a[j] + b[j];
}

/// Sums of rows of any width, in strips of columns that stay in the cache.
template <typename T>
class RowSum {
 public:
  explicit RowSum(std::int64_t most_rows) : scratch_(strip * std::bit_width(static_cast<std::uint64_t>(most_rows))) {}
  /// out = row(0) + .. + row(count - 1), of `width` numbers; count >= 1.
  template <typename Row>
  void operator()(std::int64_t count, std::int64_t width, const Row& row, T* out) {
    for (std::int64_t j = 0; j < width; j += strip)
      add_rows(
          0, count, std::min<std::int64_t>(strip, width - j), [&](std::int64_t i) { return row(i) + j; }, out + j,
          scratch_.data());
  }

 private:
  static constexpr std::int64_t strip = 512;
  std::vector<T> scratch_;
};

/// The sum over the axes of the walk, up to `axes`, that y lacks. The last of these axes is one that y has, if any.
/// x has no other axes; its strides are those of the walk divided by `unit`.
template <typename T>
void sum_outer(const Walk<2>& walk, int axes, std::int64_t unit, const T* x, T* y) {
  Shape kept;
  Shape gone;
  std::array<std::int64_t, Shape::max_rank> kept_x{};
  std::array<std::int64_t, Shape::max_rank> kept_y{};
  std::array<std::int64_t, Shape::max_rank> gone_x{};
  for (int axis = 0; axis < axes; ++axis) {
    const bool keep = walk.strides[1][axis] != 0;
    Shape& shape = keep ? kept : gone;
    (keep ? kept_x : gone_x)[shape.rank()] = walk.strides[0][axis] / unit;
    if (keep) kept_y[kept.rank()] = walk.strides[1][axis];
    shape = Shape({walk.extents[axis]}).prepend(shape);
  }
  const Walk<2> results(kept, {kept_x.data(), kept_y.data()});
  const Walk<1> terms(gone, {gone_x.data()});
  const auto offset_of = [&](std::int64_t i) {
    std::int64_t offset = 0;
    for (int axis = terms.rank - 1; axis > 0; --axis) {
      offset += i % terms.extents[axis] * terms.strides[0][axis];
      i /= terms.extents[axis];
    }
    return offset + i * terms.strides[0][0];
  };
  RowSum<T> sum(gone.size());
  results.for_each_row([&](const auto& offset) {
    sum(
        gone.size(), results.inner(), [&](std::int64_t i) { return x + offset[0] + offset_of(i); }, y + offset[1]);
  });
}

}  // namespace

void CpuBackend::sum_to(const Tensor& x, Tensor& y) {
  if (x.size() == 0) return fill(y, 0);
  const Walk<2> walk = broadcast_walk(x.shape(), x.shape(), y.shape());
  const std::int64_t n = walk.inner();
  dispatch(x.dtype(), [&]<typename T>(T) {
    const T* px = x.data<T>();
    if (walk.inner_stride(1) != 0) return sum_outer(walk, walk.rank, 1, px, y.data<T>());
    std::vector<T> sums(static_cast<std::size_t>(x.size() / n));
    for (T& sum : sums) {
      sum = sum_of(px, n);
      px += n;
    }
    sum_outer(walk, walk.rank - 1, n, sums.data(), y.data<T>());
  });
}

void CpuBackend::scatter_add(const Tensor& x, const Tensor& index, int axis, Tensor& y) {
  const int position = y.shape().position(axis);
  const std::int64_t outer = y.shape().size(0, position);
  const std::int64_t inner = y.shape().size(position + 1, y.shape().rank());
  const std::int64_t rows = y.shape()[position];
  const std::int64_t count = index.size();
  const std::int64_t* k = index.data<std::int64_t>();
  check_indices("scatter_add", index, rows);
  // The positions of each row in the index, in order, one row after the other; those of row r end before ends[r].
  std::vector<std::int64_t> ends(static_cast<std::size_t>(rows) + 1);
  for (std::int64_t i = 0; i < count; ++i) ++ends[k[i]];
  std::int64_t most = 0;
  std::int64_t before = 0;
  for (std::int64_t& end : ends) {
    most = std::max(most, end);
    before += std::exchange(end, before);
  }
  std::vector<std::int64_t> positions(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) positions[ends[k[i]]++] = i;
  fill(y, 0);
  dispatch(x.dtype(), [&]<typename T>(T) {
    RowSum<T> sum(most);
    for (std::int64_t o = 0; o < outer; ++o) {
      const T* px = x.data<T>() + o * count * inner;
      std::int64_t begin = 0;
      for (std::int64_t row = 0; row < rows; begin = ends[row++])
        if (begin < ends[row])
          sum(
              ends[row] - begin, inner, [&](std::int64_t i) { return px + positions[begin + i] * inner; },
              y.data<T>() + (o * rows + row) * inner);
    }
  });
}

}  // namespace levda::autodiff
