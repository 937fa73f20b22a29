#include "experiments/data/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string_view>

#include "autodiff/error.h"
#include "experiments/data/notes.h"

namespace levda::experiments {

namespace {

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// The short name of a common unit under its usual ones; other names as they are.
std::string plain(const std::string& unit) {
  const std::size_t begin = unit.find_first_not_of(' ');
  const std::string trimmed =
      begin == std::string::npos ? "1" : unit.substr(begin, unit.find_last_not_of(' ') - begin + 1);
  // Names of one or two letters have another meaning in the other case (m and M), long ones do not.
  const std::string name = trimmed.size() > 2 ? lower_case(trimmed) : trimmed;
  if (is_one_of(name, {"second", "seconds", "sec", "secs"})) return "s";
  if (is_one_of(name, {"minute", "minutes", "min", "mins"})) return "min";
  if (is_one_of(name, {"hour", "hours", "hr", "hrs"})) return "h";
  if (is_one_of(name, {"day", "days"})) return "d";
  if (is_one_of(name, {"metre", "metres", "meter", "meters"})) return "m";
  if (is_longitude(trimmed) || is_latitude(trimmed) || is_one_of(name, {"degree", "degrees"})) return "degree";
  return trimmed;
}

/// Seconds of the units of time that are known without UDUNITS.
std::optional<double> seconds_of(const std::string& name) {
  if (name == "s") return 1;
  if (name == "min") return 60;
  if (name == "h") return 3600;
  if (name == "d") return 86400;
  return std::nullopt;
}

bool is_standard(const std::string& calendar) {
  return is_one_of(calendar, {"", "standard", "gregorian", "proleptic_gregorian"});
}

/// Seconds from 1970 to a date like "2020-01-01", "2020-1-1T06:00:00Z" or "2020-01-01 06:00 +1:00".
double seconds_at(const std::string& date, bool proleptic) {
  const auto fail = [&] { throw Error(fmt::format("the reference time \"{}\" cannot be read", date)); };
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  int end = 0;
  if (std::sscanf(date.c_str(), "%5d-%2u-%2u%n", &year, &month, &day, &end) != 3 || end == 0) fail();
  const std::chrono::year_month_day ymd{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
  if (!ymd.ok()) fail();
  if (!proleptic && std::chrono::sys_days(ymd) < std::chrono::sys_days(std::chrono::year(1582) / 10 / 15))
    throw Error(fmt::format("the reference time \"{}\" lies before the calendar of today", date));
  std::string rest = date.substr(static_cast<std::size_t>(end));
  const auto next = [&](const char* letters) { rest.erase(0, std::min(rest.find_first_not_of(letters), rest.size())); };
  next(" T");
  double seconds = static_cast<double>(std::chrono::sys_days(ymd).time_since_epoch().count()) * 86400;
  int hour = 0;
  int minute = 0;
  double second = 0;
  if (end = 0; std::sscanf(rest.c_str(), "%2d:%2d%n", &hour, &minute, &end) >= 1 && rest[0] >= '0' && rest[0] <= '9') {
    if (end == 0) std::sscanf(rest.c_str(), "%2d%n", &hour, &end);
    rest.erase(0, static_cast<std::size_t>(end));
    if (end = 0; std::sscanf(rest.c_str(), ":%lf%n", &second, &end) == 1) rest.erase(0, static_cast<std::size_t>(end));
    if (hour > 24 || minute < 0 || minute > 59 || !(second >= 0 && second < 61)) fail();
    seconds += hour * 3600 + minute * 60 + second;
  }
  next(" ");
  if (rest.starts_with("UTC") || rest.starts_with("GMT")) rest.erase(0, 3);
  if (rest.starts_with("Z")) rest.erase(0, 1);
  next(" ");
  if (rest.empty()) return seconds;
  const bool west = rest[0] == '-';
  if (rest[0] == '+' || rest[0] == '-') rest.erase(0, 1);
  hour = minute = end = 0;
  if (rest.find(':') == std::string::npos && rest.size() == 4)
    rest = fmt::format("{}:{}", rest.substr(0, 2), rest.substr(2));
  if (std::sscanf(rest.c_str(), "%2d:%2d%n", &hour, &minute, &end) != 2 &&
      std::sscanf(rest.c_str(), "%2d%n", &hour, &end) != 1)
    fail();
  if (static_cast<std::size_t>(end) != rest.size() || hour > 14 || minute > 59) fail();
  const double zone = hour * 3600 + minute * 60;
  return west ? seconds + zone : seconds - zone;
}

}  // namespace

bool is_longitude(const std::string& unit) {
  return is_one_of(unit, {"degrees_east", "degree_east", "degrees_E", "degree_E", "degreesE", "degreeE"});
}

bool is_latitude(const std::string& unit) {
  return is_one_of(unit, {"degrees_north", "degree_north", "degrees_N", "degree_N", "degreesN", "degreeN"});
}

std::optional<Conversion> conversion(const std::string& from, const std::string& to) {
  if (from == to) return Conversion{};
  if ((is_longitude(from) && is_latitude(to)) || (is_latitude(from) && is_longitude(to))) return std::nullopt;
  const std::string a = plain(from);
  const std::string b = plain(to);
  if (a == b) return Conversion{};
  const auto seconds = seconds_of(a);
  if (const auto others = seconds_of(b); seconds && others) return Conversion{.scale = *seconds / *others};
  return udunits_conversion(a, b);
}

TimeUnit time_unit(const std::string& text, const std::string& calendar) {
  TimeUnit found{.unit = text, .reference = {}, .calendar = lower_case(calendar)};
  const std::string lower = lower_case(text);
  for (const std::string_view word : {" since ", " after ", " from ", " ref ", "@"}) {
    const std::size_t at = lower.find(word);
    if (at == std::string::npos) continue;
    const auto trimmed = [](std::string part) {
      part.erase(0, std::min(part.find_first_not_of(' '), part.size()));
      part.erase(part.find_last_not_of(' ') + 1);
      return part;
    };
    found.unit = trimmed(text.substr(0, at));
    found.reference = trimmed(text.substr(at + word.size()));
    break;
  }
  return found;
}

Conversion time_conversion(const TimeUnit& from, const TimeUnit& to) {
  const std::optional<Conversion> unit = conversion(from.unit, to.unit);
  if (!unit || unit->offset != 0)
    throw Error(fmt::format("\"{}\", where the surrogate has \"{}\"{}", from.unit, to.unit,
                            has_udunits() ? "" : "; this build is without UDUNITS (LEVDA_UDUNITS)"));
  if (from.reference.empty() || to.reference.empty()) return *unit;
  const bool same_calendar = from.calendar == to.calendar || (is_standard(from.calendar) && is_standard(to.calendar));
  if (!same_calendar)
    throw Error(fmt::format("the calendar \"{}\", where the surrogate has \"{}\"",
                            from.calendar.empty() ? "standard" : from.calendar,
                            to.calendar.empty() ? "standard" : to.calendar));
  const auto same_date = [&] {
    try {
      return seconds_at(from.reference, true) == seconds_at(to.reference, true);
    } catch (const Error&) {
      return false;  // a day that our calendar has not
    }
  };
  if (from.reference == to.reference || same_date()) return *unit;
  if (!is_standard(from.calendar))
    throw Error(
        fmt::format("counted from \"{}\", where the surrogate counts from \"{}\": dates of the calendar \"{}\" "
                    "are not converted",
                    from.reference, to.reference, from.calendar));
  const std::optional<Conversion> second = conversion("s", to.unit);
  const std::string name = lower_case(from.unit + " " + to.unit);
  if (!second || name.find("month") != std::string::npos || name.find("year") != std::string::npos)
    throw Error(
        fmt::format("counted from \"{}\", where the surrogate counts from \"{}\", in \"{}\", which has not "
                    "always the same length",
                    from.reference, to.reference, to.unit));
  const bool proleptic = from.calendar == "proleptic_gregorian" && to.calendar == "proleptic_gregorian";
  const double seconds = seconds_at(from.reference, proleptic) - seconds_at(to.reference, proleptic);
  return {.scale = unit->scale, .offset = seconds * second->scale};
}

}  // namespace levda::experiments
