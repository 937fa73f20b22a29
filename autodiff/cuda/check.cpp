#include "autodiff/cuda/check.h"

#include <fmt/format.h>

#include "autodiff/error.h"

namespace levda::autodiff::gpu {

void check(const char* operation, cudaError_t status) {
  if (status != cudaSuccess) throw Error(fmt::format("[{}] CUDA: {}", operation, cudaGetErrorString(status)));
}

void check(const char* operation, cublasStatus_t status) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw Error(fmt::format("[{}] cuBLAS: {}", operation, cublasLtGetStatusString(status)));
}

}  // namespace levda::autodiff::gpu
