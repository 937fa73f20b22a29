#pragma once

/// Helpers of all files with kernels.

#include "autodiff/cuda/kernels.h"
#include "autodiff/cuda/launch.h"
#include "autodiff/cuda/shapes.h"
#include "autodiff/error.h"

namespace levda::autodiff::gpu {

/// Calls f with a float or a double as a type tag.
template <typename F>
void dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float32: return f(float{});
    case DType::float64: return f(double{});
    case DType::int64: throw Error("arithmetic on an int64 tensor");
  }
}

/// In a loop of all threads over all elements: this thread's first element, and the distance to its next one.
__device__ inline std::int64_t first_element() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline std::int64_t elements_at_once() { return static_cast<std::int64_t>(gridDim.x) * blockDim.x; }

/// Records a failure; the first one stays.
__device__ inline void fail(Failure* failure, Fault fault, std::int64_t value, std::int64_t limit) {
  if (atomicCAS(&failure->fault, static_cast<int>(Fault::none), static_cast<int>(fault)) !=
      static_cast<int>(Fault::none))
    return;
  failure->value = value;
  failure->limit = limit;
}

/// Launches a kernel whose threads loop over n elements; does nothing if n is 0.
template <typename... P, typename... A>
void for_each(const char* operation, const Context& context, std::int64_t n, void (*kernel)(P...), A&&... arguments) {
  if (n > 0) launch(operation, kernel, blocks_for(n), block_threads, 0, context.stream, std::forward<A>(arguments)...);
}

}  // namespace levda::autodiff::gpu
