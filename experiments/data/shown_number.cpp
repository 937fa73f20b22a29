#include "experiments/data/shown_number.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace levda::experiments {

namespace {

/// Exponent of the first digit after rounding to `digits` more: 0.0996 has -1 with one more.
int first_place(double value, int digits) {
  const std::string text = fmt::format("{:.{}e}", value, digits);
  return std::stoi(text.substr(text.find('e') + 1));
}

/// Rounded to the place 10^last.
std::string rounded(double value, int last) {
  constexpr int exact = 15;  // decimal digits that a double keeps
  const double size = std::abs(value);
  const int first = value == 0 ? last : first_place(value, 0);
  const double unit = std::pow(10.0, last);
  const bool wide = last > 0 ? size >= 1e7 : size >= 1e15;    // zeros behind the digits
  const bool small = last < -7 && value != 0 && size < 1e-4;  // and before them
  if (wide || small) return fmt::format("{:.{}e}", value, std::clamp(first - last, 0, exact));
  if (last > 0) return fmt::format("{:.0f}", std::round(value / unit) * unit + 0.0);
  return fmt::format("{:.{}f}", size < unit / 2 ? 0 : value, std::clamp(-last, 0, std::max(0, exact - first)));
}

}  // namespace

std::string shown_number(double value, double error) {
  if (error == 0) return fmt::format("{} +- 0", value);
  if (!std::isfinite(value) || !std::isfinite(error)) return fmt::format("{:.6g} +- {:.2g}", value, error);
  const int last = first_place(error, 1) - 1;
  return rounded(value, last) + " +- " + rounded(error, last);
}

std::string with_unit(const std::string& text, const std::string& unit) {
  return unit.empty() || unit == "1" ? text : fmt::format("{} {}", text, unit);
}

}  // namespace levda::experiments
