#include "autodiff/cuda/staging.h"

#include <cstring>

#include "autodiff/cuda/check.h"

namespace levda::autodiff::gpu {

Staging::Staging(std::size_t bytes) : bytes_(bytes) {
  void* memory = nullptr;
  check("upload", cudaMallocHost(&memory, bytes));
  ring_ = static_cast<std::byte*>(memory);
}

Staging::~Staging() { cudaFreeHost(ring_); }

void Staging::upload(void* to, const void* host, std::size_t bytes, cudaStream_t stream) {
  if (bytes > bytes_ / 4) {
    check("upload", cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, stream));
    check("upload", cudaStreamSynchronize(stream));
    return;
  }
  const std::scoped_lock lock(mutex_);
  if (next_ + bytes > bytes_) {
    check("upload", cudaStreamSynchronize(stream));
    next_ = 0;
  }
  std::memcpy(ring_ + next_, host, bytes);
  check("upload", cudaMemcpyAsync(to, ring_ + next_, bytes, cudaMemcpyHostToDevice, stream));
  constexpr std::size_t alignment = 64;
  next_ += (bytes + alignment - 1) / alignment * alignment;
}

}  // namespace levda::autodiff::gpu
