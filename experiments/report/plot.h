#pragma once

/// A gnuplot script under construction, and what the report's figures share: ranges, ticks and labels.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <initializer_list>
#include <iterator>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "experiments/report/colours.h"

namespace levda::experiments {

/// Places and sizes are in pixels, with the origin at the top left.
class Plot {
 public:
  Plot(double width, double height);

  template <class... Arguments>
  void add(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    fmt::format_to(std::back_inserter(script_), format, std::forward<Arguments>(arguments)...);
  }

  /// Defines the data block $name; line(i) adds the lines of i = 0 .. count - 1.
  template <class Line>
  void data(std::string_view name, std::size_t count, const Line& line) {
    add("${} << EOD\n", name);
    for (std::size_t i = 0; i < count; ++i) line(i);
    add("EOD\n");
  }
  /// Defines a block of lines "x y", up to the end of the shorter list.
  void points(std::string_view name, std::span<const double> x, std::span<const double> y);

  /// Places the axes of the next plot.
  void place(double left, double top, double width, double height);
  /// Centred text.
  void write(const std::string& text, double x, double y, int size, bool upright = false);
  /// An axis ('x', 'y') with at least three round ticks.
  void axis(char name, const Range& range);
  /// A logarithmic axis with ticks at 1, 2, 5 of each power of ten, or at the powers where there are many.
  void logarithmic_axis(char name, const Range& range);
  /// The label below the x axis.
  void x_label(const std::string& text);
  /// A grey vertical line.
  void vertical_line(double x);
  /// Draws all curves in one plot command.
  void curves(const std::vector<std::string>& curves);

  /// The picture as an element of an HTML page: no prologue, no ids, gnuplot's title replaced.
  std::string draw(const std::string& alternative) const;
  /// The picture as a PNG file.
  std::string draw_png() const;

 private:
  std::string run(const std::string& terminal) const;

  double width_;
  double height_;
  std::string script_;
};

/// gnuplot's "first,step,last" with at least this many ticks at round values of a range.
std::string ticks(const Range& range, int at_least);

/// Significant digits, at least 3, that tell a thousandth of a range apart.
int digits_of(const Range& range);

/// "name (unit)"; the name alone where the unit is empty or 1.
std::string labelled(const std::string& name, const std::string& unit);

/// Smallest and largest finite value of several lists and of some single values; 0 .. 1 if there is none.
Range extent(std::initializer_list<std::span<const double>> lists, std::initializer_list<double> values = {});

/// Widened by a share of its length on both sides (narrowed where it is negative); never empty.
Range padded(const Range& range, double share);

}  // namespace levda::experiments
