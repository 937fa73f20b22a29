#pragma once

/// The state of the stand-in's device, and how work reaches it. Work on a stream is done before the call returns, so
/// that waiting for a stream or an event has nothing to do; on a stream that captures it is kept for a graph instead.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "arena.h"
#include "stand_in.h"

namespace levda::cuda_on_cpu {

using Work = std::function<cudaError_t()>;

/// From cudaStreamBeginCapture to cudaStreamEndCapture; other streams join by waiting for an event of it.
struct Capture {
  cudaStreamCaptureMode mode;
  std::thread::id owner;
  cudaStream_t origin;
  bool invalidated = false;
  std::vector<Work> nodes;
};

}  // namespace levda::cuda_on_cpu

struct CUstream_st {
  unsigned int flags;
  std::shared_ptr<levda::cuda_on_cpu::Capture> capture;
  std::uint64_t captured = 0;  // pieces of work, to know whether an event comes after all of them
  bool joined = true;          // the origin waits for all of them
};

struct CUevent_st {
  unsigned int flags;
  bool recorded = false;
  std::chrono::steady_clock::time_point time;
  std::shared_ptr<levda::cuda_on_cpu::Capture> capture;  // in which it was recorded last, if in one
  cudaStream_t stream = nullptr;
  std::uint64_t captured = 0;
};

struct CUgraph_st {
  std::vector<levda::cuda_on_cpu::Work> nodes;
};

struct CUgraphExec_st {
  std::vector<levda::cuda_on_cpu::Work> nodes;
};

namespace levda::cuda_on_cpu {

struct Device {
  std::mutex mutex;  // for all that follows
  Arena arena;
  int devices = 1;
  cudaError_t without_devices = cudaErrorNoDevice;
  cudaError_t fault = cudaSuccess;
  std::size_t memory_limit = Arena::capacity;
  bool refuses_bias_epilogue = false;
  Counts counts;
  std::map<std::uintptr_t, std::size_t> pinned;  // start: bytes
  std::set<cudaStream_t> streams;
  std::set<std::shared_ptr<Capture>> captures;

  /// The status that every call returns without devices or after a fault, else cudaSuccess.
  cudaError_t state() const;
  bool is_pinned(const void* memory, std::size_t bytes) const;

  /// Does the work, or keeps it if the stream captures.
  cudaError_t submit(cudaStream_t stream, const Work& work);
  /// Does it now.
  cudaError_t run(const Work& work);
  /// Whether a call that waits for the device or changes its memory may be made by this thread now; the captures that
  /// forbid it are invalidated. See cudaThreadExchangeStreamCaptureMode.
  cudaError_t may_do_unsafe();
  /// Whether the legacy stream may be used by this thread now.
  cudaError_t may_use_legacy();
  /// cudaSuccess if the stream exists and is not in a capture.
  cudaError_t not_capturing(cudaStream_t stream, cudaError_t otherwise);
};

/// The one device; never destroyed, as programs may call the runtime while static objects go.
Device& device();

bool is_legacy(cudaStream_t stream);

/// Runs f(Device&) under the mutex if there is a device without a fault. Errors become the thread's last error.
cudaError_t call(const std::function<cudaError_t(Device&)>& f);

/// Starts `thread` for every thread of the grid on the stream. Refuses what a device with compute capability 9.0 does.
cudaError_t launch_kernel(dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream,
                          std::function<void()> thread);

}  // namespace levda::cuda_on_cpu
