#pragma once

/// Uploads that do not wait for the device. Not for users.

#include <cuda_runtime.h>

#include <cstddef>
#include <mutex>

namespace levda::autodiff::gpu {

/// The device reads page-locked host memory by itself, so a small upload goes into a ring of it and the caller goes on.
/// Once round the ring it waits for the stream. Large uploads take CUDA's own way.
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
