#include "fibers.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "fail.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

#ifndef __x86_64__
#error "switch_stack is written for x86-64"
#endif

namespace levda::cuda_on_cpu {

Place place;

namespace {

constexpr std::size_t stack_bytes = std::size_t{256} << 10;  // pages that are not touched take no memory
constexpr std::size_t guard_bytes = 4096;

/// Saves the registers that a call keeps on the running stack, that stack's pointer in *from, and goes on where `to`
/// was saved. In place of swapcontext, which asks the kernel for the signal mask (450 ns for two switches) and, under
/// AddressSanitizer, clears all that is known of a stack.
extern "C" void levda_cuda_on_cpu_switch_stack(void** from, void* to);
asm(R"(
  .text
  .type levda_cuda_on_cpu_switch_stack, @function
levda_cuda_on_cpu_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size levda_cuda_on_cpu_switch_stack, .-levda_cuda_on_cpu_switch_stack
)");

/// A stack that is not running.
struct Stack {
  void* saved = nullptr;
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  void* of_sanitizer = nullptr;  // its data for this stack
};

struct Fiber {
  Stack stack;
  uint3 thread{0, 0, 0};
  const char* file = nullptr;  // of the barrier at which it waits; null when it waits for threads to start
  int line = 0;
};

struct Schedule {
  Order order = Order::forward;
  std::mt19937_64 random;
  Stack host;
  Fiber* running = nullptr;
  std::vector<Fiber*> idle;
  // State of the running block:
  const std::function<void()>* thread = nullptr;
  std::vector<std::uint32_t> threads;  // in the order in which they start
  std::size_t started = 0;
  std::size_t finished = 0;

  template <typename T>
  void arrange(std::vector<T>& items) {
    if (order == Order::reverse) std::reverse(items.begin(), items.end());
    if (order == Order::shuffled) std::shuffle(items.begin(), items.end(), random);
  }
};

// Never destroyed: a backend may run kernels while static objects go.
Schedule& schedule() {
  static Schedule& one = *new Schedule;
  return one;
}

/// Goes on at `to` until something goes on at `from`; the sanitizers are told.
void go([[maybe_unused]] Stack& from, [[maybe_unused]] Stack& to) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&from.of_sanitizer, to.bottom, to.bytes);
#endif
#ifdef __SANITIZE_THREAD__
  __tsan_switch_to_fiber(to.of_sanitizer, 0);
#endif
  levda_cuda_on_cpu_switch_stack(&from.saved, to.saved);
}

/// The first thing to do when something has gone on here; before it, where the host's stack lies was not known.
void arrive([[maybe_unused]] Stack& here, [[maybe_unused]] Stack* host) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(here.of_sanitizer, host ? &host->bottom : nullptr, host ? &host->bytes : nullptr);
#endif
}

/// From the host to the fiber, until that waits.
void resume(Fiber& fiber) {
  Schedule& s = schedule();
  s.running = &fiber;
  fiber.file = nullptr;
  place.thread = fiber.thread;
  go(s.host, fiber.stack);
  arrive(s.host, nullptr);
  s.running = nullptr;
}

/// From the running fiber back to the host.
void wait() {
  Schedule& s = schedule();
  Stack& own = s.running->stack;
  go(own, s.host);
  arrive(own, &s.host);  // another thread's now, if the fiber goes on in another launch
}

/// The endless loop of every fiber: it takes threads that have not started.
void work() {
  Schedule& s = schedule();
  arrive(s.running->stack, &s.host);
  while (true) {
    while (s.started < s.threads.size()) {
      const std::uint32_t index = s.threads[s.started++];
      const dim3& size = place.block_size;
      s.running->thread = {index % size.x, index / size.x % size.y, index / size.x / size.y};
      place.thread = s.running->thread;
      (*s.thread)();
      ++s.finished;
    }
    wait();
  }
}

