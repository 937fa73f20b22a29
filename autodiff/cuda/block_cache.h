#pragma once

/// A cache of device memory. Allocating is slow and stops the device, so blocks are kept for reuse.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "autodiff/backend.h"

namespace levda::autodiff::gpu {

/// The source of blocks; allocate returns null when there is no memory.
struct MemorySource {
  std::function<void*(std::size_t bytes)> allocate;
  std::function<void(void* memory)> release;
};

/// All work is on one stream, so a block can be handed out again as soon as its owner releases it: the operations of
/// the next owner run after those of the previous one.
///
/// A recording replays operations on the blocks that they used when it was made. Blocks allocated between
/// begin_recording and end_recording are reused within the recording; nobody else gets them before forget().
/// Thread-safe.
class BlockCache {
 public:
  using RecordingId = std::int64_t;

  explicit BlockCache(MemorySource source) : source_(std::move(source)) {}
  ~BlockCache();
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  /// Throws Error when there is not enough memory even after all cached blocks were given back.
  void* allocate(std::size_t bytes);
  void release(void* memory) noexcept;

  /// Begins a recording. Throws Error when another one has not ended.
  RecordingId begin_recording();
  void end_recording();
  /// Frees the blocks of a recording that will not run again.
  void forget(RecordingId recording) noexcept;

  /// Gives the blocks that are kept for reuse back to the device.
  void release_cache() {
    const std::lock_guard lock(mutex_);
    give_back_cached();
  }

  /// Bytes handed out or held by recordings, with rounding.
  MemoryUse use() const;
  /// Bytes kept for reuse.
  std::int64_t cached() const;

  /// The size of the block that serves a request: four sizes per power of two, from 512 bytes on.
  static std::size_t rounded(std::size_t bytes);

 private:
  static constexpr RecordingId nobody = -1;
  struct Block {
    std::size_t bytes = 0;
    RecordingId owner = nobody;
    bool handed_out = false;
  };
  using FreeBlocks = std::map<std::size_t, std::vector<void*>>;  // by size
  static void* take(FreeBlocks& blocks, std::size_t bytes);
  void give_back_cached() noexcept;
  void count(std::int64_t bytes) noexcept;

  mutable std::mutex mutex_;
  MemorySource source_;
  std::unordered_map<void*, Block> blocks_;
  FreeBlocks free_;
  std::map<RecordingId, FreeBlocks> free_of_recording_;
  RecordingId recording_ = nobody;
  RecordingId next_ = 0;
  std::int64_t live_ = 0;
  std::int64_t peak_ = 0;
  std::int64_t cached_ = 0;
};

}  // namespace levda::autodiff::gpu
