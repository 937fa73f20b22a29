#include <cublasLt.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <string>

#include "autodiff/cuda/launch.h"
#include "autodiff/error.h"
#include "sample.h"

namespace sample {

namespace {

constexpr unsigned block_size = 128;

void check(cudaError_t error) {
  if (error != cudaSuccess) throw levda::Error(std::string("[sample] cuda: ") + cudaGetErrorString(error));
}
void check(cublasStatus_t status) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw levda::Error(std::string("[sample] cublasLt: ") + cublasLtGetStatusString(status));
}

template <typename T>
__device__ __forceinline__ T fused(T a, T x, T y) {
  return a * x + y;
}

template <typename T>
__global__ void __launch_bounds__(block_size) axpy_kernel(T a, const T* __restrict__ x, T* __restrict__ y, int n) {
#pragma unroll 4
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) y[i] = fused(a, x[i], y[i]);
}

/// sums[block] = sum of the block's share of x.
__global__ void sum_kernel(const float* x, float* sums, int n) {
  __shared__ float partial[block_size];
  float own = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) own += x[i];
  partial[threadIdx.x] = own;
  __syncthreads();
  for (unsigned half = block_size / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = partial[0];
}

template <bool with_barrier>
__global__ void reverse_kernel(const float* x, float* y) {
  __shared__ float tile[64];
  tile[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
  if (with_barrier) __syncthreads();
  y[blockIdx.x * 64 + threadIdx.x] = tile[63 - threadIdx.x];
}

__global__ void number_kernel(float* y) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const unsigned i = block * (blockDim.x * blockDim.y * blockDim.z) + thread;
  y[i] = static_cast<float>(i);
}

__global__ void ticket_kernel(int* counters, int* taken) {
  const int mine = atomicAdd(&counters[0], 1);
  if (atomicCAS(&taken[mine], -1, 1) == -1) atomicAdd(&counters[1], 1);
  atomicMax(&counters[2], mine);
  atomicExch(&counters[3], 7);
}

__global__ void beyond_kernel(float* y, int n) { y[n] = 1; }

__global__ void return_kernel() {
  if (threadIdx.x % 2 == 1) return;
  __syncthreads();
}

