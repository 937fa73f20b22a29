#include "nn/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "autodiff/error.h"

namespace levda::nn {

double ConstantSchedule::operator()(std::int64_t) const { return rate; }

double StepSchedule::operator()(std::int64_t step) const {
  if (every < 1) throw Error(fmt::format("a learning rate cannot fall every {} steps", every));
  return rate * std::pow(gamma, static_cast<double>(step / every));
}

double CosineSchedule::operator()(std::int64_t step) const {
  const double progress = steps > 1 ? std::min(1.0, static_cast<double>(step) / static_cast<double>(steps - 1)) : 1;
  return rate * (final + (1 - final) * 0.5 * (1 + std::cos(std::numbers::pi * progress)));
}

}  // namespace levda::nn
