#include "nn/schedule.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/error.h"

using namespace levda::nn;

TEST_CASE("cosine schedule: end points, middle and monotony") {
  const CosineSchedule schedule{.rate = 2, .steps = 101, .final = 0.1};
  CHECK(schedule(0) == 2);
  CHECK(std::abs(schedule(100) - 0.2) <= 1e-15);
  CHECK(std::abs(schedule(50) - 1.1) <= 1e-15);
  for (std::int64_t step = 0; step < 100; ++step) CHECK(schedule(step + 1) < schedule(step));
  CHECK(std::abs(CosineSchedule{.rate = 3, .steps = 11}(10)) <= 1e-15);
  CHECK(CosineSchedule{.rate = 3, .steps = 1, .final = 0.5}(0) == 1.5);
}

TEST_CASE("cosine schedule: stays at its end") {
  const CosineSchedule schedule{.rate = 1, .steps = 11, .final = 0.25};
  CHECK(schedule(10) == 0.25);
  CHECK(schedule(15) == 0.25);
}

TEST_CASE("constant schedule") {
  const Schedule schedule = ConstantSchedule{.rate = 0.3};
  CHECK(schedule(0) == 0.3);
  CHECK(schedule(1'000'000'000'000) == 0.3);
}

TEST_CASE("step schedule: falls by gamma every so many steps, and not before") {
  // Powers of two are exact.
  const Schedule schedule = StepSchedule{.rate = 3, .every = 10, .gamma = 0.5};
  CHECK(schedule(0) == 3);
  CHECK(schedule(9) == 3);
  CHECK(schedule(10) == 1.5);
  CHECK(schedule(19) == 1.5);
  CHECK(schedule(20) == 0.75);
  CHECK(schedule(100) == 3 * 0x1p-10);
  CHECK(std::abs(StepSchedule{.rate = 1, .every = 3}(8) - 0.01) <= 4 * 0.01 * 0x1p-53);
  CHECK_THROWS_WITH_AS((StepSchedule{.rate = 1, .every = 0}(5)), "a learning rate cannot fall every 0 steps",
                       levda::Error);
}
