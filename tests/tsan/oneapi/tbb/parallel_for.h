#pragma once

/// What this project uses of oneTBB, on std::thread, for ThreadSanitizer alone.
///
/// oneTBB's own library is not instrumented: the sanitizer sees neither how a task reaches a thread nor how the end of
/// a loop is waited for, and takes every loop for a race. Suppressions cannot help: every frame of ours in a worker is
/// called by the library, so that they would hide our races as well. Nor does an instrumented library: it synchronises
/// by fences, which the sanitizer does not follow. Here threads start and are joined, which it knows exactly.
///
/// Iterations go to threads in turn, without a counter that would order them, so that any two on different threads
/// count as simultaneous, whether they were or not.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

#include "oneapi/tbb/global_control.h"

namespace oneapi::tbb {

namespace detail {

/// Threads that loops have started, over all.
inline std::atomic<std::int64_t> helpers{0};

template <typename F>
void in_turn(std::int64_t count, const F& f) {
  const auto limit = static_cast<std::int64_t>(global_control::limit().load(std::memory_order_relaxed));
  // Nested loops may start threads too, but not without bound.
  const std::int64_t room = std::max<std::int64_t>(0, 2 * limit - helpers.load(std::memory_order_relaxed));
  const std::int64_t threads = std::min({count, limit, 1 + room});
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(std::max<std::int64_t>(threads, 1)));
  const auto part = [&](std::int64_t first) {
    try {
      for (std::int64_t i = first; i < count; i += threads) f(i);
    } catch (...) {
      errors[static_cast<std::size_t>(first)] = std::current_exception();
    }
  };
  std::vector<std::thread> started;
  helpers.fetch_add(threads - 1, std::memory_order_relaxed);
  for (std::int64_t thread = 1; thread < threads; ++thread) started.emplace_back(part, thread);
  part(0);
  for (std::thread& thread : started) thread.join();
  helpers.fetch_sub(threads - 1, std::memory_order_relaxed);
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
}

}  // namespace detail

struct simple_partitioner {};

template <typename T>
class blocked_range {
 public:
  blocked_range(T begin, T end, std::size_t grain = 1) : begin_(begin), end_(end), grain_(grain) {}
  T begin() const { return begin_; }
  T end() const { return end_; }
  std::size_t grainsize() const { return grain_; }

 private:
  T begin_;
  T end_;
  std::size_t grain_;
};

template <typename Index, typename F>
void parallel_for(Index first, Index last, const F& f) {
  if (last <= first) return;
  detail::in_turn(static_cast<std::int64_t>(last - first),
                  [&](std::int64_t i) { f(static_cast<Index>(first + static_cast<Index>(i))); });
}

template <typename T, typename F>
void parallel_for(const blocked_range<T>& range, const F& f, const simple_partitioner& = {}) {
  if (range.end() <= range.begin()) return;
  const auto grain = static_cast<T>(range.grainsize());
  const T blocks = (range.end() - range.begin() + grain - 1) / grain;
  detail::in_turn(static_cast<std::int64_t>(blocks), [&](std::int64_t i) {
    const T begin = range.begin() + static_cast<T>(i) * grain;
    f(blocked_range<T>(begin, std::min(begin + grain, range.end()), range.grainsize()));
  });
}

}  // namespace oneapi::tbb
