#include "experiments/data/shown_number.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

using levda::experiments::shown_number;
using levda::experiments::with_unit;

TEST_CASE("a number has as many digits as its uncertainty asks for") {
  CHECK(shown_number(1000000.80093, 0.0163) == "1000000.801 +- 0.016");
  CHECK(shown_number(0.801415, 0.0163) == "0.801 +- 0.016");
  CHECK(shown_number(-0.801415, 0.2) == "-0.80 +- 0.20");
  CHECK(shown_number(0.5, 0.0996) == "0.50 +- 0.10");  // rounding the error moves its first digit
  CHECK(shown_number(2451545.25, 12.3) == "2451545 +- 12");
  CHECK(shown_number(101325.4, 1234) == "101300 +- 1200");
  CHECK(shown_number(-0.003, 0.5) == "0.00 +- 0.50");
  CHECK(shown_number(0, 0.031) == "0.000 +- 0.031");
  CHECK(shown_number(1.23456e-9, 3e-12) == "1.2346e-09 +- 3.0e-12");
  CHECK(shown_number(0.25, 3e-12) == "0.2500000000000 +- 3.0e-12");
  CHECK(shown_number(6.02214e23, 4.5e19) == "6.02214e+23 +- 4.5e+19");
  CHECK(shown_number(1e-14, 3e-10) == "1e-14 +- 3.0e-10");
  CHECK(shown_number(1e13 + 0.25, 0.016) == "10000000000000.25 +- 0.016");  // a double has no more digits
  CHECK(shown_number(0.1, 0) == "0.1 +- 0");
  CHECK(shown_number(std::numeric_limits<double>::quiet_NaN(), 1) == "nan +- 1");
  CHECK(shown_number(1.5, std::numeric_limits<double>::infinity()) == "1.5 +- inf");
}

TEST_CASE("a shown number misses the value by at most half of the error's last digit") {
  for (int exponent = -30; exponent <= 30; ++exponent)
    for (const double ratio : {0.7, 0.04, 3e-4, 7e-9}) {
      const double value = 1.2345678987654321 * std::pow(10.0, exponent);
      const double error = ratio * value;
      const std::string text = shown_number(value, error);
      CAPTURE(text);
      const std::size_t at = text.find(" +- ");
      REQUIRE(at != std::string::npos);
      // Two digits of an error: a unit of the second one is at most a tenth of it.
      CHECK(std::abs(std::atof(text.c_str()) - value) <= 0.0501 * error);
      CHECK(std::abs(std::atof(text.c_str() + at + 4) - error) <= 0.0501 * error);
      CHECK(text.size() < 50);
    }
}

TEST_CASE("with_unit: a unit of 1 is not shown") {
  CHECK(with_unit("0.80 +- 0.02", "1") == "0.80 +- 0.02");
  CHECK(with_unit("0.80 +- 0.02", "") == "0.80 +- 0.02");
  CHECK(with_unit("0.80 +- 0.02", "m") == "0.80 +- 0.02 m");
}
