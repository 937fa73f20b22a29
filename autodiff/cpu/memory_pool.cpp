#include "autodiff/cpu/memory_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "autodiff/error.h"

namespace levda::autodiff {

namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t largest_cached = std::size_t{16} << 20;
constexpr std::size_t cache_limit = std::size_t{256} << 20;  // per thread

#ifndef __has_feature  // clang has it, GCC the macro
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
constexpr bool caching = false;  // the sanitizer must see the end of life of every block
#else
constexpr bool caching = true;
#endif

/// Four sizes per power of two, so that at most a quarter is wasted.
int size_class(std::size_t bytes) {
  const std::size_t units = (bytes + alignment - 1) / alignment;
  if (units <= 4) return static_cast<int>(units == 0 ? 0 : units - 1);
  const int power = static_cast<int>(std::bit_width(units - 1)) - 3;
  return static_cast<int>((units - 1) >> power) + 4 * power;
}

std::size_t class_bytes(int index) {
  if (index < 4) return (static_cast<std::size_t>(index) + 1) * alignment;
  const int power = index / 4 - 1;
  return (static_cast<std::size_t>(index % 4 + 4 + 1) << power) * alignment;
}

}  // namespace

MemoryPool::~MemoryPool() { release_cache(); }

std::size_t MemoryPool::rounded(std::size_t bytes) { return class_bytes(size_class(bytes)); }

void MemoryPool::release_cache() noexcept {
  for (FreeBlocks& blocks : free_) {
    for (auto& list : blocks.of_class) {
      for (void* block : list) std::free(block);
      list.clear();
    }
    blocks.bytes = 0;
  }
}

MemoryUse MemoryPool::use() const {
  std::int64_t live = live_.load();
  for (const FreeBlocks& own : free_) live += own.unreported;
  return {live, std::max(live, peak_.load())};
}

void MemoryPool::count(FreeBlocks& own, std::int64_t bytes) noexcept {
  constexpr std::int64_t batch = 1 << 20;
  own.unreported += bytes;
  if (own.unreported < batch && own.unreported > -batch) return;
  const std::int64_t live = live_ += own.unreported;
  own.unreported = 0;
  std::int64_t peak = peak_.load(std::memory_order_relaxed);
  while (live > peak && !peak_.compare_exchange_weak(peak, live, std::memory_order_relaxed)) {
  }
}

void* MemoryPool::allocate(std::size_t bytes) {
  const int index = size_class(bytes);
  const std::size_t rounded = class_bytes(index);
  FreeBlocks& own = free_.local();
  void* memory = nullptr;
  if (caching && rounded <= largest_cached && !own.of_class[index].empty()) {
    memory = own.of_class[index].back();
    own.of_class[index].pop_back();
    own.bytes -= rounded;
  } else {
    memory = std::aligned_alloc(alignment, rounded);
    if (memory == nullptr) throw Error(fmt::format("out of memory: {} bytes asked for", bytes));
  }
#ifndef NDEBUG
  std::memset(memory, 0xFF, rounded);  // NaN, so that a read before a write shows
#endif
  count(own, static_cast<std::int64_t>(rounded));
  return memory;
}

void MemoryPool::release(void* memory, std::size_t bytes) noexcept {
  const int index = size_class(bytes);
  const std::size_t rounded = class_bytes(index);
  FreeBlocks& own = free_.local();
  count(own, -static_cast<std::int64_t>(rounded));
  if (caching && rounded <= largest_cached && own.bytes + rounded <= cache_limit) {
    own.of_class[index].push_back(memory);
    own.bytes += rounded;
  } else {
    std::free(memory);
  }
}

}  // namespace levda::autodiff
