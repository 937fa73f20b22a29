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

/// Range of a diverging palette for all times: 0 -+ the size that 99.5% of the finite values do not exceed, since a few
/// extremes must not bleach the rest. It is centred on the mean if that is more than three standard deviations from 0
/// (as for 280 K +- 10 K). Never empty.
Range diverging_range(const Fields& fields);
/// The range from 0 to that size.
Range sequential_range(const Fields& fields);

}  // namespace levda::experiments
