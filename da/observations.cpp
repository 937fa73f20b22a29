#include "da/observations.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <tuple>

#include "autodiff/error.h"
#include "da/observation_operators.h"

namespace levda::da {

void Observations::add(double t, double x_place, double y_place, std::int64_t c, double observed, double deviation,
                       std::int32_t quality, const std::string& operator_name, double width, double height) {
  time.push_back(t);
  x.push_back(x_place);
  y.push_back(y_place);
  channel.push_back(c);
  value.push_back(observed);
  error_std.push_back(deviation);
  qc.push_back(quality);
  op.push_back(operator_name);
  extent_x.push_back(width);
  extent_y.push_back(height);
}

Observations Observations::part(std::span<const std::int64_t> positions) const {
  Observations some;
  for (const std::int64_t i : positions)
    some.add(time[i], x[i], y[i], channel[i], value[i], error_std[i], qc[i], op[i], extent_x[i], extent_y[i]);
  return some;
}

std::vector<std::int64_t> Observations::in_window(double begin, double end) const {
  std::vector<std::int64_t> positions;
  for (std::int64_t i = 0; i < size(); ++i)
    if (qc[i] == used && time[i] >= begin && time[i] < end) positions.push_back(i);
  return positions;
}

void check_columns(const Observations& o, const std::string& source) {
  const std::size_t rows = o.value.size();
  const auto length = [&](const char* column, std::size_t size) {
    if (size != rows) throw InputError(source, column, fmt::format("{} rows, where value has {}", size, rows));
  };
  length("time", o.time.size());
  length("x", o.x.size());
  length("y", o.y.size());
  length("channel", o.channel.size());
  length("error_std", o.error_std.size());
  length("qc", o.qc.size());
  length("op", o.op.size());
  length("extent_x", o.extent_x.size());
  length("extent_y", o.extent_y.size());
}

std::string row_name(std::int64_t row, std::span<const std::int64_t> lines) {
  return lines.empty() ? fmt::format("row {}", row) : fmt::format("line {}", lines[static_cast<std::size_t>(row)]);
}

void check(const Observations& o, const std::string& source, double last_time, std::int64_t channels,
           std::span<const std::int64_t> lines) {
  const auto rows = static_cast<std::size_t>(o.size());
  const auto fail = [&](const char* column, std::size_t row, const std::string& message) {
    throw InputError(source, column, fmt::format("{}: {}", row_name(static_cast<std::int64_t>(row), lines), message));
  };
  check_columns(o, source);
  for (std::size_t i = 0; i < rows; ++i) {
    if (o.qc[i] != used) continue;
    if (!(o.time[i] >= 0 && o.time[i] <= last_time))
      fail("time", i, fmt::format("{} is outside the time span, 0 to {:.6g}", o.time[i], last_time));
    if (!std::isfinite(o.x[i])) fail("x", i, fmt::format("{} is not a place", o.x[i]));
    if (!std::isfinite(o.y[i])) fail("y", i, fmt::format("{} is not a place", o.y[i]));
    if (o.channel[i] < 0 || o.channel[i] >= channels)
      fail("channel", i, fmt::format("{} is not in 0 .. {}", o.channel[i], channels - 1));
    if (!std::isfinite(o.value[i])) fail("value", i, fmt::format("{} is not finite", o.value[i]));
    if (!(o.error_std[i] > 0)) fail("error_std", i, fmt::format("{} is not positive", o.error_std[i]));
    const double variance = o.error_std[i] * o.error_std[i];
    if (!(variance > 0) || !std::isfinite(variance))
      fail("error_std", i, fmt::format("{} has no square", o.error_std[i]));
    if (find_operator(o.op[i]) == nullptr)
      fail("op", i, fmt::format("\"{}\" is no operator ({})", o.op[i], fmt::join(operator_names(), ", ")));
    if (!std::isfinite(o.extent_x[i])) fail("extent_x", i, fmt::format("{} is not finite", o.extent_x[i]));
    if (!std::isfinite(o.extent_y[i])) fail("extent_y", i, fmt::format("{} is not finite", o.extent_y[i]));
  }
  if (std::count(o.qc.begin(), o.qc.end(), used) == 0)
    throw InputError(source, "qc", "no observation is to be assimilated");
  // A copy of an observation would count twice.
  const auto entry = [&](std::int64_t i) {
    return std::tuple(o.time[i], o.x[i], o.y[i], o.channel[i], o.value[i], o.error_std[i], std::string_view(o.op[i]),
                      o.extent_x[i], o.extent_y[i]);
  };
  std::vector<std::int64_t> order = o.in_window(0, std::numeric_limits<double>::infinity());
  std::sort(order.begin(), order.end(),
            [&](std::int64_t i, std::int64_t j) { return std::tuple(entry(i), i) < std::tuple(entry(j), j); });
  const auto twice =
      std::adjacent_find(order.begin(), order.end(), [&](auto i, auto j) { return entry(i) == entry(j); });
  if (twice != order.end())
    fail("value", static_cast<std::size_t>(twice[1]), fmt::format("repeats {}", row_name(twice[0], lines)));
}

}  // namespace levda::da
