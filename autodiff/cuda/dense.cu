/// Small dense systems: one block factors one matrix, one thread solves one column. This suits matrices of tens of rows
/// (ensembles); large matrices would need a blocked algorithm.

#include "autodiff/cuda/kernel_tools.h"

namespace levda::autodiff::gpu {

namespace {

/// LU factors with row exchanges of this block's matrix, in place (Golub & Van Loan, Matrix Computations, 3.4):
/// row i of the factors is row order[i] of the matrix.
template <typename T>
__global__ void lu_kernel(T* matrices, std::int64_t* orders, std::int64_t n, Failure* failure) {
  __shared__ std::int64_t pivot;
  T* a = matrices + static_cast<std::int64_t>(blockIdx.x) * n * n;
  std::int64_t* order = orders + static_cast<std::int64_t>(blockIdx.x) * n;
  const std::int64_t thread = threadIdx.x;
  for (std::int64_t i = thread; i < n; i += blockDim.x) order[i] = i;
  __syncthreads();
  for (std::int64_t k = 0; k < n; ++k) {
    if (thread == 0) {
      pivot = k;
      for (std::int64_t i = k + 1; i < n; ++i)
        if (fabs(a[i * n + k]) > fabs(a[pivot * n + k])) pivot = i;
      if (a[pivot * n + k] == 0) fail(failure, Fault::singular, 0, n);
      const std::int64_t row = order[k];
      order[k] = order[pivot];
      order[pivot] = row;
    }
    __syncthreads();
    if (pivot != k)
      for (std::int64_t j = thread; j < n; j += blockDim.x) {
        const T value = a[k * n + j];
        a[k * n + j] = a[pivot * n + j];
        a[pivot * n + j] = value;
      }
    __syncthreads();
    for (std::int64_t i = k + 1 + thread; i < n; i += blockDim.x) a[i * n + k] /= a[k * n + k];
    __syncthreads();
    const std::int64_t rest = n - k - 1;
    for (std::int64_t e = thread; e < rest * rest; e += blockDim.x) {
      const std::int64_t i = k + 1 + e / rest;
      const std::int64_t j = k + 1 + e % rest;
      a[i * n + j] -= a[i * n + k] * a[k * n + j];
    }
    __syncthreads();
  }
}

/// Solves a y = b, or a' y = b, column by column from the factors of a. walk: which matrices belong together.
template <typename T>
__global__ void lu_solve_kernel(const T* factors, const std::int64_t* orders, bool transpose, const T* b, T* y,
                                T* scratch, std::int64_t n, std::int64_t columns, FlatWalk<3> walk) {
  for (std::int64_t e = first_element(); e < walk.size * columns; e += elements_at_once()) {
    std::int64_t at[3];
    walk.locate(e / columns, at);
    const T* a = factors + at[0] * n * n;
    const std::int64_t* order = orders + at[0] * n;
    const T* right = b + at[1] * n * columns + e % columns;
    T* x = y + at[2] * n * columns + e % columns;
    if (!transpose) {  // L (U x) = P b
      for (std::int64_t i = 0; i < n; ++i) {
        T sum = right[order[i] * columns];
        for (std::int64_t j = 0; j < i; ++j) sum -= a[i * n + j] * x[j * columns];
        x[i * columns] = sum;
      }
      for (std::int64_t i = n - 1; i >= 0; --i) {
        T sum = x[i * columns];
        for (std::int64_t j = i + 1; j < n; ++j) sum -= a[i * n + j] * x[j * columns];
        x[i * columns] = sum / a[i * n + i];
      }
    } else {  // U' (L' (P x)) = b
      T* z = scratch + at[2] * n * columns + e % columns;
      for (std::int64_t i = 0; i < n; ++i) {
        T sum = right[i * columns];
        for (std::int64_t j = 0; j < i; ++j) sum -= a[j * n + i] * z[j * columns];
        z[i * columns] = sum / a[i * n + i];
      }
      for (std::int64_t i = n - 1; i >= 0; --i) {
        T sum = z[i * columns];
        for (std::int64_t j = i + 1; j < n; ++j) sum -= a[j * n + i] * z[j * columns];
        z[i * columns] = sum;
      }
      for (std::int64_t i = 0; i < n; ++i) x[order[i] * columns] = z[i * columns];
    }
  }
}

/// The lower factor of the symmetric part of a (Golub & Van Loan, 4.2), zeros above it.
template <typename T>
__global__ void cholesky_kernel(const T* matrices, T* factors, std::int64_t n, Failure* failure) {
  const T* a = matrices + static_cast<std::int64_t>(blockIdx.x) * n * n;
  T* l = factors + static_cast<std::int64_t>(blockIdx.x) * n * n;
  const std::int64_t thread = threadIdx.x;
  for (std::int64_t e = thread; e < n * n; e += blockDim.x) {
    const std::int64_t i = e / n;
    const std::int64_t j = e % n;
    l[e] = j <= i ? a[e] / 2 + a[j * n + i] / 2 : T(0);
  }
  __syncthreads();
  for (std::int64_t k = 0; k < n; ++k) {
    if (thread == 0) {
      if (l[k * n + k] <= 0) fail(failure, Fault::not_positive_definite, 0, n);
      l[k * n + k] = sqrt(l[k * n + k]);
    }
    __syncthreads();
    for (std::int64_t i = k + 1 + thread; i < n; i += blockDim.x) l[i * n + k] /= l[k * n + k];
    __syncthreads();
    const std::int64_t rest = n - k - 1;
    for (std::int64_t e = thread; e < rest * rest; e += blockDim.x) {
      const std::int64_t i = k + 1 + e / rest;
      const std::int64_t j = k + 1 + e % rest;
      if (j <= i) l[i * n + j] -= l[i * n + k] * l[j * n + k];
    }
    __syncthreads();
  }
}

}  // namespace

void solve(const Context& context, const Tensor& a, bool transpose_a, const Tensor& b, Tensor& y) {
  const std::int64_t n = a.shape()[-1];
  const std::int64_t columns = b.shape()[-1];
  if (n == 0 || a.size() == 0) return;
  const std::int64_t matrices = a.size() / (n * n);
  Tensor factors = a.clone();
  Tensor orders = Tensor::empty({matrices, n}, DType::int64, y.backend());
  Tensor scratch = transpose_a ? Tensor::empty(y.shape(), y.dtype(), y.backend()) : y;
  const FlatWalk<3> walk(matrix_walk(a.shape(), b.shape(), y.shape()));
  dispatch(y.dtype(), [&]<typename T>(T) {
    launch("solve", lu_kernel<T>, static_cast<unsigned>(matrices), block_threads, 0, context.stream, factors.data<T>(),
           orders.data<std::int64_t>(), n, context.failure);
    for_each("solve", context, walk.size * columns, lu_solve_kernel<T>, factors.data<T>(), orders.data<std::int64_t>(),
             transpose_a, b.data<T>(), y.data<T>(), scratch.data<T>(), n, columns, walk);
  });
}

void cholesky(const Context& context, const Tensor& a, Tensor& y) {
  const std::int64_t n = a.shape()[-1];
  if (a.size() == 0) return;
  dispatch(y.dtype(), [&]<typename T>(T) {
    launch("cholesky", cholesky_kernel<T>, static_cast<unsigned>(a.size() / (n * n)), block_threads, 0, context.stream,
           a.data<T>(), y.data<T>(), n, context.failure);
  });
}

}  // namespace levda::autodiff::gpu
