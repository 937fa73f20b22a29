#pragma once

/// See parallel_for.h.

namespace oneapi::tbb {

class task_arena {
 public:
  explicit task_arena(int) {}
  template <typename F>
  auto execute(const F& f) {
    return f();
  }
};

namespace this_task_arena {

/// A thread that waits takes over no other work here.
template <typename F>
auto isolate(const F& f) {
  return f();
}

}  // namespace this_task_arena

}  // namespace oneapi::tbb
