#pragma once

/// The only function that launches kernels.

#include <cuda_runtime.h>

#include <cstddef>

#include "autodiff/cuda/check.h"

namespace levda::autodiff::gpu {

/// kernel<<<grid, block, shared_bytes, stream>>>(arguments..). Throws Error that names the operation if it cannot
/// start.
template <typename... P, typename... A>
void launch(const char* operation, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
            cudaStream_t stream, A&&... arguments) {
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<P>(arguments)...);
  check(operation, cudaGetLastError());
}

}  // namespace levda::autodiff::gpu
