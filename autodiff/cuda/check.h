#pragma once

/// Turns errors of CUDA's libraries into exceptions.

#include <cublasLt.h>
#include <cuda_runtime.h>

namespace levda::autodiff::gpu {

/// Throws Error "[operation] CUDA: message" unless the status is success.
void check(const char* operation, cudaError_t status);
void check(const char* operation, cublasStatus_t status);

}  // namespace levda::autodiff::gpu
