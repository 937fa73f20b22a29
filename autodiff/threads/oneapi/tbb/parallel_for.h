#pragma once

/// The parts of oneTBB that this project uses, on std::thread: for machines without oneTBB, and for ThreadSanitizer.
///
/// A loop starts threads and joins them. This takes some ten microseconds per thread, which is little for loops over
/// much work. There is one limit for the threads of all loops that run at once: if the outer loops have started that
/// many, an inner loop runs in its caller.
///
/// The library oneTBB is not instrumented: the sanitizer sees neither how a task reaches a thread nor how a loop waits
/// for its end, and reports every loop as a race. Suppressions do not help: the library calls every frame of a worker,
/// so that they would hide real races too. An instrumented oneTBB does not help either: it synchronises by fences,
/// which the sanitizer does not follow. Here threads start and are joined, which it follows exactly.
///
/// Iterations go to threads in turn, without a counter that would order them, so that any two iterations on different
/// threads count as simultaneous. The number of threads is counted with relaxed order, which orders nothing else.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

#include "oneapi/tbb/global_control.h"

namespace oneapi::tbb {

namespace detail {

/// Threads that loops have started and not joined.
inline std::atomic<std::int64_t> started_threads{0};

/// As many of `wanted` further threads as the limit allows.
inline std::int64_t reserve_threads(std::int64_t wanted) {
  const std::int64_t most = most_started_threads();
  std::int64_t running = started_threads.load(std::memory_order_relaxed);
  for (;;) {
    const std::int64_t granted = std::clamp<std::int64_t>(most - running, 0, wanted);
    if (started_threads.compare_exchange_weak(running, running + granted, std::memory_order_relaxed)) return granted;
  }
}

template <typename F>
void in_turn(std::int64_t count, const F& f) {
  const auto limit = static_cast<std::int64_t>(global_control::limit().load(std::memory_order_relaxed));
  const std::int64_t helpers = reserve_threads(std::min(count, limit) - 1);
  const std::int64_t threads = helpers + 1;
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(threads));
  const auto part = [&](std::int64_t first) {
    try {
      for (std::int64_t i = first; i < count; i += threads) f(i);
    } catch (...) {
      errors[static_cast<std::size_t>(first)] = std::current_exception();
    }
  };
  std::vector<std::thread> helping;
  helping.reserve(static_cast<std::size_t>(helpers));
  std::int64_t next = 1;
  try {
    for (; next < threads; ++next) helping.emplace_back(part, next);
  } catch (const std::system_error&) {  // the system has no more threads: this thread does their parts
  }
  part(0);
  for (; next < threads; ++next) part(next);
  for (std::thread& thread : helping) thread.join();
  started_threads.fetch_sub(helpers, std::memory_order_relaxed);
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
void parallel_for(Index first, Index last, const F& f, const simple_partitioner& = {}) {
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
