/// Sums and greatest values, in two stages whose order depends on the shapes alone.

#include <limits>

#include "autodiff/cuda/kernel_tools.h"

namespace levda::autodiff::gpu {

namespace {

/// In double even for float, so that sums of many numbers stay precise.
struct Sum {
  static constexpr double start = 0;
  __device__ static double combine(double a, double b) { return a + b; }
};

/// NaN if an element is NaN.
struct Most {
  static constexpr double start = -std::numeric_limits<double>::infinity();
  __device__ static double combine(double a, double b) { return b > a || b != b ? b : a; }
};

/// Reduces the numbers of threads that are `width` apart into the first `width` threads, in shared memory.
template <typename Op>
__device__ void combine_lanes(double (&values)[block_threads], double own, int width) {
  values[threadIdx.x] = own;
  __syncthreads();
  for (int half = block_threads / 2; half >= width; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half)
      values[threadIdx.x] = Op::combine(values[threadIdx.x], values[threadIdx.x + half]);
    __syncthreads();
  }
}

/// Block (i, chunk) computes `width` results, beginning with i * width, from the elements of one chunk.
template <typename Op, typename T, typename Out>
__global__ void reduce_kernel(const T* x, Out* y, Reduction r) {
  __shared__ double values[block_threads];
  const int threads_of_one = block_threads / r.width;
  const std::int64_t result = static_cast<std::int64_t>(blockIdx.x) * r.width + threadIdx.x % r.width;
  const std::int64_t lane = threadIdx.x / r.width;
  const std::int64_t chunk = blockIdx.y;
  const std::int64_t end = (chunk + 1) * r.chunk < r.reduced.size ? (chunk + 1) * r.chunk : r.reduced.size;
  double own = Op::start;
  if (result < r.kept.size) {
    std::int64_t first[1];
    r.kept.locate(result, first);
    for (std::int64_t i = chunk * r.chunk + lane; i < end; i += threads_of_one) {
      std::int64_t at[1];
      r.reduced.locate(i, at);
      own = Op::combine(own, static_cast<double>(x[first[0] + at[0]]));
    }
  }
  combine_lanes<Op>(values, own, r.width);
  if (static_cast<int>(threadIdx.x) < r.width && result < r.kept.size)
    y[chunk * r.kept.size + result] = static_cast<Out>(values[threadIdx.x]);
}

/// y[i] = the partial results of all chunks, reduced in their order.
template <typename Op, typename T>
__global__ void combine_kernel(const double* partial, T* y, std::int64_t results, std::int64_t chunks) {
  for (std::int64_t i = first_element(); i < results; i += elements_at_once()) {
    double all = Op::start;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) all = Op::combine(all, partial[chunk * results + i]);
    y[i] = static_cast<T>(all);
  }
}

template <typename Op>
void reduce(const char* operation, const Context& context, const Tensor& x, Tensor& y) {
  if (y.size() == 0) return;
  const Reduction r(x.shape(), y.shape());
  const dim3 grid(static_cast<unsigned>((r.kept.size + r.width - 1) / r.width), static_cast<unsigned>(r.chunks));
  dispatch(x.dtype(), [&]<typename T>(T) {
    if (r.chunks == 1) {
      launch(operation, reduce_kernel<Op, T, T>, grid, block_threads, 0, context.stream, x.data<T>(), y.data<T>(), r);
      return;
    }
    Tensor partial = Tensor::empty({r.chunks, r.kept.size}, DType::float64, y.backend());
    launch(operation, reduce_kernel<Op, T, double>, grid, block_threads, 0, context.stream, x.data<T>(),
           partial.data<double>(), r);
    for_each(operation, context, y.size(), combine_kernel<Op, T>, partial.data<double>(), y.data<T>(), r.kept.size,
             r.chunks);
  });
}

/// Writes one triple per block: least, greatest, count of elements that are not finite.
template <typename T>
__global__ void range_kernel(const T* x, std::int64_t n, double* triples) {
  __shared__ double least[block_threads];
  __shared__ double greatest[block_threads];
  __shared__ double nonfinite[block_threads];
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  double bad = 0;
  for (std::int64_t i = first_element(); i < n; i += elements_at_once()) {
    const double value = static_cast<double>(x[i]);
    if (value - value != 0) {  // x - x is NaN unless x is finite
      bad += 1;
    } else {
      low = value < low ? value : low;
      high = value > high ? value : high;
    }
  }
  least[threadIdx.x] = low;
  greatest[threadIdx.x] = high;
  nonfinite[threadIdx.x] = bad;
  __syncthreads();
  for (int half = block_threads / 2; half > 0; half /= 2) {
    const int i = static_cast<int>(threadIdx.x);
    if (i < half) {
      least[i] = least[i + half] < least[i] ? least[i + half] : least[i];
      greatest[i] = greatest[i + half] > greatest[i] ? greatest[i + half] : greatest[i];
      nonfinite[i] += nonfinite[i + half];
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    triples[3 * blockIdx.x] = least[0];
    triples[3 * blockIdx.x + 1] = greatest[0];
    triples[3 * blockIdx.x + 2] = nonfinite[0];
  }
}

}  // namespace

void sum_to(const Context& context, const Tensor& x, Tensor& y) { reduce<Sum>("sum_to", context, x, y); }

void max_to(const Context& context, const Tensor& x, Tensor& y) { reduce<Most>("max_to", context, x, y); }

Range range(const Context& context, const Tensor& x) {
  const unsigned blocks = blocks_for(x.size());
  Tensor triples = Tensor::empty({blocks, 3}, DType::float64, x.backend());
  dispatch(x.dtype(), [&]<typename T>(T) {
    launch("range", range_kernel<T>, blocks, block_threads, 0, context.stream, x.data<T>(), x.size(),
           triples.data<double>());
  });
  const std::vector<double> found = triples.to_vector();
  Range all{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  for (std::size_t i = 0; i < found.size(); i += 3) {
    all.least = std::min(all.least, found[i]);
    all.greatest = std::max(all.greatest, found[i + 1]);
    all.nonfinite += static_cast<std::int64_t>(found[i + 2]);
  }
  return all;
}

}  // namespace levda::autodiff::gpu
