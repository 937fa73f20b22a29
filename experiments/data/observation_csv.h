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
  char axis = 0;  ///< whose unit it has: t, x or y; 0: the channel's
};

inline constexpr std::array number_columns{
    NumberColumn{"time", &da::Observations::time, true, "time after the start of the assimilation", 't'},
    NumberColumn{"x", &da::Observations::x, true, "place of the value, eastward", 'x'},
    NumberColumn{"y", &da::Observations::y, true, "place of the value, northward", 'y'},
    NumberColumn{"value", &da::Observations::value, true, "observed value, in the channel's unit"},
    NumberColumn{"error_std", &da::Observations::error_std, true,
                 "standard deviation of the error, in the channel's unit"},
    NumberColumn{"extent_x", &da::Observations::extent_x, false, "of what op looks at", 'x'},
    NumberColumn{"extent_y", &da::Observations::extent_y, false, "of what op looks at", 'y'}};

/// The unit of such an axis.
const std::string& unit_of_axis(const models::Description& about, char axis);

/// Throws InputError where a column's name differs only by case from one that is known and not there.
void check_case(const std::string& source, const std::vector<std::string>& names);

/// Says in a line what is not read of a file, and in a line of their own which names look like quality flags.
void note_unread(const std::string& source, std::vector<std::string> names);

/// Whether a file must have the column. y may be left out where the domain has no extent along it.
bool is_needed(const NumberColumn& column, const models::Description& about);

/// The channel with a name, or at a position ("2") if `positions`. Throws InputError naming source and field, with
/// `before` in front of the message, if there is none.
std::int64_t channel_of(std::string_view text, const models::Description& about, const std::string& source,
                        const char* field, bool positions = false, const std::string& before = "");

/// Columns of a text, which must outlive it.
struct CsvTable {
  std::vector<std::string> names;
  std::int64_t header = 0;  ///< the line of the names; lines are counted from 1
  std::vector<std::vector<std::string_view>> rows;
  std::vector<std::int64_t> lines;  ///< of the rows

  /// -1 where there is none.
  std::int64_t column(std::string_view name) const;
};

/// Reads lines of comma-separated fields; the first one names the columns. Fields may stand in double quotes; empty
/// lines and lines that begin with # are skipped. Throws InputError naming `source`: nothing there, too few or too many
/// fields, and by its name another dialect: semicolons, tabs, lines that end with CR, UTF-16.
CsvTable read_csv_table(std::string_view text, const std::string& source);

/// The observations in such lines, with the columns, in any order, time, x, y, channel (name or position), value,
/// error_std, and optionally qc (default 0), op (default value), extent_x and extent_y (default 0). y may be left out
/// where the domain has no extent along it. Other columns are named on stderr. Throws InputError naming `source`, the
/// column and the line: a column missing, twice or in another case, a field that is not a number, an unknown channel.
/// The values themselves are checked by da::check. lines: gets the line of each entry.
da::Observations parse_observations_csv(std::string_view text, const std::string& source,
                                        const models::Description& about, std::vector<std::int64_t>* lines = nullptr);

}  // namespace levda::experiments
