#pragma once

/// Counter-based random numbers. A number is a function of (seed, stream, step, position), so that resumed and parallel
/// runs draw the same numbers on every backend.

#include <array>
#include <cstdint>
#include <vector>

namespace levda::autodiff {

/// Philox4x32-10 (Salmon et al., SC'11). A generator is a position in one sequence. Sequences with another seed, stream
/// or step are independent.
class Random {
 public:
  /// stream: the purpose of the numbers, see streams.h; step: counts draws for one purpose. Both are 0 by default.
  explicit Random(std::uint64_t seed, std::uint32_t stream = 0, std::uint32_t step = 0)
      : seed_(seed), stream_(stream), step_(step) {}

  /// 32 random bits.
  std::uint32_t bits();
  /// Uniform on [0, 1), 53 bits.
  double uniform();
  /// Uniform on {0, .., n - 1} by rejection. Throws Error when n < 1.
  std::int64_t below(std::int64_t n);
  /// Standard normal by Box and Muller's transform.
  double normal();
  /// A random order of 0 .. n - 1 (Fisher and Yates). Throws Error when n < 0.
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
