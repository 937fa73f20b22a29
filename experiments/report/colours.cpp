#include "experiments/report/colours.h"

#include <algorithm>
#include <cmath>

namespace levda::experiments {

namespace {

/// The size that 99.5% of all |values - middle| do not exceed; 1 where that is 0 or there is none.
double limit(const Fields& fields, double middle) {
  std::vector<double> sizes;
  for (const auto& field : fields)
    for (const float value : field)
      if (std::isfinite(value)) sizes.push_back(std::abs(value - middle));
  if (sizes.empty()) return 1;
  const auto at = sizes.begin() + static_cast<std::ptrdiff_t>(0.995 * static_cast<double>(sizes.size() - 1));
  std::nth_element(sizes.begin(), at, sizes.end());
  return *at > 0 ? *at : 1;
}

}  // namespace

std::span<const Rgb> diverging_colours() {
  static constexpr std::array<Rgb, 11> colours{{{0x05, 0x30, 0x61},
                                                {0x21, 0x66, 0xac},
                                                {0x43, 0x93, 0xc3},
                                                {0x92, 0xc5, 0xde},
                                                {0xd1, 0xe5, 0xf0},
                                                {0xf7, 0xf7, 0xf7},
                                                {0xfd, 0xdb, 0xc7},
                                                {0xf4, 0xa5, 0x82},
                                                {0xd6, 0x60, 0x4d},
                                                {0xb2, 0x18, 0x2b},
                                                {0x67, 0x00, 0x1f}}};
  return colours;
}

std::span<const Rgb> sequential_colours() {
  static constexpr std::array<Rgb, 9> colours{{{0xfc, 0xfb, 0xfd},
                                               {0xef, 0xed, 0xf5},
                                               {0xda, 0xda, 0xeb},
                                               {0xbc, 0xbd, 0xdc},
                                               {0x9e, 0x9a, 0xc8},
                                               {0x80, 0x7d, 0xba},
                                               {0x6a, 0x51, 0xa3},
                                               {0x54, 0x27, 0x8f},
                                               {0x3f, 0x00, 0x7d}}};
  return colours;
}

Fields difference(const Fields& a, const Fields& b) {
  Fields result = a;
  for (std::size_t t = 0; t < std::min(a.size(), b.size()); ++t)
    for (std::size_t i = 0; i < std::min(a[t].size(), b[t].size()); ++i) result[t][i] -= b[t][i];
  return result;
}

Range diverging_range(const Fields& fields) {
  double sum = 0, squares = 0, count = 0;
  for (const auto& field : fields)
    for (const float value : field)
      if (std::isfinite(value)) {
        sum += value;
        squares += static_cast<double>(value) * value;
        ++count;
      }
  const double mean = count > 0 ? sum / count : 0;
  const double middle = count > 0 && mean * mean > 9 * (squares / count - mean * mean) ? mean : 0;
  const double size = limit(fields, middle);
  return {middle - size, middle + size};
}

Range sequential_range(const Fields& fields) { return {0, limit(fields, 0)}; }

}  // namespace levda::experiments
