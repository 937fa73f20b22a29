#include "arena.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>

#include "fail.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) (static_cast<void>(address), static_cast<void>(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) (static_cast<void>(address), static_cast<void>(bytes))
#endif

namespace levda::cuda_on_cpu {

namespace {

constexpr std::size_t alignment = 256;
constexpr std::size_t gap = 64;
constexpr std::size_t huge_page = std::size_t{2} << 20;

std::size_t round_up(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

}  // namespace

Arena::Arena() {
  void* memory = mmap(nullptr, capacity + huge_page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail("no addresses for the arena");
  base_ = static_cast<char*>(memory);
  base_ += round_up(reinterpret_cast<std::uintptr_t>(base_), huge_page) - reinterpret_cast<std::uintptr_t>(base_);
  // Opening and closing go page by page: 200 MB take 7 ms in small pages, 25 us in huge ones.
  madvise(base_, capacity, MADV_HUGEPAGE);
}

void Arena::protect(bool accessible) {
  if (used_ > 0 && mprotect(base_, used_, accessible ? PROT_READ | PROT_WRITE : PROT_NONE) != 0) fail("mprotect");
}

void Arena::grow(std::size_t end) {
  if (end <= used_) return;
  const std::size_t before = used_;
  used_ = round_up(end, huge_page);
  ASAN_POISON_MEMORY_REGION(base_ + before, used_ - before);
}

void* Arena::allocate(std::size_t bytes) {
  if (bytes > capacity) return nullptr;
  std::size_t offset = 0;
  const std::size_t wanted = round_up(bytes + gap, alignment);
  for (const auto& [start, size] : live_) {  // the first hole that is large enough
    if (start - offset >= wanted) break;
    offset = start + round_up(size + gap, alignment);
  }
  if (offset > capacity || capacity - offset < wanted) return nullptr;
  grow(offset + wanted);
  ASAN_UNPOISON_MEMORY_REGION(base_ + offset, bytes);
  const Open open(*this);
  std::memset(base_ + offset, 0xFF, bytes);
  live_.emplace(offset, bytes);
  live_bytes_ += bytes;
  return base_ + offset;
}

bool Arena::release(void* memory) {
  if (!contains(memory)) return false;
  const auto found = live_.find(static_cast<std::size_t>(static_cast<char*>(memory) - base_));
  if (found == live_.end()) return false;
  ASAN_POISON_MEMORY_REGION(memory, found->second);
  live_bytes_ -= found->second;
  live_.erase(found);
  return true;
}

bool Arena::holds(const void* memory, std::size_t bytes) const {
  if (!contains(memory)) return false;
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(memory) - base_);
  auto after = live_.upper_bound(offset);
  if (after == live_.begin()) return false;
  const auto& [start, size] = *--after;
  return offset - start <= size && bytes <= size - (offset - start);
}

bool Arena::contains(const void* memory) const {
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  const auto base = reinterpret_cast<std::uintptr_t>(base_);
  return address >= base && address - base < capacity;
}

}  // namespace levda::cuda_on_cpu
