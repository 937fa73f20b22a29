#include "autodiff/random.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "autodiff/error.h"
#include "autodiff/internal/philox.h"

namespace levda::autodiff {

std::uint32_t Random::bits() {
  if (used_ == 4) {
    const auto block = philox(seed_, stream_, step_, block_);
    for (std::size_t i = 0; i < 4; ++i) words_[i] = block[i];
    ++block_;
    used_ = 0;
  }
  return words_[static_cast<std::size_t>(used_++)];
}

double Random::uniform() {
  const std::uint64_t high = bits() >> 5;
  const std::uint64_t low = bits() >> 6;
  return static_cast<double>((high << 26) | low) * 0x1p-53;
}

std::int64_t Random::below(std::int64_t n) {
  if (n < 1) throw Error(fmt::format("[random] a number below {}", n));
  const auto range = static_cast<std::uint64_t>(n);
  const std::uint64_t limit = ~std::uint64_t{0} - ~std::uint64_t{0} % range;  // a multiple of n
  for (;;) {
    const std::uint64_t high = bits();
    const std::uint64_t value = (high << 32) | bits();
    if (value < limit) return static_cast<std::int64_t>(value % range);
  }
}

double Random::normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  const double angle = 2 * std::numbers::pi * uniform();
  spare_ = radius * std::sin(angle);
  has_spare_ = true;
  return radius * std::cos(angle);
}

std::vector<std::int64_t> Random::permutation(std::int64_t n) {
  if (n < 0) throw Error(fmt::format("[random] a permutation of {} elements", n));
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (std::int64_t i = n - 1; i > 0; --i) std::swap(order[i], order[below(i + 1)]);
  return order;
}

}  // namespace levda::autodiff
