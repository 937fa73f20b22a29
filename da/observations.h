#pragma once

/// Observations: one entry per value, at any time and place, in any order.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace levda::da {

/// Decisions on an observation, with the codes of the Data Assimilation Research Testbed (DART).
enum QualityControl : std::int32_t {
  used = 0,
  operator_failed = 4,
  not_to_be_assimilated = 5,
  incoming_rejected = 6,
  outlier = 7
};

/// Columns of equal length. Values and errors are in physical units: those of the channel, or of the result of the
/// observation operator (da/observation_operators.h).
struct Observations {
  std::vector<double>
      time;               ///< after the start of the assimilation, the time of the control vector; in the model's unit
  std::vector<double> x;  ///< the place of the value itself (staggered channels included), in the model's unit
  std::vector<double> y;
  std::vector<std::int64_t> channel;
  std::vector<double> value;
  std::vector<double> error_std;
  std::vector<std::int32_t> qc;  ///< QualityControl; only entries with `used` are assimilated
  std::vector<std::string> op;   ///< name of the observation operator; `value`: the channel at the place
  std::vector<double> extent_x;  ///< extent for the operator, which defines its meaning; in the unit of places
  std::vector<double> extent_y;

  std::int64_t size() const { return static_cast<std::int64_t>(value.size()); }
  void add(double t, double x_place, double y_place, std::int64_t c, double observed, double deviation,
           std::int32_t quality = used, const std::string& operator_name = "value", double width = 0,
           double height = 0);
  /// The entries at some positions, in that order.
  Observations part(std::span<const std::int64_t> positions) const;
  /// Positions of the entries to be assimilated with begin <= time < end.
  std::vector<std::int64_t> in_window(double begin, double end) const;
};

/// Throws InputError naming `source` and the column when the columns have unequal lengths.
void check_columns(const Observations& observations, const std::string& source);

/// What a message calls an entry: "row 3", counted from 0, or in a text the line on which it stands: "line 5".
std::string row_name(std::int64_t row, std::span<const std::int64_t> lines);

/// Throws InputError naming `source`, the column and the row (row_name) when columns have unequal length, no entry is
/// to be assimilated, a value is not finite, a time is outside [0, last_time], a channel is outside [0, channels), an
/// error is not positive, an operator is unknown, or an entry to be assimilated repeats another one in all columns.
/// lines: of the entries in a text; empty where there are none.
void check(const Observations& observations, const std::string& source, double last_time, std::int64_t channels,
           std::span<const std::int64_t> lines = {});

}  // namespace levda::da
