/// The CUDA backend: one GPU, one stream. Operations run asynchronously and in order, so that released memory can be
/// reused at once (block_cache.h).

#include <cuda_runtime.h>
#include <fmt/format.h>

#include <limits>

#include "autodiff/cuda/block_cache.h"
#include "autodiff/cuda/check.h"
#include "autodiff/cuda/kernels.h"
#include "autodiff/cuda/products.h"
#include "autodiff/cuda/staging.h"
#include "autodiff/error.h"

namespace levda::autodiff {

namespace {

using gpu::check;
using gpu::Context;
using gpu::Failure;
using gpu::Fault;

constexpr std::size_t workspace_bytes = std::size_t{32} << 20;  // recommended by cuBLAS for its fastest algorithms

std::string text(const Failure& failure) {
  switch (static_cast<Fault>(failure.fault)) {
    case Fault::none: break;
    case Fault::gather_index: return fmt::format("[gather] index {} is outside {} rows", failure.value, failure.limit);
    case Fault::scatter_index:
      return fmt::format("[scatter_add] index {} is outside {} rows", failure.value, failure.limit);
    case Fault::singular: return fmt::format("[solve] singular matrix of {} rows", failure.limit);
    case Fault::not_positive_definite:
      return fmt::format("[cholesky] not positive definite: a matrix of {} rows", failure.limit);
  }
  return "";
}

class CudaBackend;

/// A CUDA graph of the operations of f. The first run calls f itself, so that libraries load everything they need
/// before the recording.
class GraphRecording final : public Recording {
 public:
  GraphRecording(CudaBackend& backend, std::function<void()> f) : backend_(backend), f_(std::move(f)) {}
  ~GraphRecording() override;
  void run() override;

 private:
  void capture();

  CudaBackend& backend_;
  std::function<void()> f_;
  bool warm_ = false;
  cudaGraphExec_t graph_ = nullptr;
  gpu::BlockCache::RecordingId blocks_ = -1;
};

class CudaBackend final : public Backend {
 public:
  CudaBackend()
      : stream_(make_stream()), cache_({.allocate = device_memory, .release = [](void* memory) { cudaFree(memory); }}) {
    check("cuda", cudaGetDeviceProperties(&properties_, 0));
    check("cuda", cudaMallocHost(&seen_, sizeof(Failure)));
    context_ = {.stream = stream_, .failure = static_cast<Failure*>(cache_.allocate(sizeof(Failure)))};
    check("cuda", cudaMemsetAsync(context_.failure, 0, sizeof(Failure), stream_));
    products_ = std::make_unique<gpu::Products>(cache_.allocate(workspace_bytes), workspace_bytes);
  }

  Device device() const override { return Device::cuda; }
  std::string description() const override {
    int driver = 0;
    int runtime = 0;
    check("cuda", cudaDriverGetVersion(&driver));
    check("cuda", cudaRuntimeGetVersion(&runtime));
    const auto version = [](int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); };
    return fmt::format("{}, compute {}.{}, {:.0f} GiB, CUDA {} (driver for {})", properties_.name, properties_.major,
                       properties_.minor, static_cast<double>(properties_.totalGlobalMem) / (1 << 30), version(runtime),
                       version(driver));
  }
  std::int64_t lanes() const override { return 1; }
  void set_matmul_precision(MatmulPrecision precision) override { products_->set_precision(precision); }
  std::unique_ptr<Recording> record(std::function<void()> f) override {
    return std::make_unique<GraphRecording>(*this, std::move(f));
  }

  void* allocate(std::size_t bytes) override { return cache_.allocate(bytes); }
  void release(void* memory, std::size_t) noexcept override { cache_.release(memory); }
  std::size_t footprint(std::size_t bytes) const override { return gpu::BlockCache::rounded(bytes); }
  MemoryUse memory() const override { return cache_.use(); }
  void release_cache() override {
    synchronise();
    cache_.release_cache();
  }
  std::int64_t available() const override {
    std::size_t free = 0;
    std::size_t total = 0;
    check("cuda", cudaMemGetInfo(&free, &total));
    return static_cast<std::int64_t>(free) + cache_.cached();
  }
  void upload(void* to, const void* host, std::size_t bytes) override {
    not_while_recording("an upload");
    if (bytes > 0) staging_.upload(to, host, bytes, stream_);
  }
  void download(void* host, const void* from, std::size_t bytes) override {
    not_while_recording("a download");
    if (bytes > 0) check("download", cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream_));
    synchronise();
  }
  void synchronise() override {
    not_while_recording("waiting");
    check("synchronise", cudaMemcpyAsync(seen_, context_.failure, sizeof(Failure), cudaMemcpyDeviceToHost, stream_));
    check("synchronise", cudaStreamSynchronize(stream_));
    const Failure failure = *static_cast<const Failure*>(seen_);
    if (failure.fault == static_cast<int>(Fault::none)) return;
    check("synchronise", cudaMemsetAsync(context_.failure, 0, sizeof(Failure), stream_));
    throw Error(text(failure));
  }

