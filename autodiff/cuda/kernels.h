#pragma once

/// The operations of the CUDA backend that are kernels of this library, file by file. The arguments are those of
/// autodiff/backend.h.

#include <cuda_runtime.h>

#include "autodiff/tensor.h"

namespace levda::autodiff::gpu {

/// The first failure on the device; kernels cannot throw.
enum class Fault : int { none, gather_index, scatter_index, singular, not_positive_definite };
struct Failure {
  int fault;
  long long value;  // the index
  long long limit;  // rows
};

/// The arguments of every launch.
struct Context {
  cudaStream_t stream;
  Failure* failure;  // on the device
};

// elementwise.cu
void fill(const Context& context, Tensor& y, double value);
void convert(const Context& context, const Tensor& x, Tensor& y);
void unary(const Context& context, Unary f, const Tensor& x, Tensor& y);
void silu(const Context& context, const Tensor& x, Tensor& y, Tensor* derivative);
void binary(const Context& context, Binary f, const Tensor& a, const Tensor& b, Tensor& y);
void scale(const Context& context, const Tensor& x, double alpha, double beta, Tensor& y);
void power(const Context& context, const Tensor& x, double p, Tensor& y);
void select(const Context& context, const Tensor& mask, const Tensor& a, const Tensor& b, Tensor& y);
void adam(const Context& context, const AdamConstants& constants, const Tensor& now, const Tensor& g, Tensor& m,
          Tensor& v, Tensor& p);

// layout.cu
void copy(const Context& context, const Shape& extents, const Tensor& x, const Strided& from, Tensor& y,
          const Strided& to);
void gather(const Context& context, const Tensor& x, const Tensor& index, int axis, Tensor& y);
void scatter_add(const Context& context, const Tensor& x, const Tensor& index, int axis, Tensor& y);
void draw_rows(const Context& context, const RandomRows& rows, const Tensor& step, const Tensor& base, Tensor& y);

// reduce.cu
void sum_to(const Context& context, const Tensor& x, Tensor& y);
void max_to(const Context& context, const Tensor& x, Tensor& y);
Range range(const Context& context, const Tensor& x);

// dense.cu
void solve(const Context& context, const Tensor& a, bool transpose_a, const Tensor& b, Tensor& y);
void cholesky(const Context& context, const Tensor& a, Tensor& y);

}  // namespace levda::autodiff::gpu
