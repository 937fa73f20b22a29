#pragma once

/// A cache of free blocks. A training step allocates the same few sizes thousands of times a second.

#include <oneapi/tbb/enumerable_thread_specific.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <vector>

#include "autodiff/backend.h"

namespace levda::autodiff {

/// Hands out 64-byte aligned blocks. Each thread keeps the blocks that it released and reuses the most recent first,
/// because that one is still in its core's cache. Blocks above 16 MiB, and blocks beyond 256 MiB of a thread, go back
/// to the system.
class MemoryPool {
 public:
  MemoryPool() = default;
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  /// Throws Error when the system has no memory.
  void* allocate(std::size_t bytes);
  void release(void* memory, std::size_t bytes) noexcept;
  /// The size of the block that serves a request.
  static std::size_t rounded(std::size_t bytes);
  /// Gives the free blocks of all threads back to the system. No other thread may use the pool meanwhile.
  void release_cache() noexcept;
  /// Accurate to 1 MiB per thread: threads report in batches, because a shared counter would slow them all down.
  MemoryUse use() const;

 private:
  static constexpr int class_count = 80;
  struct FreeBlocks {
    std::array<std::vector<void*>, class_count> of_class;
    std::size_t bytes = 0;
    std::int64_t unreported = 0;  // bytes handed out minus bytes returned
  };
  void count(FreeBlocks& own, std::int64_t bytes) noexcept;

  oneapi::tbb::enumerable_thread_specific<FreeBlocks> free_;
  std::atomic<std::int64_t> live_{0};
  std::atomic<std::int64_t> peak_{0};
};

}  // namespace levda::autodiff