__global__ void two_barriers_kernel() {
  if (threadIdx.x % 2 == 1) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void nothing_kernel() {}

/// A handle or descriptor of cuBLASLt.
template <typename T, cublasStatus_t (*destroy)(T)>
class Owned {
 public:
  template <typename... P, typename... A>
  explicit Owned(cublasStatus_t (*create)(T*, P...), A... arguments) {
    check(create(&object_, arguments...));
  }
  ~Owned() { destroy(object_); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  operator T() const { return object_; }

 private:
  T object_ = nullptr;
};

class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace

Buffer::Buffer(std::size_t count) : count_(count) { check(cudaMalloc(&data_, count * sizeof(float))); }

Buffer::Buffer(const std::vector<float>& host) : Buffer(host.size()) {
  check(cudaMemcpy(data_, host.data(), host.size() * sizeof(float), cudaMemcpyHostToDevice));
}

Buffer::~Buffer() { cudaFree(data_); }

std::vector<float> Buffer::download() const {
  std::vector<float> host(count_);
  check(cudaMemcpy(host.data(), data_, count_ * sizeof(float), cudaMemcpyDeviceToHost));
  return host;
}

using levda::autodiff::gpu::launch;

void axpy(float a, const Buffer& x, Buffer& y) {
  launch("axpy", axpy_kernel<float>, 3, block_size, 0, nullptr, a, x.data(), y.data(), x.size());
  check(cudaDeviceSynchronize());
}

float sum(const Buffer& x) {
  Buffer sums(5);
  Buffer total(1);
  launch("sum", sum_kernel, 5, block_size, 0, nullptr, x.data(), sums.data(), x.size());
  launch("sum", sum_kernel, 1, block_size, 0, nullptr, sums.data(), total.data(), sums.size());
  return total.download()[0];
}

void axpy_replayed(float a, const Buffer& x, Buffer& y, int times) {
  const Stream stream;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  launch("axpy", axpy_kernel<float>, 3, block_size, 0, stream, a, x.data(), y.data(), x.size());
  check(cudaStreamEndCapture(stream, &graph));
  check(cudaGraphInstantiate(&executable, graph, 0));
  check(cudaGraphDestroy(graph));
  for (int i = 0; i < times; ++i) check(cudaGraphLaunch(executable, stream));
  check(cudaStreamSynchronize(stream));
  check(cudaGraphExecDestroy(executable));
}

void affine(const Buffer& x, const Buffer& w, const Buffer& bias, Buffer& y, std::uint64_t rows, std::uint64_t inner,
            std::uint64_t cols) {
  constexpr std::size_t workspace_bytes = 4096;
  const Buffer workspace(workspace_bytes / sizeof(float));
  const Owned<cublasLtHandle_t, cublasLtDestroy> handle(cublasLtCreate);
  const Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> product(cublasLtMatmulDescCreate, CUBLAS_COMPUTE_32F,
                                                                       CUDA_R_32F);
  const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
  const float* const bias_data = bias.data();
  check(cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
  check(cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias_data, sizeof bias_data));
  // The library counts columns first: y' = w' x' + bias.
  using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
  const auto ld = [](std::uint64_t extent) { return static_cast<std::int64_t>(extent); };
  const Layout of_w(cublasLtMatrixLayoutCreate, CUDA_R_32F, cols, inner, ld(cols));
  const Layout of_x(cublasLtMatrixLayoutCreate, CUDA_R_32F, inner, rows, ld(inner));
  const Layout of_y(cublasLtMatrixLayoutCreate, CUDA_R_32F, cols, rows, ld(cols));
  const Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference(cublasLtMatmulPreferenceCreate);
  check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes,
                                             sizeof workspace_bytes));
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  check(cublasLtMatmulAlgoGetHeuristic(handle, product, of_w, of_x, of_y, of_y, preference, 1, &found, &count));
  const float one = 1;
  const float zero = 0;
  check(cublasLtMatmul(handle, product, &one, w.data(), of_w, x.data(), of_x, &zero, y.data(), of_y, y.data(), of_y,
                       &found.algo, workspace.data(), workspace_bytes, nullptr));
  check(cudaDeviceSynchronize());
}

void reverse_blocks(const Buffer& x, Buffer& y, bool with_barrier) {
  launch("reverse", with_barrier ? reverse_kernel<true> : reverse_kernel<false>, static_cast<unsigned>(x.size() / 64),
         64, 0, nullptr, x.data(), y.data());
}

void number(Buffer& y) {
  const dim3 block(4, 3, 2);
  const dim3 grid(static_cast<unsigned>(y.size() / (24 * 6)), 3, 2);
  launch("number", number_kernel, grid, block, 0, nullptr, y.data());
}

int tickets(int n) {
  int* counters = nullptr;
  int* taken = nullptr;
  check(cudaMalloc(&counters, 4 * sizeof(int)));
  check(cudaMalloc(&taken, static_cast<std::size_t>(n) * sizeof(int)));
  check(cudaMemset(counters, 0, 4 * sizeof(int)));
  check(cudaMemset(taken, 0xFF, static_cast<std::size_t>(n) * sizeof(int)));
  launch("tickets", ticket_kernel, static_cast<unsigned>(n) / 32, 32, 0, nullptr, counters, taken);
  int host[4];
  check(cudaMemcpy(host, counters, sizeof host, cudaMemcpyDeviceToHost));
  check(cudaFree(counters));
  check(cudaFree(taken));
  return host[0] == n && host[2] == n - 1 && host[3] == 7 ? host[1] : -1;
}

void write_beyond(Buffer& y) { launch("beyond", beyond_kernel, 1, 1, 0, nullptr, y.data(), y.size()); }
void return_before_barrier() { launch("return", return_kernel, 1, 32, 0, nullptr); }
void wait_at_two_barriers() { launch("barriers", two_barriers_kernel, 1, 32, 0, nullptr); }
void launch(unsigned blocks, unsigned threads, std::size_t shared_bytes) {
  levda::autodiff::gpu::launch("nothing", nothing_kernel, blocks, threads, shared_bytes, nullptr);
}

}  // namespace sample
