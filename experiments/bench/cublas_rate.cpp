#include "experiments/bench/cublas_rate.h"

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "autodiff/error.h"
#include "autodiff/random.h"

namespace levda::bench {

namespace {

void check(cudaError_t status) {
  if (status != cudaSuccess) throw Error(std::string("CUDA: ") + cudaGetErrorString(status));
}

void check(cublasStatus_t status) {
  if (status != CUBLAS_STATUS_SUCCESS) throw Error("cuBLAS: status " + std::to_string(static_cast<int>(status)));
}

struct Release {
  void operator()(float* memory) const { cudaFree(memory); }
  void operator()(cublasContext* handle) const { cublasDestroy(handle); }
  void operator()(CUevent_st* event) const { cudaEventDestroy(event); }
};

using Buffer = std::unique_ptr<float, Release>;

/// Random numbers: a GPU is faster on zeros.
Buffer filled(std::int64_t count) {
  constexpr std::int64_t period = 1 << 20;
  autodiff::Random random(1);
  std::vector<float> values(static_cast<std::size_t>(std::min(count, period)));
  for (float& value : values) value = static_cast<float>(random.uniform() - 0.5);
  float* memory = nullptr;
  check(cudaMalloc(reinterpret_cast<void**>(&memory), static_cast<std::size_t>(count) * sizeof(float)));
  Buffer buffer(memory);
  for (std::int64_t first = 0; first < count; first += period)
    check(cudaMemcpy(memory + first, values.data(),
                     static_cast<std::size_t>(std::min(period, count - first)) * sizeof(float),
                     cudaMemcpyHostToDevice));
  return buffer;
}

std::unique_ptr<CUevent_st, Release> new_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event));
  return std::unique_ptr<CUevent_st, Release>(event);
}

}  // namespace

std::optional<double> cublas_seconds(const Product& p, bool tf32, int samples, int repeats) {
  const Buffer a = filled(p.rows * p.inner);
  const Buffer b = filled(p.inner * p.columns);
  const Buffer y = filled(p.rows * p.columns);
  cublasHandle_t created = nullptr;
  check(cublasCreate(&created));
  const std::unique_ptr<cublasContext, Release> handle(created);
  const auto begin = new_event();
  const auto end = new_event();
  const float one = 1;
  const float zero = 0;
  const auto narrow = [](std::int64_t extent) { return static_cast<int>(extent); };
  // cuBLAS has columns first: y' = op(b)' op(a)'.
  const auto multiply = [&] {
    check(cublasGemmEx(handle.get(), p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                       p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, narrow(p.columns), narrow(p.rows), narrow(p.inner),
                       &one, b.get(), CUDA_R_32F, narrow(p.transpose_b ? p.inner : p.columns), a.get(), CUDA_R_32F,
                       narrow(p.transpose_a ? p.rows : p.inner), &zero, y.get(), CUDA_R_32F, narrow(p.columns),
                       tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  };
  std::vector<double> seconds;
  for (int sample = -2; sample < samples; ++sample) {  // two to warm up
    check(cudaEventRecord(begin.get()));
    for (int i = 0; i < repeats; ++i) multiply();
    check(cudaEventRecord(end.get()));
    check(cudaEventSynchronize(end.get()));
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()));
    if (sample >= 0) seconds.push_back(1e-3 * milliseconds / repeats);
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

}  // namespace levda::bench
