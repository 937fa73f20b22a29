#pragma once

/// Learning rates as functions of the step.

#include <cstdint>
#include <functional>

namespace levda::nn {

/// The rate of a step, counted from 0: one of the types below, or any function.
using Schedule = std::function<double(std::int64_t step)>;

/// `rate` at every step.
struct ConstantSchedule {
  double rate;
  double operator()(std::int64_t step) const;
};

/// `rate` x `gamma`^floor(step / every). Throws Error when every < 1.
struct StepSchedule {
  double rate;
  std::int64_t every;
  double gamma = 0.1;
  double operator()(std::int64_t step) const;
};

/// From `rate` at step 0 along half a cosine to `rate` x `final` at step `steps` - 1; final is 0 by default.
struct CosineSchedule {
  double rate;
  std::int64_t steps;
  double final = 0;
  double operator()(std::int64_t step) const;
};

}  // namespace levda::nn
