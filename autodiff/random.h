#pragma once

/// Counter-based random numbers: a value is a function of (seed, stream, step, position), so a resumed or a parallel
/// run draws the same ones, and every backend can.

#include <array>
#include <cstdint>
#include <vector>

namespace levda::autodiff {

/// Philox4x32-10 (Salmon et al., SC'11). A generator is a position in one sequence; sequences of different seed, stream
/// or step are independent.
class Random {
 public:
  /// stream: what the numbers are for; step: which time they are drawn.
  explicit Random(std::uint64_t seed, std::uint32_t stream = 0, std::uint32_t step = 0)
      : seed_(seed), stream_(stream), step_(step) {}

  std::uint32_t bits();
  /// Uniform on [0, 1), 53 bits.
  double uniform();
  /// Uniform on {0, .., n - 1}, n > 0, by rejection.
  std::int64_t below(std::int64_t n);
  /// Standard normal by Box and Muller's transform.
  double normal();
  /// A random order of 0 .. n - 1 (Fisher and Yates).
  std::vector<std::int64_t> permutation(std::int64_t n);

 private:
  std::uint64_t seed_;
  std::uint32_t stream_;
  std::uint32_t step_;
  std::uint64_t block_ = 0;
  int used_ = 4;
  std::array<std::uint32_t, 4> words_{};
  bool has_spare_ = false;
  double spare_ = 0;
};

}  // namespace levda::autodiff
