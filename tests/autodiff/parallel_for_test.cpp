/// Properties of parallel loops that the libraries need, from oneTBB and from autodiff/threads/.

#include <doctest/doctest.h>
#include <oneapi/tbb/enumerable_thread_specific.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

namespace tbb = oneapi::tbb;

TEST_CASE("a loop runs every iteration once") {
  for (const std::int64_t count : {0, 1, 2, 7, 1000}) {
    std::vector<int> runs(static_cast<std::size_t>(count));
    tbb::parallel_for(std::int64_t{0}, count, [&](std::int64_t i) { ++runs[static_cast<std::size_t>(i)]; });
    tbb::parallel_for(
        std::int64_t{0}, count, [&](std::int64_t i) { ++runs[static_cast<std::size_t>(i)]; },
        tbb::simple_partitioner());
    for (const int times : runs) CHECK(times == 2);
  }
}

TEST_CASE("blocks cover a range, none larger than the grain") {
  for (const std::int64_t grain : {1, 3, 8, 100}) {
    std::vector<int> runs(25);
    std::atomic<bool> larger{false};
    tbb::parallel_for(
        tbb::blocked_range<std::int64_t>(0, 25, static_cast<std::size_t>(grain)),
        [&](const auto& block) {
          if (block.end() - block.begin() > grain) larger = true;
          for (std::int64_t i = block.begin(); i < block.end(); ++i) ++runs[static_cast<std::size_t>(i)];
        },
        tbb::simple_partitioner());
    CHECK_FALSE(larger);
    for (const int times : runs) CHECK(times == 1);
  }
}

TEST_CASE("an exception in a loop comes out of it, and the next loop runs") {
  const auto failing = [] {
    tbb::parallel_for(0, 100, [](int i) {
      if (i == 57) throw std::runtime_error("57");
    });
  };
  for (int again = 0; again < 50; ++again) CHECK_THROWS_WITH_AS(failing(), "57", std::runtime_error);
  std::atomic<int> runs{0};
  tbb::parallel_for(0, 100, [&](int) { ++runs; });
  CHECK(runs == 100);
}

TEST_CASE("loops in loops in loops do not start threads without bound") {
  constexpr int limit = 8;
  const tbb::global_control threads(tbb::global_control::max_allowed_parallelism, limit);
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  std::atomic<int> runs{0};
  const auto work = [&](int) {
    const int now = ++running;
    int before = most;
    while (now > before && !most.compare_exchange_weak(before, now)) {
    }
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    ++runs;
    --running;
  };
  tbb::parallel_for(0, 10, [&](int) { tbb::parallel_for(0, 10, [&](int) { tbb::parallel_for(0, 10, work); }); });
  CHECK(runs == 1000);
  // Under the thread sanitizer inner loops get threads too: twice the limit, and the caller.
  CHECK(most <= 2 * limit + 1);
}

TEST_CASE("values of threads: every thread's own, and all can be summed") {
  tbb::enumerable_thread_specific<std::int64_t> sums;
  for (int again = 0; again < 20; ++again)
    tbb::parallel_for(std::int64_t{1}, std::int64_t{101}, [&](std::int64_t i) { sums.local() += i; });
  std::int64_t total = 0;
  for (const std::int64_t sum : sums) total += sum;
  CHECK(total == 20 * 5050);
}
