#pragma once

/// Uploads that do not wait for the device.

#include <cuda_runtime.h>

#include <cstddef>
#include <mutex>

namespace levda::autodiff::gpu {

/// Small uploads are copied into a ring of page-locked memory, which the device reads without the caller. When the ring
/// is full, an upload waits for the stream. Large uploads use cudaMemcpyAsync from the caller's memory.
class Staging {
 public:
  explicit Staging(std::size_t bytes = std::size_t{8} << 20);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  void upload(void* to, const void* host, std::size_t bytes, cudaStream_t stream);

 private:
  std::mutex mutex_;
  std::size_t bytes_;
  std::size_t next_ = 0;
  std::byte* ring_ = nullptr;
};

}  // namespace levda::autodiff::gpu