Fiber* new_fiber() {
  void* memory = mmap(nullptr, guard_bytes + stack_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, guard_bytes, PROT_NONE) != 0)
    fail("no memory for the stack of a thread");
  char* const bottom = static_cast<char*>(memory) + guard_bytes;
  // The layout that switch_stack leaves on a stack: six registers, then the return address.
  void* top[8] = {nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, reinterpret_cast<void*>(&work), nullptr};
  void* saved = std::memcpy(bottom + stack_bytes - sizeof top, top, sizeof top);
  void* of_sanitizer = nullptr;
#ifdef __SANITIZE_THREAD__
  of_sanitizer = __tsan_create_fiber(0);
#endif
  return new Fiber{.stack = {.saved = saved, .bottom = bottom, .bytes = stack_bytes, .of_sanitizer = of_sanitizer}};
}

[[noreturn]] void fail_at(const Fiber& fiber, const char* others) {
  char text[512];
  std::snprintf(text, sizeof text, "block (%u, %u, %u), thread (%u, %u, %u) waits at the barrier of %s:%d, but %s",
                place.block.x, place.block.y, place.block.z, fiber.thread.x, fiber.thread.y, fiber.thread.z, fiber.file,
                fiber.line, others);
  fail(text);
}

void run_block(std::size_t threads) {
  Schedule& s = schedule();
  s.threads.resize(threads);
  std::iota(s.threads.begin(), s.threads.end(), 0U);
  s.arrange(s.threads);
  s.started = s.finished = 0;
  std::vector<Fiber*> waiting;
  const auto run = [&](Fiber* fiber) {
    resume(*fiber);
    (fiber->file ? waiting : s.idle).push_back(fiber);
  };
  while (s.started < threads) {
    if (s.idle.empty()) s.idle.push_back(new_fiber());
    Fiber* const fiber = s.idle.back();
    s.idle.pop_back();
    run(fiber);
  }
  while (!waiting.empty()) {
    const Fiber& first = *waiting.front();
    if (s.finished > 0) fail_at(first, "other threads of the block have returned");
    for (const Fiber* fiber : waiting)
      if (fiber->line != first.line || (fiber->file != first.file && std::strcmp(fiber->file, first.file) != 0))
        fail_at(*fiber, "other threads of the block wait at another one");
    std::vector<Fiber*> next;
    next.swap(waiting);
    if (s.order == Order::shuffled) s.arrange(next);  // else they wait in the order that was asked for
    for (Fiber* fiber : next) run(fiber);
  }
}

}  // namespace

void barrier(const char* file, int line) {
  Fiber* const fiber = schedule().running;
  if (!fiber) fail("__syncthreads() outside a kernel");
  fiber->file = file;
  fiber->line = line;
  wait();
}

void set_order(Order order, std::uint64_t seed) {
  schedule().order = order;
  schedule().random.seed(seed);
}

void run_grid(dim3 grid, dim3 block, const std::function<void()>& thread) {
  Schedule& s = schedule();
  if (s.running) fail("a kernel was launched by a kernel");
#ifdef __SANITIZE_THREAD__
  s.host.of_sanitizer = __tsan_get_current_fiber();
#endif
  s.thread = &thread;
  place.block_size = block;
  place.grid_size = grid;
  const std::uint64_t blocks = std::uint64_t{grid.x} * grid.y * grid.z;
  std::vector<std::uint64_t> shuffled;
  if (s.order == Order::shuffled) {
    shuffled.resize(blocks);
    std::iota(shuffled.begin(), shuffled.end(), std::uint64_t{0});
    s.arrange(shuffled);
  }
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t index = s.order == Order::forward   ? i
                                : s.order == Order::reverse ? blocks - 1 - i
                                                            : shuffled[i];
    place.block = {static_cast<unsigned>(index % grid.x), static_cast<unsigned>(index / grid.x % grid.y),
                   static_cast<unsigned>(index / grid.x / grid.y)};
    run_block(std::size_t{block.x} * block.y * block.z);
  }
}

}  // namespace levda::cuda_on_cpu
