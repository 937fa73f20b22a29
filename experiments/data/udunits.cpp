#include <udunits2.h>

#include <cmath>
#include <memory>

#include "experiments/data/units.h"

namespace levda::experiments {

bool has_udunits() { return true; }

std::optional<Conversion> udunits_conversion(const std::string& from, const std::string& to) {
  // The database is read once; it stays to the end of the program.
  static ut_system* const system = [] {
    ut_set_error_message_handler(ut_ignore);
    return ut_read_xml(nullptr);
  }();
  if (system == nullptr) return std::nullopt;
  const auto parsed = [&](const std::string& text) {
    return std::unique_ptr<ut_unit, decltype(&ut_free)>(ut_parse(system, text.c_str(), UT_UTF8), ut_free);
  };
  const auto a = parsed(from);
  const auto b = parsed(to);
  if (!a || !b || ut_are_convertible(a.get(), b.get()) == 0) return std::nullopt;
  const std::unique_ptr<cv_converter, decltype(&cv_free)> converter(ut_get_converter(a.get(), b.get()), cv_free);
  if (!converter) return std::nullopt;
  const double offset = cv_convert_double(converter.get(), 0);
  constexpr double far = 4096;  // the offset rounds less of a long way
  double scale = (cv_convert_double(converter.get(), far) - offset) / far;
  if (std::abs(scale - 1) <= 1e-14 * (1 + std::abs(offset))) scale = 1;
  // Logarithmic units, like dBZ, are no straight lines.
  const double at_one = cv_convert_double(converter.get(), 1);
  if (!std::isfinite(scale) || !(std::abs(at_one - offset - scale) <= 1e-9 * (std::abs(offset) + std::abs(scale))))
    return std::nullopt;
  return Conversion{.scale = scale, .offset = offset};
}

}  // namespace levda::experiments
