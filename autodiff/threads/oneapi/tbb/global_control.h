#pragma once

/// See parallel_for.h.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

namespace oneapi::tbb {

namespace detail {

/// The threads of one loop, unless a global_control says otherwise.
inline std::size_t default_threads() {
#ifdef LEVDA_THREAD_SANITIZER
  return 4;  // more than cores, for more interleavings
#else
  return std::max(1U, std::thread::hardware_concurrency());
#endif
}

}  // namespace detail

class global_control {
 public:
  enum parameter { max_allowed_parallelism };
  global_control(parameter, std::size_t value) : before_(limit().exchange(std::max<std::size_t>(1, value))) {}
  ~global_control() { limit() = before_; }
  global_control(const global_control&) = delete;
  global_control& operator=(const global_control&) = delete;

  /// Threads of one loop.
  static std::atomic<std::size_t>& limit() {
    static std::atomic<std::size_t> value{detail::default_threads()};
    return value;
  }

 private:
  std::size_t before_;
};

namespace detail {

/// The limit of threads that all loops together may start; the callers do not count.
inline std::int64_t most_started_threads() {
  constexpr std::int64_t most = 256;  // half of the places of enumerable_thread_specific.h
  const auto limit = static_cast<std::int64_t>(global_control::limit().load(std::memory_order_relaxed));
#ifdef LEVDA_THREAD_SANITIZER
  return std::min(2 * limit, most);  // so that inner loops get some too
#else
  return std::min(limit - 1, most);
#endif
}

}  // namespace detail

}  // namespace oneapi::tbb
