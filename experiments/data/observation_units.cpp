#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>

#include "autodiff/error.h"
#include "experiments/data/notes.h"
#include "experiments/data/observation_csv.h"
#include "experiments/data/observation_reading.h"
#include "experiments/data/units.h"

namespace levda::experiments {

namespace {

/// Operators whose result has the unit of the channel.
bool keeps_unit(const std::string& op) {
  constexpr std::array known{"value", "speed", "disc", "line"};
  return std::find(known.begin(), known.end(), op) != known.end();
}

}  // namespace

bool UnitReader::said(const char* what) const {
  return std::find(about_.unsaid_units.begin(), about_.unsaid_units.end(), what) == about_.unsaid_units.end();
}

void UnitReader::refuse(const std::string& variable, const std::string& unit, const std::string& known) const {
  throw InputError(source_, variable + ":units",
                   fmt::format("\"{}\", where the surrogate has \"{}\"{}", unit, known,
                               has_udunits() ? "" : "; this build is without UDUNITS (LEVDA_UDUNITS)"));
}

void UnitReader::convert_times(const std::string& variable, const std::string& text, std::vector<double>& values) {
  const std::string calendar =
      file_.has_attribute(variable, "calendar") ? file_.text(variable, "calendar") : std::string();
  const TimeUnit from = time_unit(text, calendar);
  const TimeUnit to{.unit = about_.time_unit, .reference = about_.time_reference, .calendar = about_.calendar};
  try {
    const Conversion to_ours = time_conversion(from, to);
    for (double& value : values) value = to_ours.scale * value + to_ours.offset;
  } catch (const Error& error) {
    throw InputError(source_, variable + ":units", error.what());
  }
  if (!from.reference.empty() && to.reference.empty())
    note(source_,
         fmt::format("{} counts from {}, which is taken as the start of the assimilation: the surrogate's data "
                     "set has no reference time",
                     variable, from.reference));
}

void UnitReader::convert(const std::string& variable, char axis, bool extent, std::vector<double>& values) {
  if (!has_units(variable)) return;
  const std::string unit = file_.text(variable, "units");
  const char* const what = axis == 't' ? "time" : axis == 'x' ? "x" : "y";
  if (!said(what)) {
    unchecked_.push_back(fmt::format("{} (\"{}\")", variable, unit));
    return;
  }
  if (axis == 't') return convert_times(variable, unit, values);
  const std::optional<Conversion> to_ours = conversion(unit, unit_of_axis(about_, axis));
  if (!to_ours) refuse(variable, unit, unit_of_axis(about_, axis));
  for (double& value : values) value = to_ours->scale * value + (extent ? 0 : to_ours->offset);
}

void UnitReader::convert_values(const std::string& value, const std::string& error, da::Observations& o) {
  const std::vector<std::string> variables =
      error.empty() ? std::vector<std::string>{value} : std::vector<std::string>{value, error};
  bool changed = false;
  for (const std::string& variable : variables) {
    if (!has_units(variable)) continue;
    const std::string unit = file_.text(variable, "units");
    if (!said("channel")) {
      unchecked_.push_back(fmt::format("{} (\"{}\")", variable, unit));
      continue;
    }
    std::vector<std::optional<Conversion>> of_channel;
    for (const std::string& known : about_.channel_units) of_channel.push_back(conversion(unit, known));
    std::vector<double>& numbers = variable == value ? o.value : o.error_std;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const auto channel = static_cast<std::size_t>(o.channel[i]);
      const std::optional<Conversion>& to_ours = of_channel[channel];
      if (keeps_unit(o.op[i]) ? !to_ours : to_ours && to_ours->changes())
        refuse(variable, unit, keeps_unit(o.op[i]) ? about_.channel_units[channel] : o.op[i]);
      if (!keeps_unit(o.op[i])) continue;
      changed = changed || to_ours->changes();
      // Errors are differences: a degree Celsius of error is a kelvin.
      numbers[i] = to_ours->scale * numbers[i] + (variable == value ? to_ours->offset : 0);
    }
  }
  for (const std::string& variable : variables)
    if (changed && !has_units(variable))
      throw InputError(
          source_, variable + ":units",
          fmt::format("left out, where {} has a unit that is not the surrogate's", variable == value ? error : value));
}

void UnitReader::check_covariance(const std::string& variable, const std::string& value, const da::Observations& o) {
  if (!said("channel")) return;
  const std::set<std::int64_t> channels(o.channel.begin(), o.channel.end());
  for (const std::int64_t channel : channels) {
    const std::string& known = about_.channel_units[static_cast<std::size_t>(channel)];
    if (has_units(variable)) {
      const std::string unit = file_.text(variable, "units");
      const std::string square = fmt::format("({})2", known);
      const std::optional<Conversion> same = conversion(unit, square);
      if (!same || same->changes()) refuse(variable, unit, square);
    } else if (has_units(value)) {
      const std::optional<Conversion> same = conversion(file_.text(value, "units"), known);
      if (same && same->scale != 1)
        throw InputError(source_, variable + ":units",
                         fmt::format("left out, where {} has a unit that is not the surrogate's", value));
    }
  }
}

void UnitReader::finish() const {
  if (!unchecked_.empty())
    note(source_, fmt::format("{} of {} {} not checked: the data set never said its own",
                              unchecked_.size() == 1 ? "the unit" : "the units", fmt::join(unchecked_, ", "),
                              unchecked_.size() == 1 ? "is" : "are"));
}

}  // namespace levda::experiments
