#pragma once

/// In place of the project's header of this name, see tests/cuda_on_cpu/cuda_runtime.h: the one that launches kernels.

#include <cuda_runtime.h>

#include <cstddef>
#include <functional>
#include <string>
#include <tuple>
#include <utility>

#include "autodiff/error.h"

namespace levda::cuda_on_cpu {

cudaError_t launch_kernel(dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream,
                          std::function<void()> thread);

}  // namespace levda::cuda_on_cpu

namespace levda::autodiff::gpu {

/// kernel<<<grid, block, shared_bytes, stream>>>(arguments...), converted to the kernel's parameters. Throws Error
/// "[operation] CUDA: message" when it cannot be launched.
template <typename... P, typename... A>
void launch(const char* operation, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
            cudaStream_t stream, A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A));
  cuda_on_cpu::launch_kernel(grid, block, shared_bytes, stream,
                             [kernel, parameters = std::tuple<P...>(static_cast<P>(std::forward<A>(arguments))...)] {
                               std::apply(kernel, parameters);
                             });
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) throw Error(std::string("[") + operation + "] CUDA: " + cudaGetErrorString(error));
}

}  // namespace levda::autodiff::gpu
