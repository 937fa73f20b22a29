#include "device.h"

#include <algorithm>

#include "fibers.h"
#include "last_error.h"

namespace levda::cuda_on_cpu {

Device& device() {
  static Device& one = *new Device;
  return one;
}

cudaError_t Device::state() const {
  if (fault != cudaSuccess) return fault;
  return devices > 0 ? cudaSuccess : without_devices;
}

bool Device::is_pinned(const void* memory, std::size_t bytes) const {
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  auto after = pinned.upper_bound(address);
  if (after == pinned.begin()) return false;
  const auto& [start, size] = *--after;
  return address - start <= size && bytes <= size - (address - start);
}

bool is_legacy(cudaStream_t stream) { return stream == nullptr || stream == cudaStreamLegacy; }

cudaError_t Device::submit(cudaStream_t stream, const Work& work) {
  if (is_legacy(stream)) {
    const cudaError_t error = may_use_legacy();
    return error != cudaSuccess ? error : run(work);
  }
  if (stream == cudaStreamPerThread) return run(work);
  if (!streams.contains(stream)) return cudaErrorInvalidResourceHandle;
  if (!stream->capture) return run(work);
  if (stream->capture->invalidated) return cudaErrorStreamCaptureInvalidated;
  stream->capture->nodes.push_back(work);
  ++stream->captured;
  stream->joined = false;
  return cudaSuccess;
}

cudaError_t Device::run(const Work& work) {
  const Arena::Open open(arena);
  return work();
}

cudaError_t Device::may_do_unsafe() {
  cudaError_t error = cudaSuccess;
  for (const auto& capture : captures) {
    const bool own = capture->owner == std::this_thread::get_id();
    if (thread_capture_mode == cudaStreamCaptureModeRelaxed || capture->mode == cudaStreamCaptureModeRelaxed) continue;
    const bool global =
        thread_capture_mode == cudaStreamCaptureModeGlobal && capture->mode == cudaStreamCaptureModeGlobal;
    if (!own && !global) continue;
    capture->invalidated = true;
    error = cudaErrorStreamCaptureUnsupported;
  }
  return error;
}

cudaError_t Device::may_use_legacy() {
  cudaError_t error = cudaSuccess;
  for (const auto& capture : captures) {
    // A device lets the legacy stream work beside a capture on a stream that does not block, and the work is missing
    // in the graph. By the thread that captures it is a mistake.
    const bool blocking = (capture->origin->flags & cudaStreamNonBlocking) == 0;
    if (!blocking && capture->owner != std::this_thread::get_id()) continue;
    capture->invalidated = true;
    error = cudaErrorStreamCaptureImplicit;
  }
  return error;
}

cudaError_t Device::not_capturing(cudaStream_t stream, cudaError_t otherwise) {
  if (is_legacy(stream) || stream == cudaStreamPerThread) return cudaSuccess;
  if (!streams.contains(stream)) return cudaErrorInvalidResourceHandle;
  if (!stream->capture) return cudaSuccess;
  stream->capture->invalidated = true;
  return otherwise;
}

cudaError_t call(const std::function<cudaError_t(Device&)>& f) {
  Device& d = device();
  const std::lock_guard<std::mutex> lock(d.mutex);
  const cudaError_t state = d.state();
  if (state != cudaSuccess) return state;
  const cudaError_t error = f(d);
  if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
  return error;
}

cudaError_t launch_kernel(dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream,
                          std::function<void()> thread) {
  return call([&](Device& d) {
    constexpr unsigned int most_threads = 1024;
    const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
    const bool fits = block.x <= most_threads && block.y <= most_threads && block.z <= 64 && threads > 0 &&
                      threads <= most_threads && grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= 0x7FFFFFFFU &&
                      grid.y <= 0xFFFFU && grid.z <= 0xFFFFU && shared_bytes <= std::size_t{48} * 1024;
    if (!fits) return cudaErrorInvalidConfiguration;
    const cudaError_t error = d.submit(stream, [&d, grid, block, thread = std::move(thread)] {
      run_grid(grid, block, thread);
      ++d.counts.kernels_run;
      return cudaSuccess;
    });
    if (error == cudaSuccess) ++d.counts.launches;
    return error;
  });
}

void set_device_count(int count, cudaError_t without) {
  const std::lock_guard<std::mutex> lock(device().mutex);
  device().devices = count;
  device().without_devices = without;
}

void set_memory_limit(std::size_t bytes) {
  const std::lock_guard<std::mutex> lock(device().mutex);
  device().memory_limit = std::min(bytes, Arena::capacity);
}

void set_fault(cudaError_t error) {
  const std::lock_guard<std::mutex> lock(device().mutex);
  device().fault = error;
}

void refuse_bias_epilogue(bool refuse) {
  const std::lock_guard<std::mutex> lock(device().mutex);
  device().refuses_bias_epilogue = refuse;
}

Counts counts() {
  const std::lock_guard<std::mutex> lock(device().mutex);
  Counts result = device().counts;
  result.live_bytes = device().arena.live_bytes();
  return result;
}

}  // namespace levda::cuda_on_cpu
