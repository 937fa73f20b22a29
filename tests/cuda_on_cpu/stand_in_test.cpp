#include "stand_in.h"

#include <cublasLt.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "autodiff/error.h"
#include "sample.h"

using levda::cuda_on_cpu::Counts;
using levda::cuda_on_cpu::counts;
using levda::cuda_on_cpu::Order;
using levda::cuda_on_cpu::set_order;
using sample::Buffer;

namespace {

/// The exit status of a child process that called f, and its output to stderr.
struct Ending {
  bool died;
  int signal;
  std::string text;
};

Ending in_child(const std::function<void()>& f) {
  int pipe_ends[2];
  REQUIRE(pipe(pipe_ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    dup2(pipe_ends[1], STDERR_FILENO);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    for (const int signal : {SIGSEGV, SIGABRT}) std::signal(signal, SIG_DFL);  // doctest's, the sanitizer's
    f();
    _exit(0);
  }
  close(pipe_ends[1]);
  Ending ending{};
  char buffer[4096];
  for (ssize_t n = 0; (n = read(pipe_ends[0], buffer, sizeof buffer)) > 0;)
    ending.text.append(buffer, static_cast<std::size_t>(n));
  close(pipe_ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  ending.died = status != 0;
  ending.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  return ending;
}

/// Runs f in every order, and puts the usual one back.
void in_every_order(const std::function<void()>& f) {
  for (const Order order : {Order::forward, Order::reverse, Order::shuffled, Order::shuffled, Order::shuffled}) {
    static std::uint64_t seed = 0;
    set_order(order, ++seed);
    f();
  }
  set_order(Order::forward);
}

std::vector<float> ramp(std::size_t n) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(i % 17) - 8;
  return x;
}

/// A new stream, blocking or not.
struct Stream {
  explicit Stream(unsigned flags = cudaStreamNonBlocking) {
    REQUIRE(cudaStreamCreateWithFlags(&s, flags) == cudaSuccess);
  }
  ~Stream() { CHECK(cudaStreamDestroy(s) == cudaSuccess); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return s; }
  cudaStream_t s = nullptr;
};

struct Pinned {
  explicit Pinned(std::size_t n) { REQUIRE(cudaMallocHost(&data, n * sizeof(float)) == cudaSuccess); }
  ~Pinned() { CHECK(cudaFreeHost(data) == cudaSuccess); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  float* data = nullptr;
};

}  // namespace

TEST_CASE("stand-in: every element once, in every order") {
  const Buffer x(ramp(1000));
  in_every_order([&] {
    Buffer y(std::vector<float>(1000, 1));
    sample::axpy(2, x, y);
    const std::vector<float> host = y.download();
    for (std::size_t i = 0; i < 1000; ++i) CHECK(host[i] == 2 * (static_cast<float>(i % 17) - 8) + 1);
  });
}

TEST_CASE("stand-in: grids and blocks of three dimensions, atomics") {
  in_every_order([] {
    Buffer y(24 * 6 * 5);
    sample::number(y);
    const std::vector<float> host = y.download();
    for (std::size_t i = 0; i < host.size(); ++i) CHECK(host[i] == static_cast<float>(i));
    CHECK(sample::tickets(320) == 320);
  });
}

TEST_CASE("stand-in: threads meet at barriers") {
  std::vector<float> values = ramp(3000);
  double expected = 0;
  for (const float value : values) expected += value;  // small integers: exact in any order
  const Buffer x(values);
  in_every_order([&] { CHECK(sample::sum(x) == static_cast<float>(expected)); });
}

TEST_CASE("stand-in: a missing barrier shows, and which way is what the order says") {
  std::vector<float> values(256);
  for (std::size_t i = 0; i < 256; ++i) values[i] = static_cast<float>(i);
  const Buffer x(values);
  Buffer y(256);
  in_every_order([&] {
    sample::reverse_blocks(x, y, true);
    const std::vector<float> host = y.download();
    for (std::size_t i = 0; i < 256; ++i) CHECK(host[i] == static_cast<float>(i / 64 * 64 + 63 - i % 64));
  });
  // The number of threads of each half of block 2 that found the numbers of the other half.
  const auto right = [&](Order order, std::uint64_t seed) {
    set_order(order, seed);
    sample::reverse_blocks(x, y, false);
    set_order(Order::forward);
    const std::vector<float> host = y.download();
    std::pair<int, int> count;
    for (int t = 0; t < 64; ++t)
      (t < 32 ? count.first : count.second) += host[static_cast<std::size_t>(128 + t)] == static_cast<float>(191 - t);
    return count;
  };
  CHECK(right(Order::forward, 0) == std::pair(0, 32));
  CHECK(y.download()[128] == 127);  // left by block 1
  CHECK(right(Order::reverse, 0) == std::pair(32, 0));
  CHECK(y.download()[191] == 192);  // by block 3
  const auto [first, second] = right(Order::shuffled, 1);
  CHECK(first + second == 32);  // of each two that exchange numbers, the later one
  CHECK(first > 0);
  CHECK(second > 0);
  const std::vector<float> one = y.download();
  static_cast<void>(right(Order::shuffled, 2));
  CHECK(y.download() != one);
}

TEST_CASE("stand-in: a barrier that not all threads reach ends the program") {
  const Ending some_returned = in_child([] { sample::return_before_barrier(); });
  CHECK(some_returned.signal == SIGABRT);
  CHECK(some_returned.text.find("other threads of the block have returned") != std::string::npos);
  CHECK(some_returned.text.find("thread (0, 0, 0) waits at the barrier of ") != std::string::npos);
  const Ending two = in_child([] { sample::wait_at_two_barriers(); });
  CHECK(two.signal == SIGABRT);
  CHECK(two.text.find("other threads of the block wait at another one") != std::string::npos);
}

TEST_CASE("stand-in: device memory is closed to the host") {
  const Buffer x(ramp(10));
  const Ending reads = in_child([&] { std::fprintf(stderr, "%g", double{*const_cast<volatile float*>(x.data())}); });
  CHECK(reads.signal == SIGSEGV);
  CHECK(reads.text.empty());
  const Ending writes = in_child([&] { *const_cast<volatile float*>(x.data()) = 1; });
  CHECK(writes.signal == SIGSEGV);
  CHECK(!in_child([&] { static_cast<void>(x.download()); }).died);
}

#ifdef __SANITIZE_ADDRESS__
TEST_CASE("stand-in: kernels that leave their memory are found") {
  for (const std::size_t n : {1, 10, 63, 64, 65, 255, 256, 1 << 20}) {  // the last where nothing was before
    Buffer before(n);
    Buffer y(n);
    Buffer after(n);
    const Ending ending = in_child([&] { sample::write_beyond(y); });
    CHECK(ending.died);
    CHECK(ending.text.find("use-after-poison") != std::string::npos);
  }
  const Ending freed = in_child([] {
    auto gone = std::make_unique<Buffer>(ramp(8));
    Buffer y(ramp(8));
    float* const data = gone->data();
    gone.reset();
    static_cast<void>(data);
    const Buffer hidden(1);  // takes the place of `gone`, but only 4 bytes of it
    cudaMemcpy(y.data(), data, 8 * sizeof(float), cudaMemcpyDeviceToDevice);
    _exit(cudaGetLastError() == cudaErrorInvalidValue ? 0 : 1);
  });
  CHECK(!freed.died);
}
#endif

TEST_CASE("stand-in: memory is NaN at first, aligned, counted and limited") {
  const Counts before = counts();
  {
    Buffer x(7);
    Buffer y(1);
    for (const Buffer* b : {&x, &y}) CHECK(reinterpret_cast<std::uintptr_t>(b->data()) % 256 == 0);
    for (const float value : x.download()) CHECK(std::isnan(value));
    CHECK(counts().live_bytes == before.live_bytes + 8 * sizeof(float));
    CHECK(counts().allocations == before.allocations + 2);

    levda::cuda_on_cpu::set_memory_limit(counts().live_bytes + 100);
    std::size_t free = 0;
    std::size_t total = 0;
    CHECK(cudaMemGetInfo(&free, &total) == cudaSuccess);
    CHECK(free == 100);
    void* memory = nullptr;
    CHECK(cudaMalloc(&memory, 101) == cudaErrorMemoryAllocation);
    CHECK(memory == nullptr);
    CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
    CHECK(cudaGetLastError() == cudaSuccess);
    CHECK(cudaMalloc(&memory, 100) == cudaSuccess);
    CHECK(cudaFree(memory) == cudaSuccess);
    levda::cuda_on_cpu::set_memory_limit(std::size_t{1} << 60);
    CHECK(cudaMalloc(&memory, std::size_t{9} << 30) == cudaErrorMemoryAllocation);
    CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
    CHECK(cudaMalloc(&memory, 0) == cudaSuccess);
    CHECK(memory == nullptr);
    CHECK(cudaFree(nullptr) == cudaSuccess);
    CHECK(cudaFree(x.data() + 1) == cudaErrorInvalidValue);
    int of_host = 0;
    CHECK(cudaFree(&of_host) == cudaErrorInvalidValue);
    CHECK(cudaFreeHost(&of_host) == cudaErrorInvalidValue);
    CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  }
  CHECK(counts().live_bytes == before.live_bytes);
}

TEST_CASE("stand-in: freed memory is used again") {
  const Buffer keeps(100);
  const float* place = nullptr;
  for (int i = 0; i < 3; ++i) {
    const Buffer x(50);
    const Buffer y(1000);
    if (i > 0) CHECK(x.data() == place);
    place = x.data();
  }
}

TEST_CASE("stand-in: copies stay in allocations and go where they say") {
  Buffer x(ramp(10));
  std::vector<float> host(20);
  const auto copy = [](void* to, const void* from, std::size_t n, cudaMemcpyKind kind) {
    const cudaError_t error = cudaMemcpy(to, from, n * sizeof(float), kind);
    CHECK(cudaGetLastError() == error);
    return error;
  };
  CHECK(copy(host.data(), x.data(), 10, cudaMemcpyDefault) == cudaSuccess);
  CHECK(host[9] == ramp(10)[9]);
  CHECK(copy(host.data(), x.data() + 3, 7, cudaMemcpyDeviceToHost) == cudaSuccess);
  CHECK(host[0] == ramp(10)[3]);
  CHECK(copy(host.data() + 10, host.data(), 10, cudaMemcpyHostToHost) == cudaSuccess);
  CHECK(copy(host.data(), x.data(), 11, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(copy(host.data(), x.data() + 3, 8, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(copy(x.data(), host.data(), 11, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(copy(x.data(), host.data(), 10, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(copy(host.data(), host.data(), 1, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(copy(x.data(), nullptr, 1, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(copy(nullptr, nullptr, 0, cudaMemcpyHostToDevice) == cudaSuccess);
  CHECK(cudaMemset(x.data(), 0, 10 * sizeof(float)) == cudaSuccess);
  CHECK(x.download() == std::vector<float>(10));
  CHECK(cudaMemset(x.data(), 0, 11 * sizeof(float)) == cudaErrorInvalidValue);
  CHECK(cudaMemset(host.data(), 0, 4) == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
}

TEST_CASE("stand-in: launches that a device refuses") {
  sample::launch(1, 1024, 48 * 1024);
  sample::launch(1 << 16, 1, 0);
  const auto refused = [](unsigned blocks, unsigned threads, std::size_t shared) {
    CHECK_THROWS_WITH_AS(sample::launch(blocks, threads, shared), "[nothing] CUDA: invalid configuration argument",
                         levda::Error);
  };
  const std::int64_t before = counts().launches;
  refused(0, 1, 0);
  refused(1, 0, 0);
  refused(1, 1025, 0);
  refused(0x80000000U, 1, 0);
  refused(1, 1, 48 * 1024 + 1);
  CHECK(counts().launches == before);
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("stand-in: without a device, and after a fault") {
  const Buffer x(4);
  levda::cuda_on_cpu::set_device_count(0);
  int count = 7;
  CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
  CHECK(count == 0);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 4) == cudaErrorNoDevice);
  cublasLtHandle_t handle = nullptr;
  CHECK(cublasLtCreate(&handle) == CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK_THROWS_WITH_AS(sample::launch(1, 1, 0), "[nothing] CUDA: no CUDA-capable device is detected", levda::Error);

  levda::cuda_on_cpu::set_device_count(0, cudaErrorInsufficientDriver);
  count = 7;
  CHECK(cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver);
  CHECK(count == 7);
  int version = -1;
  CHECK(cudaDriverGetVersion(&version) == cudaSuccess);
  CHECK(version == 0);

  levda::cuda_on_cpu::set_device_count(2);
  CHECK(cudaGetDeviceCount(&count) == cudaSuccess);
  CHECK(count == 2);
  CHECK(cudaSetDevice(1) == cudaSuccess);
  CHECK(cudaSetDevice(2) == cudaErrorInvalidDevice);
  CHECK(cudaGetLastError() == cudaErrorInvalidDevice);
  levda::cuda_on_cpu::set_device_count(1);

  levda::cuda_on_cpu::set_fault(cudaErrorIllegalAddress);
  CHECK_THROWS_AS(static_cast<void>(x.download()), levda::Error);
  CHECK(cudaGetLastError() == cudaErrorIllegalAddress);
  CHECK(cudaGetLastError() == cudaErrorIllegalAddress);
  levda::cuda_on_cpu::set_fault(cudaSuccess);
  CHECK(cudaGetLastError() == cudaSuccess);
  static_cast<void>(x.download());

  cudaDeviceProp properties{};
  CHECK(cudaGetDeviceProperties(&properties, 0) == cudaSuccess);
  CHECK(std::string(properties.name) == "CPU stand-in");
  CHECK(properties.multiProcessorCount > 0);
  CHECK(std::string(cudaGetErrorName(cudaErrorNoDevice)) == "cudaErrorNoDevice");
}

TEST_CASE("stand-in: a graph does when it is launched what was captured") {
  const Buffer x(ramp(1000));
  in_every_order([&] {
    Buffer y(std::vector<float>(1000));
    const Counts before = counts();
    sample::axpy_replayed(2, x, y, 3);
    const Counts after = counts();
    CHECK(after.launches - before.launches == 1);
    CHECK(after.kernels_run - before.kernels_run == 3);
    CHECK(after.graph_launches - before.graph_launches == 3);
    CHECK(after.live_objects == before.live_objects);
    const std::vector<float> host = y.download();
    for (std::size_t i = 0; i < 1000; ++i) CHECK(host[i] == 6 * (static_cast<float>(i % 17) - 8));
  });
}

TEST_CASE("stand-in: what a capture keeps") {
  const Stream stream;
  const Pinned pinned(4);
  Buffer x(ramp(4));
  Buffer y(4);
  for (int i = 0; i < 4; ++i) pinned.data[i] = 5;
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed) == cudaSuccess);
  cudaStreamCaptureStatus status{};
  CHECK(cudaStreamIsCapturing(stream, &status) == cudaSuccess);
  CHECK(status == cudaStreamCaptureStatusActive);
  CHECK(cudaMemcpyAsync(y.data(), x.data(), 16, cudaMemcpyDeviceToDevice, stream) == cudaSuccess);
  CHECK(cudaMemsetAsync(x.data(), 0, 8, stream) == cudaSuccess);
  CHECK(cudaMemcpyAsync(pinned.data, x.data(), 16, cudaMemcpyDeviceToHost, stream) == cudaSuccess);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 4) == cudaSuccess);  // the capture is relaxed
  CHECK(cudaFree(memory) == cudaSuccess);
  CHECK(pinned.data[3] == 5);
  cudaGraph_t graph = nullptr;
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  CHECK(x.download() == ramp(4));
  std::size_t nodes = 0;
  CHECK(cudaGraphGetNodes(graph, nullptr, &nodes) == cudaSuccess);
  CHECK(nodes == 3);
  cudaGraphExec_t executable = nullptr;
  REQUIRE(cudaGraphInstantiate(&executable, graph) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(cudaGraphUpload(executable, stream) == cudaSuccess);
  CHECK(cudaGraphLaunch(executable, stream) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
  CHECK(y.download() == ramp(4));
  CHECK(x.download() == std::vector<float>{0, 0, -6, -5});
  CHECK(pinned.data[3] == -5);
}

TEST_CASE("stand-in: a graph whose memory is gone says so") {
  const Stream stream;
  auto x = std::make_unique<Buffer>(4);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(cudaMemsetAsync(x->data(), 0, 16, stream) == cudaSuccess);
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  REQUIRE(cudaGraphInstantiate(&executable, graph) == cudaSuccess);
  CHECK(cudaGraphLaunch(executable, stream) == cudaSuccess);
  x.reset();
  CHECK(cudaGraphLaunch(executable, stream) == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
}

TEST_CASE("stand-in: what a capture forbids ends it") {
  Buffer x(4);
  float host[4] = {};
  void* memory = nullptr;
  cudaEvent_t event = nullptr;
  REQUIRE(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
  const auto forbidden = [&](cudaStreamCaptureMode mode, unsigned flags, cudaError_t expected,
                             const std::function<cudaError_t(cudaStream_t)>& f) {
    const Stream stream(flags);
    REQUIRE(cudaStreamBeginCapture(stream, mode) == cudaSuccess);
    CHECK(f(stream) == expected);
    CHECK(cudaGetLastError() == expected);
    cudaStreamCaptureStatus status{};
    CHECK(cudaStreamIsCapturing(stream, &status) == cudaSuccess);
    CHECK(status == cudaStreamCaptureStatusInvalidated);
    CHECK(cudaMemsetAsync(x.data(), 0, 4, stream) == cudaErrorStreamCaptureInvalidated);
    cudaGraph_t graph = reinterpret_cast<cudaGraph_t>(&host);
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
    CHECK(graph == nullptr);
    CHECK(cudaMemsetAsync(x.data(), 0, 4, stream) == cudaSuccess);  // the stream can be used again
    CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
    CHECK(cudaGetLastError() == cudaErrorStreamCaptureInvalidated);
  };
  constexpr auto global = cudaStreamCaptureModeGlobal;
  constexpr auto relaxed = cudaStreamCaptureModeRelaxed;
  constexpr auto unsupported = cudaErrorStreamCaptureUnsupported;
  for (const cudaStreamCaptureMode mode : {global, cudaStreamCaptureModeThreadLocal, relaxed}) {
    forbidden(mode, cudaStreamNonBlocking, unsupported, cudaStreamSynchronize);
    forbidden(mode, cudaStreamNonBlocking, unsupported, [](cudaStream_t) { return cudaDeviceSynchronize(); });
    forbidden(mode, cudaStreamNonBlocking, unsupported,
              [&](cudaStream_t s) { return cudaMemcpyAsync(host, x.data(), 16, cudaMemcpyDeviceToHost, s); });
    forbidden(mode, cudaStreamNonBlocking, unsupported,
              [&](cudaStream_t s) { return cudaMemcpyAsync(x.data(), host, 16, cudaMemcpyHostToDevice, s); });
    forbidden(mode, cudaStreamNonBlocking, cudaErrorCapturedEvent, [&](cudaStream_t s) {
      CHECK(cudaEventRecord(event, s) == cudaSuccess);
      return cudaEventSynchronize(event);
    });
    for (const unsigned flags : {cudaStreamDefault, cudaStreamNonBlocking})
      forbidden(mode, flags, cudaErrorStreamCaptureImplicit,
                [&](cudaStream_t) { return cudaMemsetAsync(x.data(), 0, 16); });
  }
  for (const cudaStreamCaptureMode mode : {global, cudaStreamCaptureModeThreadLocal}) {
    forbidden(mode, cudaStreamNonBlocking, unsupported, [&](cudaStream_t) { return cudaMalloc(&memory, 4); });
    forbidden(mode, cudaStreamNonBlocking, unsupported, [&](cudaStream_t) { return cudaFree(x.data()); });
    forbidden(mode, cudaStreamNonBlocking, unsupported,
              [&](cudaStream_t) { return cudaMemcpy(host, x.data(), 16, cudaMemcpyDeviceToHost); });
  }
  // Another thread's capture forbids it too, if that is global and the thread did not relax.
  const auto elsewhere = [&] {
    cudaError_t error{};
    std::thread([&] { error = cudaMalloc(&memory, 4); }).join();
    return error;
  };
  forbidden(global, cudaStreamNonBlocking, unsupported, [&](cudaStream_t) {
    const cudaError_t error = elsewhere();
    CHECK(cudaStreamSynchronize(nullptr) == cudaErrorStreamCaptureImplicit);
    return cudaMalloc(&memory, 4) == error ? error : cudaSuccess;
  });
  const Stream stream;
  cudaGraph_t graph = nullptr;
  REQUIRE(cudaStreamBeginCapture(stream, global) == cudaSuccess);
  cudaStreamCaptureMode mode = relaxed;
  CHECK(cudaThreadExchangeStreamCaptureMode(&mode) == cudaSuccess);
  CHECK(mode == global);
  CHECK(cudaMalloc(&memory, 4) == cudaSuccess);
  CHECK(cudaFree(memory) == cudaSuccess);
  CHECK(cudaThreadExchangeStreamCaptureMode(&mode) == cudaSuccess);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(cudaEventDestroy(event) == cudaSuccess);
}

TEST_CASE("stand-in: captures begin and end once, in one thread") {
  const Stream stream;
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorIllegalState);
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaErrorIllegalState);
  std::thread([&] {
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureWrongThread);
    void* memory = nullptr;
    CHECK(cudaMalloc(&memory, 4) == cudaSuccess);
    CHECK(cudaMemset(memory, 0, 4) == cudaSuccess);  // the capturing stream does not block
    CHECK(cudaFree(memory) == cudaSuccess);
  }).join();
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  static_cast<void>(cudaGetLastError());
}

TEST_CASE("stand-in: other streams join a capture by events") {
  const Stream stream;
  const Stream other;
  Buffer x(4);
  cudaEvent_t fork = nullptr;
  cudaEvent_t join = nullptr;
  cudaEvent_t outside = nullptr;
  for (cudaEvent_t* event : {&fork, &join, &outside}) REQUIRE(cudaEventCreate(event) == cudaSuccess);
  CHECK(cudaEventRecord(outside, other) == cudaSuccess);
  for (const int late : {0, 1, 2}) {  // work of the other stream that nothing waits for
    REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    CHECK(cudaEventRecord(fork, stream) == cudaSuccess);
    CHECK(cudaStreamWaitEvent(other, fork) == cudaSuccess);
    CHECK(cudaMemsetAsync(x.data(), 0, 16, other) == cudaSuccess);
    CHECK(cudaEventRecord(join, other) == cudaSuccess);
    if (late == 1) CHECK(cudaMemsetAsync(x.data(), 0, 16, other) == cudaSuccess);
    CHECK(cudaStreamWaitEvent(stream, join) == cudaSuccess);
    if (late == 2) CHECK(cudaMemsetAsync(x.data(), 0, 16, other) == cudaSuccess);
    cudaGraph_t graph = nullptr;
    CHECK(cudaStreamEndCapture(stream, &graph) == (late == 0 ? cudaSuccess : cudaErrorStreamCaptureUnjoined));
    if (graph) CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  }
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(cudaStreamWaitEvent(stream, outside) == cudaErrorStreamCaptureIsolation);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
  for (const cudaEvent_t event : {fork, join, outside}) CHECK(cudaEventDestroy(event) == cudaSuccess);
  static_cast<void>(cudaGetLastError());
}

TEST_CASE("stand-in: events measure time") {
  cudaEvent_t start = nullptr;
  cudaEvent_t end = nullptr;
  REQUIRE(cudaEventCreate(&start) == cudaSuccess);
  REQUIRE(cudaEventCreate(&end) == cudaSuccess);
  float milliseconds = -1;
  CHECK(cudaEventElapsedTime(&milliseconds, start, end) == cudaErrorInvalidResourceHandle);
  CHECK(cudaGetLastError() == cudaErrorInvalidResourceHandle);
  CHECK(cudaEventRecord(start) == cudaSuccess);
  sample::launch(1000, 32, 0);
  CHECK(cudaEventRecord(end) == cudaSuccess);
  CHECK(cudaEventSynchronize(end) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&milliseconds, start, end) == cudaSuccess);
  CHECK(milliseconds > 0);
  CHECK(cudaEventDestroy(start) == cudaSuccess);
  CHECK(cudaEventDestroy(end) == cudaSuccess);
}

TEST_CASE("stand-in: threads of the host take turns") {
  std::vector<std::thread> threads;
  std::vector<float> sums(4);
  for (std::size_t t = 0; t < sums.size(); ++t)
    threads.emplace_back([&sums, t] {
      for (int i = 0; i < 20; ++i) {
        const Buffer x(std::vector<float>(500, static_cast<float>(t)));
        sums[t] = sample::sum(x);
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (std::size_t t = 0; t < sums.size(); ++t) CHECK(sums[t] == 500 * static_cast<float>(t));
}
