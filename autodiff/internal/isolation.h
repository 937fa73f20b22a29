#pragma once

/// Functions that run on a tape of their own.

#include <oneapi/tbb/task_arena.h>

#include <cstdint>

namespace levda::autodiff {

/// While it lives, this thread can record only on tapes that begin after it. A function that is given its inputs on a
/// tape of its own (a tile of tiled_sum) may have captured a variable of another tape. Its gradient would be lost, and
/// threads would write to one tape at the same time. So it is an Error that names the operation.
class Isolation {
 public:
  /// who: the function, for messages.
  explicit Isolation(const char* who);
  ~Isolation();
  Isolation(const Isolation&) = delete;
  Isolation& operator=(const Isolation&) = delete;

  /// Throws Error unless this thread may use the tape of this number.
  static void check(std::uint64_t birth, const char* op);

  /// f(), a parallel loop. While this thread waits for the end of the loop it may take over other tasks. If it is
  /// isolated these must be of the same loop, because tasks from outside have tapes that are older.
  template <typename F>
  static void run_loop(const F& f) {
    if (current.who == nullptr)
      f();
    else
      oneapi::tbb::this_task_arena::isolate(f);
  }

 private:
  struct State {
    const char* who = nullptr;
    std::uint64_t since = 0;
  };
  static thread_local State current;
  State outer_;
};

}  // namespace levda::autodiff
