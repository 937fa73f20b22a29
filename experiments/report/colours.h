#pragma once

/// Colours of maps.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace levda::experiments {

struct Range {
  double low = 0;
  double high = 1;
  double length() const { return high - low; }
};

using Fields = std::vector<std::vector<float>>;
using Rgb = std::array<std::uint8_t, 3>;

/// ColorBrewer's RdBu, blue first, and Purples: evenly spaced, linear between them.
std::span<const Rgb> diverging_colours();
std::span<const Rgb> sequential_colours();

/// a - b, value by value.
Fields difference(const Fields& a, const Fields& b);

/// What the ends of a diverging palette stand for, the same for all times: 0 -+ the size that 99.5% of the finite
/// values do not exceed, since a few extremes must not bleach the rest. Around the mean where that is more than three
/// standard deviations from 0: of 280 K +- 10 K, 0 says nothing. Never empty.
Range diverging_range(const Fields& fields);
/// From 0 to that size.
Range sequential_range(const Fields& fields);

}  // namespace levda::experiments
