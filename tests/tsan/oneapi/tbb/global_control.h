#pragma once

/// See parallel_for.h.

#include <atomic>
#include <cstddef>

namespace oneapi::tbb {

class global_control {
 public:
  enum parameter { max_allowed_parallelism };
  global_control(parameter, std::size_t value) : before_(limit().exchange(value)) {}
  ~global_control() { limit() = before_; }
  global_control(const global_control&) = delete;
  global_control& operator=(const global_control&) = delete;

  /// Threads of one loop; more than cores, for more interleavings.
  static std::atomic<std::size_t>& limit() {
    static std::atomic<std::size_t> value{4};
    return value;
  }

 private:
  std::size_t before_;
};

}  // namespace oneapi::tbb
