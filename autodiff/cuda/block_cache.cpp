#include "autodiff/cuda/block_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "autodiff/error.h"

namespace levda::autodiff::gpu {

BlockCache::~BlockCache() {
  for (const auto& [memory, block] : blocks_) source_.release(memory);
}

std::size_t BlockCache::rounded(std::size_t bytes) {
  constexpr std::size_t least = 512;
  if (bytes <= least) return least;
  const std::size_t step = std::bit_floor(bytes - 1) / 4;
  return std::max(least, (bytes + step - 1) / step * step);
}

void* BlockCache::take(FreeBlocks& blocks, std::size_t bytes) {
  const auto found = blocks.find(bytes);
  if (found == blocks.end() || found->second.empty()) return nullptr;
  void* memory = found->second.back();
  found->second.pop_back();
  return memory;
}

void BlockCache::count(std::int64_t bytes) noexcept {
  live_ += bytes;
  peak_ = std::max(peak_, live_);
}

void BlockCache::give_back_cached() noexcept {
  for (auto& [bytes, list] : free_)
    for (void* memory : list) {
      source_.release(memory);
      blocks_.erase(memory);
    }
  free_.clear();
  cached_ = 0;
}

void* BlockCache::allocate(std::size_t bytes) {
  const std::scoped_lock lock(mutex_);
  const std::size_t size = rounded(bytes);
  const auto signed_size = static_cast<std::int64_t>(size);
  void* memory = nullptr;
  if (recording_ != nobody) {
    memory = take(free_of_recording_[recording_], size);
    if (memory != nullptr) {  // already counted: the recording holds it
      blocks_.at(memory).handed_out = true;
      return memory;
    }
  }
  memory = take(free_, size);
  if (memory != nullptr) {
    cached_ -= signed_size;
  } else {
    memory = source_.allocate(size);
    if (memory == nullptr) {
      give_back_cached();
      memory = source_.allocate(size);
    }
    if (memory == nullptr)
      throw Error(fmt::format("out of device memory: {} bytes asked for, {} in use", bytes, live_));
  }
  blocks_[memory] = {.bytes = size, .owner = recording_, .handed_out = true};
  count(signed_size);
  return memory;
}

void BlockCache::release(void* memory) noexcept {
  const std::scoped_lock lock(mutex_);
  Block& block = blocks_.at(memory);
  block.handed_out = false;
  if (block.owner != nobody) {
    // Only operations of the recording may get this block again; after its end nobody does.
    if (block.owner == recording_) free_of_recording_[recording_][block.bytes].push_back(memory);
    return;
  }
  free_[block.bytes].push_back(memory);
  cached_ += static_cast<std::int64_t>(block.bytes);
  count(-static_cast<std::int64_t>(block.bytes));
}

BlockCache::RecordingId BlockCache::begin_recording() {
  const std::scoped_lock lock(mutex_);
  if (recording_ != nobody) throw Error("a recording within a recording");
  return recording_ = next_++;
}

void BlockCache::end_recording() {
  const std::scoped_lock lock(mutex_);
  free_of_recording_.erase(recording_);
  recording_ = nobody;
}

void BlockCache::forget(RecordingId recording) noexcept {
  const std::scoped_lock lock(mutex_);
  for (auto& [memory, block] : blocks_) {
    if (block.owner != recording) continue;
    block.owner = nobody;
    if (block.handed_out) continue;  // by a tensor that outlives the recording
    free_[block.bytes].push_back(memory);
    cached_ += static_cast<std::int64_t>(block.bytes);
    count(-static_cast<std::int64_t>(block.bytes));
  }
}

MemoryUse BlockCache::use() const {
  const std::scoped_lock lock(mutex_);
  return {live_, peak_};
}

std::int64_t BlockCache::cached() const {
  const std::scoped_lock lock(mutex_);
  return cached_;
}

}  // namespace levda::autodiff::gpu
