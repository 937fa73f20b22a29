/// The functions of cuda_runtime.h.

#include <cstdlib>
#include <cstring>
#include <memory>

#include "device.h"
#include "last_error.h"

using levda::cuda_on_cpu::call;
using levda::cuda_on_cpu::Capture;
using levda::cuda_on_cpu::Device;
using levda::cuda_on_cpu::device;
using levda::cuda_on_cpu::is_legacy;
using levda::cuda_on_cpu::last_error;
using levda::cuda_on_cpu::thread_capture_mode;
using levda::cuda_on_cpu::Work;

namespace {

constexpr int version_of_cuda = 13000;

struct Text {
  cudaError_t error;
  const char* name;
  const char* message;
};

constexpr Text texts[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidDevicePointer, "cudaErrorInvalidDevicePointer", "invalid device pointer"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorIllegalState, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch"},
    {cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotPermitted, "cudaErrorNotPermitted", "operation not permitted"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureMerge, "cudaErrorStreamCaptureMerge",
     "operation would result in a merge of separate capture sequences"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream as it began"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
    {cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another thread"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};
constexpr Text unknown_text{cudaErrorUnknown, "unrecognized error code", "unrecognized error code"};

const Text& text(cudaError_t error) {
  for (const Text& t : texts)
    if (t.error == error) return t;
  return unknown_text;
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) { return text(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return text(error).message; }

cudaError_t cudaPeekAtLastError() {
  const std::lock_guard<std::mutex> lock(device().mutex);
  const cudaError_t state = device().state();
  return state != cudaSuccess ? state : last_error;
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  last_error = cudaSuccess;
  return error;
}

cudaError_t cudaDriverGetVersion(int* version) {
  if (!version) return last_error = cudaErrorInvalidValue;
  const std::lock_guard<std::mutex> lock(device().mutex);
  const bool no_driver = device().devices == 0 && device().without_devices == cudaErrorInsufficientDriver;
  *version = no_driver ? 0 : version_of_cuda;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  if (!version) return last_error = cudaErrorInvalidValue;
  *version = version_of_cuda;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  if (!count) return last_error = cudaErrorInvalidValue;
  const std::lock_guard<std::mutex> lock(device().mutex);
  const cudaError_t state = device().state();
  if (state != cudaErrorInsufficientDriver) *count = device().devices;  // without a driver it stays as it was
  return state;
}

cudaError_t cudaSetDevice(int index) {
  return call([=](Device& d) { return index < 0 || index >= d.devices ? cudaErrorInvalidDevice : cudaSuccess; });
}

cudaError_t cudaGetDevice(int* index) {
  return call([=](Device&) {
    if (!index) return cudaErrorInvalidValue;
    *index = 0;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int index) {
  return call([=](Device& d) {
    if (!properties) return cudaErrorInvalidValue;
    if (index < 0 || index >= d.devices) return cudaErrorInvalidDevice;
    *properties = {.name = "CPU stand-in",
                   .totalGlobalMem = d.memory_limit,
                   .sharedMemPerBlock = std::size_t{48} * 1024,
                   .warpSize = 32,
                   .maxThreadsPerBlock = 1024,
                   .major = 9,
                   .minor = 0,
                   .multiProcessorCount = 4};
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call([](Device& d) {
    for (const auto& capture : d.captures) capture->invalidated = true;
    return d.captures.empty() ? cudaSuccess : cudaErrorStreamCaptureUnsupported;
  });
}

// Memory

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return call([=](Device& d) {
    if (!free || !total) return cudaErrorInvalidValue;
    *total = d.memory_limit;
    *free = d.memory_limit - std::min(d.memory_limit, d.arena.live_bytes());
    return cudaSuccess;
  });
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  return call([=](Device& d) {
    if (!memory) return cudaErrorInvalidValue;
    if (const cudaError_t error = d.may_do_unsafe(); error != cudaSuccess) return error;
    *memory = nullptr;
    if (bytes == 0) return cudaSuccess;
    const std::size_t live = d.arena.live_bytes();
    if (live > d.memory_limit || bytes > d.memory_limit - live) return cudaErrorMemoryAllocation;
    *memory = d.arena.allocate(bytes);
    if (!*memory) return cudaErrorMemoryAllocation;
    ++d.counts.allocations;
    return cudaSuccess;
  });
}

cudaError_t cudaFree(void* memory) {
  return call([=](Device& d) {
    if (!memory) return cudaSuccess;
    if (const cudaError_t error = d.may_do_unsafe(); error != cudaSuccess) return error;
    return d.arena.release(memory) ? cudaSuccess : cudaErrorInvalidValue;
  });
}

cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  return call([=](Device& d) {
    if (!memory) return cudaErrorInvalidValue;
    if (const cudaError_t error = d.may_do_unsafe(); error != cudaSuccess) return error;
    *memory = nullptr;
    if (bytes == 0) return cudaSuccess;
    *memory = std::malloc(bytes);
    if (!*memory) return cudaErrorMemoryAllocation;
    d.pinned.emplace(reinterpret_cast<std::uintptr_t>(*memory), bytes);
    d.counts.live_pinned_bytes += bytes;
    return cudaSuccess;
  });
}

cudaError_t cudaFreeHost(void* memory) {
  return call([=](Device& d) {
    if (!memory) return cudaSuccess;
    if (const cudaError_t error = d.may_do_unsafe(); error != cudaSuccess) return error;
    const auto found = d.pinned.find(reinterpret_cast<std::uintptr_t>(memory));
    if (found == d.pinned.end()) return cudaErrorInvalidValue;
    d.counts.live_pinned_bytes -= found->second;
    d.pinned.erase(found);
    std::free(memory);
    return cudaSuccess;
  });
}

namespace {

cudaError_t copy(Device& d, void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!to || !from) return cudaErrorInvalidValue;
  const bool to_device = d.arena.contains(to);
  const bool from_device = d.arena.contains(from);
  bool as_said = true;
  switch (kind) {
    case cudaMemcpyHostToHost: as_said = !to_device && !from_device; break;
    case cudaMemcpyHostToDevice: as_said = to_device && !from_device; break;
    case cudaMemcpyDeviceToHost: as_said = !to_device && from_device; break;
    case cudaMemcpyDeviceToDevice: as_said = to_device && from_device; break;
    case cudaMemcpyDefault: break;
    default: return cudaErrorInvalidMemcpyDirection;
  }
  if (!as_said) return cudaErrorInvalidValue;
  const Work work = [=, &d] {  // a graph may run it when the memory is gone
    if (to_device && !d.arena.holds(to, bytes)) return cudaErrorInvalidValue;
    if (from_device && !d.arena.holds(from, bytes)) return cudaErrorInvalidValue;
    std::memcpy(to, from, bytes);
    return cudaSuccess;
  };
  if (to_device && !d.arena.holds(to, bytes)) return cudaErrorInvalidValue;
  if (from_device && !d.arena.holds(from, bytes)) return cudaErrorInvalidValue;
  const bool pageable = (!to_device && !d.is_pinned(to, bytes)) || (!from_device && !d.is_pinned(from, bytes));
  if (pageable) {
    const cudaError_t error = d.not_capturing(stream, cudaErrorStreamCaptureUnsupported);
    if (error != cudaSuccess) return error;
  }
  return d.submit(stream, work);
}

cudaError_t fill(Device& d, void* memory, int value, std::size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  const Work work = [=, &d] {
    if (!d.arena.holds(memory, bytes)) return cudaErrorInvalidValue;
    std::memset(memory, value, bytes);
    return cudaSuccess;
  };
  return d.arena.holds(memory, bytes) ? d.submit(stream, work) : cudaErrorInvalidValue;
}

}  // namespace

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return call([=](Device& d) {
    const cudaError_t error = d.may_do_unsafe();
    return error != cudaSuccess ? error : copy(d, to, from, bytes, kind, nullptr);
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return call([=](Device& d) { return copy(d, to, from, bytes, kind, stream); });
}

cudaError_t cudaMemset(void* memory, int value, std::size_t bytes) {
  return call([=](Device& d) {
    const cudaError_t error = d.may_do_unsafe();
    return error != cudaSuccess ? error : fill(d, memory, value, bytes, nullptr);
  });
}

cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream) {
  return call([=](Device& d) { return fill(d, memory, value, bytes, stream); });
}

// Streams and events

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int flags) {
  return call([=](Device& d) {
    if (!stream || flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
    *stream = new CUstream_st{.flags = flags};
    d.streams.insert(*stream);
    ++d.counts.live_objects;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return call([=](Device& d) {
    if (!d.streams.contains(stream)) return cudaErrorInvalidResourceHandle;
    const cudaError_t error = d.not_capturing(stream, cudaErrorStreamCaptureUnsupported);
    if (error != cudaSuccess) return error;
    d.streams.erase(stream);
    --d.counts.live_objects;
    delete stream;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return call([=](Device& d) {
    return is_legacy(stream) ? d.may_use_legacy() : d.not_capturing(stream, cudaErrorStreamCaptureUnsupported);
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags) {
  return call([=](Device& d) {
    if (!event || flags != 0) return cudaErrorInvalidValue;
    const bool named = !is_legacy(stream) && stream != cudaStreamPerThread;
    if (named && !d.streams.contains(stream)) return cudaErrorInvalidResourceHandle;
    const std::shared_ptr<Capture> own = named ? stream->capture : nullptr;
    if (!event->capture) {
      if (!own || !event->recorded) return cudaSuccess;
      own->invalidated = true;
      return cudaErrorStreamCaptureIsolation;
    }
    if (!d.captures.contains(event->capture)) return cudaErrorCapturedEvent;
    if (own && own != event->capture) {
      own->invalidated = event->capture->invalidated = true;
      return cudaErrorStreamCaptureMerge;
    }
    if (!named) {
      event->capture->invalidated = true;
      return cudaErrorStreamCaptureImplicit;
    }
    if (event->capture->invalidated) return cudaErrorStreamCaptureInvalidated;
    if (event->stream->captured == event->captured) event->stream->joined = true;
    if (stream != event->capture->origin) {
      stream->capture = event->capture;
      ++stream->captured;
      stream->joined = false;
    }
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  return call([=](Device& d) {
    if (!event || (flags & ~(cudaEventBlockingSync | cudaEventDisableTiming)) != 0) return cudaErrorInvalidValue;
    *event = new CUevent_st{.flags = flags};
    ++d.counts.live_objects;
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call([=](Device& d) {
    if (!event) return cudaErrorInvalidResourceHandle;
    const bool named = !is_legacy(stream) && stream != cudaStreamPerThread;
    if (named && d.streams.contains(stream) && stream->capture) {
      if (stream->capture->invalidated) return cudaErrorStreamCaptureInvalidated;
      event->capture = stream->capture;
      event->stream = stream;
      event->captured = stream->captured;
      return cudaSuccess;
    }
    return d.submit(stream, [event] {
      event->capture = nullptr;
      event->recorded = true;
      event->time = std::chrono::steady_clock::now();
      return cudaSuccess;
    });
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call([=](Device&) {
    if (!event) return cudaErrorInvalidResourceHandle;
    if (!event->capture) return cudaSuccess;
    event->capture->invalidated = true;
    return cudaErrorCapturedEvent;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return call([=](Device&) {
    if (!milliseconds) return cudaErrorInvalidValue;
    for (const cudaEvent_t event : {start, end}) {
      if (!event) return cudaErrorInvalidResourceHandle;
      if (event->capture) return cudaErrorCapturedEvent;
      if (!event->recorded || (event->flags & cudaEventDisableTiming) != 0) return cudaErrorInvalidResourceHandle;
    }
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call([=](Device& d) {
    if (!event) return cudaErrorInvalidResourceHandle;
    --d.counts.live_objects;
    delete event;
    return cudaSuccess;
  });
}

// Captures and graphs

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return call([=](Device& d) {
    if (is_legacy(stream) || stream == cudaStreamPerThread) return cudaErrorStreamCaptureUnsupported;
    if (!d.streams.contains(stream)) return cudaErrorInvalidResourceHandle;
    if (stream->capture) return cudaErrorIllegalState;
    stream->capture =
        std::make_shared<Capture>(Capture{.mode = mode, .owner = std::this_thread::get_id(), .origin = stream});
    d.captures.insert(stream->capture);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return call([=](Device& d) {
    if (!graph) return cudaErrorInvalidValue;
    *graph = nullptr;
    if (!d.streams.contains(stream)) return cudaErrorInvalidResourceHandle;
    const std::shared_ptr<Capture> capture = stream->capture;
    if (!capture) return cudaErrorIllegalState;
    if (capture->mode != cudaStreamCaptureModeRelaxed && capture->owner != std::this_thread::get_id())
      return cudaErrorStreamCaptureWrongThread;
    if (capture->origin != stream) {
      capture->invalidated = true;
      return cudaErrorStreamCaptureUnmatched;
    }
    bool joined = true;
    for (const cudaStream_t other : d.streams) {
      if (other->capture != capture) continue;
      joined = joined && (other->joined || other == stream);
      other->capture = nullptr;
      other->joined = true;
    }
    d.captures.erase(capture);
    if (capture->invalidated) return cudaErrorStreamCaptureInvalidated;
    if (!joined) return cudaErrorStreamCaptureUnjoined;
    *graph = new CUgraph_st{.nodes = std::move(capture->nodes)};
    ++d.counts.live_objects;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return call([=](Device& d) {
    if (!status) return cudaErrorInvalidValue;
    *status = cudaStreamCaptureStatusNone;
    if (stream == cudaStreamPerThread) return cudaSuccess;
    if (is_legacy(stream)) {
      for (const auto& capture : d.captures)
        if ((capture->origin->flags & cudaStreamNonBlocking) == 0) return cudaErrorStreamCaptureImplicit;
      return cudaSuccess;
    }
    if (!d.streams.contains(stream)) return cudaErrorInvalidResourceHandle;
    if (stream->capture)
      *status = stream->capture->invalidated ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  return call([=](Device&) {
    if (!mode) return cudaErrorInvalidValue;
    std::swap(*mode, thread_capture_mode);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags) {
  return call([=](Device& d) {
    if (!executable || !graph || flags != 0) return cudaErrorInvalidValue;
    *executable = new CUgraphExec_st{.nodes = graph->nodes};
    ++d.counts.live_objects;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t stream) {
  return call([=](Device& d) {
    if (!executable) return cudaErrorInvalidValue;
    return d.not_capturing(stream, cudaErrorStreamCaptureUnsupported);
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  return call([=](Device& d) {
    if (!executable) return cudaErrorInvalidValue;
    const cudaError_t error = d.submit(stream, [nodes = executable->nodes] {
      for (const Work& node : nodes)
        if (const cudaError_t failed = node(); failed != cudaSuccess) return failed;
      return cudaSuccess;
    });
    if (error == cudaSuccess) ++d.counts.graph_launches;
    return error;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  return call([=](Device& d) {
    if (!executable) return cudaErrorInvalidValue;
    --d.counts.live_objects;
    delete executable;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return call([=](Device& d) {
    if (!graph) return cudaErrorInvalidValue;
    --d.counts.live_objects;
    delete graph;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  return call([=](Device&) {
    if (!graph || !count) return cudaErrorInvalidValue;
    if (nodes) return cudaErrorNotSupported;
    *count = graph->nodes.size();
    return cudaSuccess;
  });
}
