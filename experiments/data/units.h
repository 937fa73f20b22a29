#pragma once

/// Units of measurement as CF writes them, and times counted from a reference.

#include <optional>
#include <string>

namespace levda::experiments {

/// A number in another unit: scale times the number, plus offset.
struct Conversion {
  double scale = 1;
  double offset = 0;

  bool changes() const { return scale != 1 || offset != 0; }
};

/// nullopt where one unit cannot be converted to the other one: another dimension, an unknown name, longitudes where
/// latitudes are meant. By UDUNITS-2; a build without it knows equal names and the usual ones of seconds, minutes,
/// hours, days, metres and degrees.
std::optional<Conversion> conversion(const std::string& from, const std::string& to);

/// By UDUNITS-2 alone. nullopt also in a build without it.
std::optional<Conversion> udunits_conversion(const std::string& from, const std::string& to);
bool has_udunits();

/// Whether it is one of CF's names of degrees of longitude, or of latitude.
bool is_longitude(const std::string& unit);
bool is_latitude(const std::string& unit);

/// "hours since 2020-01-01", taken apart.
struct TimeUnit {
  std::string unit;       ///< "hours"
  std::string reference;  ///< "2020-01-01"; empty where there is none
  std::string calendar;   ///< the attribute calendar in lower case; empty: standard
};

TimeUnit time_unit(const std::string& text, const std::string& calendar);

/// Times of one unit as times of another one. A reference of only one of them counts for both. Throws Error, with a
/// sentence, for units that cannot be converted to each other; for two different references also where a calendar has
/// other days than ours, a unit has not always the same length (months, years), or a date cannot be read.
Conversion time_conversion(const TimeUnit& from, const TimeUnit& to);

}  // namespace levda::experiments
