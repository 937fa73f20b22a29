#pragma once

/// Numbers for people.

#include <string>

namespace levda::experiments {

/// "1000000.801 +- 0.016": the error with two digits, the value to the same place. With exponents where zeros would
/// fill the text: "1.2346e-09 +- 3.0e-12". An error of 0 shows all digits of the value.
std::string shown_number(double value, double error);

/// A text with its unit behind it, if there is one: "1" is none.
std::string with_unit(const std::string& text, const std::string& unit);

}  // namespace levda::experiments
