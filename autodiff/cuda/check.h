#pragma once

/// Errors of CUDA's libraries as ours. Not for users.

#include <cublasLt.h>
#include <cuda_runtime.h>

namespace levda::autodiff::gpu {

/// Throws Error "[operation] CUDA: what it says" unless all is well.
void check(const char* operation, cudaError_t status);
void check(const char* operation, cublasStatus_t status);

}  // namespace levda::autodiff::gpu
