#pragma once

/// Device memory of the stand-in. Host code that touches it dies as on a real machine: its pages are accessible only
/// while an Arena::Open lives. Under AddressSanitizer what is not allocated is poisoned, with a gap after every
/// allocation, so that kernels that leave theirs are found. Not thread-safe: under the device's mutex.

#include <cstddef>
#include <map>

namespace levda::cuda_on_cpu {

class Arena {
 public:
  static constexpr std::size_t capacity = std::size_t{8} << 30;  // of addresses; pages come when they are touched

  Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// 256-byte aligned, filled with 0xFF bytes (NaN); null when there is no room.
  void* allocate(std::size_t bytes);
  /// False when memory is not the start of an allocation.
  bool release(void* memory);
  /// Whether [memory, memory + bytes) lies in one allocation.
  bool holds(const void* memory, std::size_t bytes) const;
  /// Whether the address is one of the device's, allocated or not.
  bool contains(const void* memory) const;
  std::size_t live_bytes() const { return live_bytes_; }

  class Open {
   public:
    explicit Open(Arena& arena) : arena_(arena) {
      if (arena_.open_++ == 0) arena_.protect(true);
    }
    ~Open() {
      if (--arena_.open_ == 0) arena_.protect(false);
    }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    Arena& arena_;
  };

 private:
  void protect(bool accessible);
  void grow(std::size_t end);

  char* base_;
  std::size_t used_ = 0;  // beyond it nothing was ever allocated, and no page is ever accessible
  int open_ = 0;
  std::size_t live_bytes_ = 0;
  std::map<std::size_t, std::size_t> live_;  // offset: bytes
};

}  // namespace levda::cuda_on_cpu
