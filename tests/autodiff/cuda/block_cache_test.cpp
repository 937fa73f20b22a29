#include "autodiff/cuda/block_cache.h"

#include <doctest/doctest.h>

#include <set>

#include "autodiff/error.h"

using levda::autodiff::gpu::BlockCache;
using levda::autodiff::gpu::MemorySource;

namespace {

/// Memory that is only counted: addresses are numbers.
struct Device {
  std::size_t capacity = std::size_t{1} << 40;
  std::map<void*, std::size_t> held;
  std::size_t used = 0;
  std::uintptr_t next = 1 << 20;
  int asked = 0;

  MemorySource source() {
    return {.allocate = [this](std::size_t bytes) -> void* {
              ++asked;
              if (used + bytes > capacity) return nullptr;
              used += bytes;
              void* memory = reinterpret_cast<void*>(next);
              next += bytes;
              held[memory] = bytes;
              return memory;
            },
            .release =
                [this](void* memory) {
                  used -= held.at(memory);
                  held.erase(memory);
                }};
  }
};

}  // namespace

TEST_CASE("block cache: sizes come in steps of at most a quarter") {
  CHECK(BlockCache::rounded(0) == 512);
  CHECK(BlockCache::rounded(1) == 512);
  CHECK(BlockCache::rounded(512) == 512);
  CHECK(BlockCache::rounded(513) == 640);
  CHECK(BlockCache::rounded(1024) == 1024);
  CHECK(BlockCache::rounded(1025) == 1280);
  std::set<std::size_t> sizes;
  for (std::size_t bytes = 1; bytes <= 131072; ++bytes) {
    const std::size_t size = BlockCache::rounded(bytes);
    REQUIRE(size >= bytes);
    REQUIRE(size <= std::max<std::size_t>(512, bytes + bytes / 4 + 1));
    REQUIRE(size % 128 == 0);
    REQUIRE(BlockCache::rounded(size) == size);
    sizes.insert(size);
  }
  CHECK(sizes.size() == 33);  // four for each of eight doublings, and the least
}

TEST_CASE("block cache: a released block serves the next request of its size, and the device is not asked again") {
  Device device;
  BlockCache cache(device.source());
  void* a = cache.allocate(1000);
  void* b = cache.allocate(1000);
  CHECK(a != b);
  CHECK(cache.use().live == 2048);
  cache.release(a);
  CHECK(cache.cached() == 1024);
  CHECK(cache.use().live == 1024);
  CHECK(cache.allocate(900) == a);  // of the same size class
  CHECK(device.asked == 2);
  void* c = cache.allocate(100);
  CHECK(c != b);
  CHECK(cache.use().live == 2560);
  CHECK(cache.use().peak == 2560);
  for (void* block : {a, b, c}) cache.release(block);
  CHECK(cache.use().live == 0);
  CHECK(cache.use().peak == 2560);
  CHECK(device.used == 2560);
}

TEST_CASE("block cache: what is cached goes back to the device when it has no more") {
  Device device{.capacity = 4096};
  BlockCache cache(device.source());
  void* a = cache.allocate(2048);
  void* b = cache.allocate(1024);
  cache.release(a);
  cache.release(b);
  void* whole = cache.allocate(4096);
  CHECK(device.held.size() == 1);
  CHECK(cache.cached() == 0);
  CHECK_THROWS_WITH_AS(cache.allocate(1), "out of device memory: 1 bytes asked for, 4096 in use", levda::Error);
  cache.release(whole);
  CHECK(cache.allocate(4000) == whole);
}

TEST_CASE("block cache: a recording keeps its blocks to itself, reuses them, and gives them back at its end") {
  Device device;
  BlockCache cache(device.source());
  void* before = cache.allocate(512);
  const auto recording = cache.begin_recording();
  CHECK_THROWS_AS(cache.begin_recording(), levda::Error);
  void* a = cache.allocate(512);
  void* kept = cache.allocate(512);
  cache.release(a);
  CHECK(cache.allocate(512) == a);  // within the recording
  cache.release(a);
  cache.release(before);  // not the recording's: free for all
  cache.end_recording();
  CHECK(cache.use().live == 1024);  // a and kept, held by the recording
  CHECK(cache.allocate(512) == before);
  void* other = cache.allocate(512);
  CHECK(other != a);  // would be overwritten by each replay
  cache.release(kept);
  CHECK(cache.allocate(512) != kept);
  CHECK(cache.use().live == 2560);
  cache.forget(recording);
  CHECK(cache.use().live == 1536);
  const std::set<void*> freed{cache.allocate(512), cache.allocate(512)};
  CHECK(freed == std::set<void*>{a, kept});
}

TEST_CASE("block cache: a tensor may outlive the recording that made it") {
  Device device;
  BlockCache cache(device.source());
  const auto recording = cache.begin_recording();
  void* result = cache.allocate(512);
  cache.end_recording();
  cache.forget(recording);
  CHECK(cache.use().live == 512);
  CHECK(cache.allocate(512) != result);
  cache.release(result);
  CHECK(cache.use().live == 512);
  CHECK(cache.allocate(512) == result);
}

TEST_CASE("block cache: two recordings have blocks of their own") {
  Device device;
  BlockCache cache(device.source());
  const auto first = cache.begin_recording();
  void* a = cache.allocate(512);
  cache.release(a);
  cache.end_recording();
  const auto second = cache.begin_recording();
  void* b = cache.allocate(512);
  CHECK(b != a);
  cache.release(b);
  cache.end_recording();
  cache.forget(first);
  CHECK(cache.use().live == 512);
  cache.forget(second);
  CHECK(cache.use().live == 0);
  CHECK(cache.cached() == 1024);
}
