/// Operations that move elements, scatter_add, which adds in a fixed order, and random rows.

#include "autodiff/cuda/kernel_tools.h"
#include "autodiff/internal/philox.h"

namespace levda::autodiff::gpu {

namespace {

template <typename T>
__global__ void copy_kernel(const T* x, T* y, FlatWalk<2> walk) {
  for (std::int64_t i = first_element(); i < walk.size; i += elements_at_once()) {
    std::int64_t at[2];
    walk.locate(i, at);
    y[at[1]] = x[at[0]];
  }
}

/// Extents around an indexed axis: x is (outer, rows, inner), y (outer, count, inner).
struct Indexed {
  std::int64_t outer, rows, count, inner;

  Indexed(const Shape& with_rows, const Shape& with_count, int axis) {
    const int position = with_rows.position(axis);
    outer = with_rows.size(0, position);
    rows = with_rows[position];
    count = with_count[position];
    inner = with_rows.size(position + 1, with_rows.rank());
  }
};

template <typename T>
__global__ void gather_kernel(const T* x, const std::int64_t* index, T* y, Indexed e, Failure* failure) {
  const std::int64_t n = e.outer * e.count * e.inner;
  for (std::int64_t i = first_element(); i < n; i += elements_at_once()) {
    const std::int64_t inner = i % e.inner;
    const std::int64_t k = i / e.inner % e.count;
    const std::int64_t outer = i / e.inner / e.count;
    const std::int64_t row = index[k];
    if (row < 0 || row >= e.rows)
      fail(failure, Fault::gather_index, row, e.rows);
    else
      y[i] = x[(outer * e.rows + row) * e.inner + inner];
  }
}

/// Counts the indices of each row.
__global__ void count_kernel(const std::int64_t* index, std::int64_t count, std::int64_t rows, std::int64_t* counts,
                             Failure* failure) {
  if (first_element() == 0)
    for (std::int64_t k = 0; k < count; ++k)
      if (index[k] < 0 || index[k] >= rows) fail(failure, Fault::scatter_index, index[k], rows);
  for (std::int64_t row = first_element(); row < rows; row += elements_at_once()) {
    std::int64_t own = 0;
    for (std::int64_t k = 0; k < count; ++k) own += index[k] == row;
    counts[row] = own;
  }
}

/// Runs in one block: ends[row] = counts[0] + .. + counts[row], in place.
__global__ void ends_kernel(std::int64_t* counts, std::int64_t rows) {
  __shared__ std::int64_t sums[block_threads];
  const std::int64_t each = (rows + block_threads - 1) / block_threads;
  const std::int64_t begin = threadIdx.x * each;
  const std::int64_t end = begin + each < rows ? begin + each : rows;
  std::int64_t sum = 0;
  for (std::int64_t row = begin; row < end; ++row) sum += counts[row];
  sums[threadIdx.x] = sum;
  __syncthreads();
  std::int64_t before = 0;
  for (unsigned thread = 0; thread < threadIdx.x; ++thread) before += sums[thread];
  for (std::int64_t row = begin; row < end; ++row) {
    before += counts[row];
    counts[row] = before;
  }
}

/// Lists the positions of the indices of each row in order, one row after the other.
__global__ void positions_kernel(const std::int64_t* index, std::int64_t count, std::int64_t rows,
                                 const std::int64_t* ends, std::int64_t* positions) {
  for (std::int64_t row = first_element(); row < rows; row += elements_at_once()) {
    std::int64_t next = row == 0 ? 0 : ends[row - 1];
    for (std::int64_t k = 0; next < ends[row] && k < count; ++k)
      if (index[k] == row) positions[next++] = k;
  }
}

/// In double even for float, like sum_to.
template <typename T>
__global__ void scatter_add_kernel(const T* x, const std::int64_t* ends, const std::int64_t* positions, T* y,
                                   Indexed e) {
  const std::int64_t n = e.outer * e.rows * e.inner;
  for (std::int64_t i = first_element(); i < n; i += elements_at_once()) {
    const std::int64_t inner = i % e.inner;
    const std::int64_t row = i / e.inner % e.rows;
    const std::int64_t outer = i / e.inner / e.rows;
    double sum = 0;
    for (std::int64_t at = row == 0 ? 0 : ends[row - 1]; at < ends[row]; ++at)
      sum += static_cast<double>(x[(outer * e.count + positions[at]) * e.inner + inner]);
    y[i] = static_cast<T>(sum);
  }
}

/// Random::below takes two words per number and rejects one number in 2^64 / choices. Here no number is rejected; the
/// difference is too rare to occur.
__global__ void draw_kernel(RandomRows rows, const std::int64_t* step, const std::int64_t* base, std::int64_t* y,
                            std::int64_t draws, std::int64_t n) {
  for (std::int64_t i = first_element(); i < n; i += elements_at_once()) {
    const std::int64_t group = i / draws;
    const std::int64_t k = i % draws;
    const auto block = philox(rows.seed, rows.stream + static_cast<std::uint32_t>(group),
                              static_cast<std::uint32_t>(*step), static_cast<std::uint64_t>(k / 2));
    const int first = k % 2 == 0 ? 0 : 2;
    const std::uint64_t high = block.v[first];
    const std::uint64_t value = (high << 32) | block.v[first + 1];
    y[i] = base[group] + static_cast<std::int64_t>(value % static_cast<std::uint64_t>(rows.choices));
  }
}

}  // namespace

void copy(const Context& context, const Shape& extents, const Tensor& x, const Strided& from, Tensor& y,
          const Strided& to) {
  const FlatWalk<2> walk(Walk<2>(extents, {from.strides.data(), to.strides.data()}));
  const auto run = [&]<typename T>(T) {
    for_each("copy", context, walk.size, copy_kernel<T>, x.data<T>() + from.offset, y.data<T>() + to.offset, walk);
  };
  if (x.dtype() == DType::int64) return run(std::int64_t{});
  dispatch(x.dtype(), run);
}

void gather(const Context& context, const Tensor& x, const Tensor& index, int axis, Tensor& y) {
  const Indexed extents(x.shape(), y.shape(), axis);
  dispatch(x.dtype(), [&]<typename T>(T) {
    for_each("gather", context, y.size(), gather_kernel<T>, x.data<T>(), index.data<std::int64_t>(), y.data<T>(),
             extents, context.failure);
  });
}

void scatter_add(const Context& context, const Tensor& x, const Tensor& index, int axis, Tensor& y) {
  const Indexed e(y.shape(), x.shape(), axis);
  Tensor ends = Tensor::empty({e.rows}, DType::int64, y.backend());
  Tensor positions = Tensor::empty({e.count}, DType::int64, y.backend());
  const std::int64_t* k = index.data<std::int64_t>();
  // Even if there are no rows: then every index is wrong.
  launch("scatter_add", count_kernel, blocks_for(e.rows), block_threads, 0, context.stream, k, e.count, e.rows,
         ends.data<std::int64_t>(), context.failure);
  if (y.size() == 0) return;
  launch("scatter_add", ends_kernel, 1, block_threads, 0, context.stream, ends.data<std::int64_t>(), e.rows);
  for_each("scatter_add", context, e.rows, positions_kernel, k, e.count, e.rows, ends.data<std::int64_t>(),
           positions.data<std::int64_t>());
  dispatch(x.dtype(), [&]<typename T>(T) {
    for_each("scatter_add", context, y.size(), scatter_add_kernel<T>, x.data<T>(), ends.data<std::int64_t>(),
             positions.data<std::int64_t>(), y.data<T>(), e);
  });
}

void draw_rows(const Context& context, const RandomRows& rows, const Tensor& step, const Tensor& base, Tensor& y) {
  if (base.size() == 0) return;
  for_each("draw_rows", context, y.size(), draw_kernel, rows, step.data<std::int64_t>(), base.data<std::int64_t>(),
           y.data<std::int64_t>(), y.size() / base.size(), y.size());
}

}  // namespace levda::autodiff::gpu