  void fill(Tensor& y, double value) override { gpu::fill(context_, y, value); }
  void convert(const Tensor& x, Tensor& y) override { gpu::convert(context_, x, y); }
  void copy(const Shape& extents, const Tensor& x, const Strided& from, Tensor& y, const Strided& to) override {
    gpu::copy(context_, extents, x, from, y, to);
  }
  void unary(Unary f, const Tensor& x, Tensor& y) override { gpu::unary(context_, f, x, y); }
  void silu(const Tensor& x, Tensor& y, Tensor* derivative) override { gpu::silu(context_, x, y, derivative); }
  void binary(Binary f, const Tensor& a, const Tensor& b, Tensor& y) override { gpu::binary(context_, f, a, b, y); }
  void scale(const Tensor& x, double alpha, double beta, Tensor& y) override {
    gpu::scale(context_, x, alpha, beta, y);
  }
  void power(const Tensor& x, double p, Tensor& y) override { gpu::power(context_, x, p, y); }
  void select(const Tensor& mask, const Tensor& a, const Tensor& b, Tensor& y) override {
    gpu::select(context_, mask, a, b, y);
  }
  void matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const Tensor* bias,
              Tensor& y) override {
    products_->matmul(context_, a, transpose_a, b, transpose_b, bias, y);
  }
  void sum_to(const Tensor& x, Tensor& y) override { gpu::sum_to(context_, x, y); }
  void max_to(const Tensor& x, Tensor& y) override { gpu::max_to(context_, x, y); }
  void solve(const Tensor& a, bool transpose_a, const Tensor& b, Tensor& y) override {
    gpu::solve(context_, a, transpose_a, b, y);
  }
  void cholesky(const Tensor& a, Tensor& y) override { gpu::cholesky(context_, a, y); }
  Range range(const Tensor& x) override { return gpu::range(context_, x); }
  void gather(const Tensor& x, const Tensor& index, int axis, Tensor& y) override {
    gpu::gather(context_, x, index, axis, y);
  }
  void scatter_add(const Tensor& x, const Tensor& index, int axis, Tensor& y) override {
    gpu::scatter_add(context_, x, index, axis, y);
  }
  void adam(const AdamConstants& constants, const Tensor& now, const Tensor& g, Tensor& m, Tensor& v,
            Tensor& p) override {
    gpu::adam(context_, constants, now, g, m, v, p);
  }
  void draw_rows(const RandomRows& rows, const Tensor& step, const Tensor& base, Tensor& y) override {
    gpu::draw_rows(context_, rows, step, base, y);
  }

 private:
  friend class GraphRecording;

  static cudaStream_t make_stream() {
    cudaStream_t stream = nullptr;
    check("cuda", cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
  }
  static void* device_memory(std::size_t bytes) {
    void* memory = nullptr;
    if (cudaMalloc(&memory, bytes) == cudaSuccess) return memory;
    cudaGetLastError();  // clears the error, which the next launch would report as its
    return nullptr;
  }
  void not_while_recording(const char* what) const {
    if (recording_) throw Error(fmt::format("{} inside a recorded step", what));
  }

  cudaStream_t stream_;
  gpu::BlockCache cache_;
  gpu::Staging staging_;
  cudaDeviceProp properties_{};
  void* seen_ = nullptr;  // page-locked copy of the failure
  Context context_{};
  std::unique_ptr<gpu::Products> products_;
  bool recording_ = false;
};

GraphRecording::~GraphRecording() {
  if (graph_ == nullptr) return;
  cudaStreamSynchronize(backend_.stream_);
  cudaGraphExecDestroy(graph_);
  backend_.cache_.forget(blocks_);
}

void GraphRecording::run() {
  if (!warm_) {
    f_();
    warm_ = true;
    return;
  }
  if (graph_ == nullptr) capture();
  check("recording", cudaGraphLaunch(graph_, backend_.stream_));
}

void GraphRecording::capture() {
  // Relaxed: f may ask for memory.
  check("recording", cudaStreamBeginCapture(backend_.stream_, cudaStreamCaptureModeRelaxed));
  blocks_ = backend_.cache_.begin_recording();
  backend_.recording_ = true;
  cudaGraph_t graph = nullptr;
  const auto end = [&] {
    backend_.recording_ = false;
    backend_.cache_.end_recording();
    return cudaStreamEndCapture(backend_.stream_, &graph);
  };
  try {
    f_();
  } catch (...) {
    end();
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();
    backend_.cache_.forget(blocks_);
    throw;
  }
  check("recording", end());
  const cudaError_t status = cudaGraphInstantiate(&graph_, graph, 0);
  cudaGraphDestroy(graph);
  check("recording", status);
}

}  // namespace

Backend& cuda() {
  // Tried again after a failure, because a driver may be installed while the program runs. Never destroyed, like the
  // CPU backend.
  static CudaBackend* backend = nullptr;
  static std::mutex mutex;
  const std::scoped_lock lock(mutex);
  if (backend == nullptr) {
    int devices = 0;
    const cudaError_t status = cudaGetDeviceCount(&devices);
    if (status == cudaErrorInsufficientDriver)
      throw Error("no NVIDIA driver here, or one older than the CUDA of this build");
    if (status == cudaErrorNoDevice || (status == cudaSuccess && devices == 0)) throw Error("no NVIDIA GPU here");
    check("cuda", status);
    backend = new CudaBackend;
  }
  return *backend;
}

}  // namespace levda::autodiff
