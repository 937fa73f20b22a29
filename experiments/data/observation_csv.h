#pragma once

/// Observations as text, one value per line.

#include <array>
#include <string>
#include <string_view>

#include "da/observations.h"
#include "models/grid.h"

namespace levda::experiments {

/// A column of numbers of a file of observations, CSV or NetCDF.
struct NumberColumn {
  const char* name;
  std::vector<double> da::Observations::*values;
  bool needed;  ///< else it may be left out and is 0
  const char* long_name;
  std::string models::Description::*unit = nullptr;  ///< nullptr: the channel's unit
};

inline constexpr std::array number_columns{
    NumberColumn{"time", &da::Observations::time, true, "time after the start of the assimilation",
                 &models::Description::time_unit},
    NumberColumn{"x", &da::Observations::x, true, "place of the value, eastward", &models::Description::place_unit},
    NumberColumn{"y", &da::Observations::y, true, "place of the value, northward", &models::Description::place_unit},
    NumberColumn{"value", &da::Observations::value, true, "observed value, in the channel's unit"},
    NumberColumn{"error_std", &da::Observations::error_std, true,
                 "standard deviation of the error, in the channel's unit"},
    NumberColumn{"extent_x", &da::Observations::extent_x, false, "of what op looks at",
                 &models::Description::place_unit},
    NumberColumn{"extent_y", &da::Observations::extent_y, false, "of what op looks at",
                 &models::Description::place_unit}};

/// Whether a file must have the column. y may be left out where the domain has no extent along it.
bool is_needed(const NumberColumn& column, const models::Description& about);

/// The channel with a name, or at a position ("2") if `positions`. Throws InputError naming source and field, with
/// `before` in front of the message, if there is none.
std::int64_t channel_of(std::string_view text, const models::Description& about, const std::string& source,
                        const char* field, bool positions = false, const std::string& before = "");

/// Reads lines of comma-separated fields. The first line names the columns, in any order: time, x, y, channel (name or
/// position), value, error_std, and optionally qc (default 0), op (default value), extent_x and extent_y (default 0). y
/// may be left out where the domain has no extent along it. Fields may stand in double quotes; empty lines, lines that
/// begin with # and other columns are skipped. Throws InputError naming `source`, the column and the line
/// (1-based): a column missing or twice, too few or too many fields, a field that is not a number, an unknown
/// channel. The values themselves are checked by da::check.
da::Observations parse_observations_csv(std::string_view text, const std::string& source,
                                        const models::Description& about);

}  // namespace levda::experiments
