/// Units as CF writes them.

#include "experiments/data/units.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>

#include "autodiff/error.h"

using namespace levda;
using namespace levda::experiments;

namespace {

/// 1 of a unit in another one; NaN where it cannot be.
double one(const char* from, const char* to) {
  const auto found = conversion(from, to);
  return found ? found->scale + found->offset : std::nan("");
}

TimeUnit counted(const char* text, const char* calendar = "") { return time_unit(text, calendar); }

std::string refusal(const TimeUnit& from, const TimeUnit& to) {
  try {
    time_conversion(from, to);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("units: the usual names of time, length and angle in every build") {
  CHECK(one("hours", "h") == 1);
  CHECK(one("Hours", "hour") == 1);
  CHECK(one("hrs", "s") == 3600);
  CHECK(one("days", "min") == 1440);
  CHECK(one("metres", "m") == 1);
  CHECK(one("degrees_east", "degrees") == 1);
  CHECK(one("degree_E", "degrees_east") == 1);
  CHECK(std::isnan(one("degrees_north", "degrees_east")));
  CHECK(std::isnan(one("hours", "m")));
  CHECK(std::isnan(one("no unit at all", "m")));
}

TEST_CASE("units: by UDUNITS" * doctest::skip(!has_udunits())) {
  CHECK(one("cm", "m") == doctest::Approx(0.01).epsilon(1e-15));
  CHECK(one("km", "m") == 1000);
  CHECK(one("hPa", "Pa") == 100);
  CHECK(one("m/s", "m s-1") == 1);
  CHECK(one("percent", "1") == doctest::Approx(0.01).epsilon(1e-15));
  CHECK(one("m2", "(m)2") == 1);
  const auto celsius = conversion("degC", "K");
  REQUIRE(celsius);
  CHECK(celsius->scale == 1);
  CHECK(celsius->offset == 273.15);
  CHECK(std::isnan(one("m", "M")));
  CHECK(std::isnan(one("K", "m")));
  CHECK(std::isnan(one("dBZ", "mm6 m-3")));
}

TEST_CASE("units of time: synonyms, and references that differ") {
  const auto at_zero = [](const TimeUnit& from, const TimeUnit& to) { return time_conversion(from, to).offset; };
  const TimeUnit hours = counted("hours since 2020-01-01");
  CHECK(hours.unit == "hours");
  CHECK(hours.reference == "2020-01-01");
  CHECK(at_zero(counted("hour since 2020-01-02"), hours) == 24);
  CHECK(at_zero(counted("hours since 2020-1-1 06:30:00"), hours) == 6.5);
  CHECK(at_zero(counted("h since 2020-01-01T06:00:00Z"), hours) == 6);
  CHECK(at_zero(counted("h since 2020-01-01 06:00 +1:00"), hours) == 5);
  CHECK(at_zero(counted("h since 2020-01-01 06:00:00 -0130"), hours) == 7.5);
  CHECK(at_zero(counted("hours since 2020-01-01 00:00:0.0"), hours) == 0);
  CHECK(at_zero(counted("h since 2020-03-01"), hours) == 60 * 24);  // a leap year
  const Conversion seconds = time_conversion(counted("seconds since 1970-01-01T00:00:00Z"), hours);
  CHECK(1577836800 * seconds.scale + seconds.offset == doctest::Approx(0).scale(1).epsilon(1e-9));
  CHECK(time_conversion(counted("days"), hours).scale == 24);
  CHECK(at_zero(counted("hours since 1999-01-01"), counted("hours")) == 0);
  CHECK(at_zero(counted("hours since 2020-01-01", "noleap"), counted("h since 2020-01-01 00:00:00", "NoLeap")) == 0);
}

TEST_CASE("units of time: what cannot be converted is refused") {
  const TimeUnit hours = counted("hours since 2020-01-01");
  CHECK(refusal(counted("m since 2020-01-01"), hours).starts_with("\"m\", where the surrogate has \"hours\""));
  CHECK(refusal(counted("hours since 2020-01-01", "360_day"), hours) ==
        "the calendar \"360_day\", where the surrogate has \"standard\"");
  CHECK(refusal(counted("hours since 2020-02-01", "noleap"), counted("hours since 2020-01-01", "noleap"))
            .find("dates of the calendar \"noleap\" are not converted") != std::string::npos);
  for (const char* reference :
       {"soon", "2020-13-01", "2020-02-30", "2020-01-01 25:00", "2020-01-01 00:00 noon", "1200-01-01"}) {
    CAPTURE(reference);
    CHECK(refusal(counted(fmt::format("hours since {}", reference).c_str()), hours).find("the reference time") == 0);
  }
  CHECK(refusal(counted("months since 2020-02-01"), counted("months since 2020-01-01")).find("same length") !=
        std::string::npos);
}
