#include "experiments/report/plot.h"

#include <algorithm>
#include <cmath>

#include "experiments/report/gnuplot.h"
#include "experiments/report/html.h"

namespace levda::experiments {

Plot::Plot(double width, double height) : width_(width), height_(height) {
  add("unset key\nset border lw 0.6\nset tics nomirror out scale 0.5\nset format '%g'\nset multiplot\n");
}

void Plot::points(std::string_view name, std::span<const double> x, std::span<const double> y) {
  data(name, std::min(x.size(), y.size()), [&](std::size_t i) { add("{:.12g} {:.12g}\n", x[i], y[i]); });
}

void Plot::place(double left, double top, double width, double height) {
  add("set lmargin at screen {:.5f}\nset rmargin at screen {:.5f}\n", left / width_, (left + width) / width_);
  add("set tmargin at screen {:.5f}\nset bmargin at screen {:.5f}\n", 1 - top / height_, 1 - (top + height) / height_);
}

void Plot::write(const std::string& text, double x, double y, int size, bool upright) {
  add("set label {} at screen {:.5f},{:.5f} center font ',{}' {}\n", gnuplot_literal(text), x / width_, 1 - y / height_,
      size, upright ? "rotate by 90" : "");
}

void Plot::axis(char name, const Range& range) {
  add("set {0}range [{1:.12g}:{2:.12g}]\nset {0}tics {3}\nset format {0} '%.{4}g'\n", name, range.low, range.high,
      ticks(range, 3), std::max(6, digits_of(range)));
}

void Plot::logarithmic_axis(char name, const Range& range) {
  const bool dense = range.high < 1000 * range.low;
  std::vector<std::string> all;
  for (int power = static_cast<int>(std::floor(std::log10(range.low))); std::pow(10, power) < range.high; ++power)
    for (const double factor : {1., 2., 5.}) {
      const double tick = factor * std::pow(10, power);
      if ((factor == 1 || dense) && tick >= range.low && tick <= range.high) all.push_back(fmt::format("{:.6g}", tick));
    }
  add("set logscale {0}\nset {0}range [{1:.6g}:{2:.6g}]\nset {0}tics ({3})\n", name, range.low, range.high,
      fmt::join(all, ", "));
}

void Plot::x_label(const std::string& text) {
  add("set xtics offset 0,0.4\nset xlabel {} offset 0,0.6\n", gnuplot_literal(text));
}

void Plot::vertical_line(double x) {
  add("set arrow from {0:.12g},graph 0 to {0:.12g},graph 1 nohead lw 1 lc rgb '#909090'\n", x);
}

void Plot::curves(const std::vector<std::string>& curves) {
  add("plot {}\n", curves.empty() ? "NaN notitle" : fmt::format("{}", fmt::join(curves, ", ")));
}

std::string Plot::draw(const std::string& alternative) const {
  const std::string svg = run(
      fmt::format("set terminal svg size {:.0f},{:.0f} noenhanced standalone font 'sans-serif,12'\n", width_, height_));
  const std::size_t begin = std::min(svg.find("</defs>"), svg.size() - 7) + 7;
  std::string body = svg.substr(begin, svg.rfind("</svg>") - begin);
  for (std::size_t at = 0; (at = body.find("<g id=\"gnuplot_plot", at)) != std::string::npos;) {
    const std::size_t end = std::min(body.find("</title>", at), body.size() - 8) + 8;
    body.replace(at, end - at, "<g>");
  }
  constexpr std::string_view defaults = " stroke-linecap=\"butt\" stroke-linejoin=\"miter\"";  // SVG's own
  for (std::size_t at = 0; (at = body.find(defaults, at)) != std::string::npos;) body.erase(at, defaults.size());
  return fmt::format("<svg class=\"plot\" viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\"><g>{}</svg>\n",
                     width_, height_, escaped(alternative), body);
}

std::string Plot::draw_png() const {
  return run(fmt::format(
      "set terminal pngcairo size {:.0f},{:.0f} noenhanced background '#ffffff' font 'sans-serif,12' fontscale 0.76\n",
      width_, height_));
}

std::string Plot::run(const std::string& terminal) const {
  return run_gnuplot("set encoding utf8\n" + terminal + script_ + "unset multiplot\n");
}

std::string ticks(const Range& range, int at_least) {
  if (!(range.length() > 0) || !std::isfinite(range.length())) return "1";
  double power = std::pow(10, std::ceil(std::log10(range.length())));
  for (;; power /= 10)
    for (const double factor : {5., 2.5, 2., 1.}) {
      const double step = factor * power;
      const double first = std::ceil(range.low / step - 1e-9);
      const double last = std::floor(range.high / step + 1e-9);
      if (last - first + 1 >= at_least) return fmt::format("{:.12g},{:.12g},{:.12g}", first * step, step, last * step);
    }
}

int digits_of(const Range& range) {
  const double size = std::max(std::abs(range.low), std::abs(range.high));
  if (!(range.length() > 0) || !std::isfinite(size)) return 3;
  return std::clamp(3 + static_cast<int>(std::ceil(std::log10(size / range.length()))), 3, 12);
}

std::string labelled(const std::string& name, const std::string& unit) {
  return unit.empty() || unit == "1" ? name : fmt::format("{} ({})", name, unit);
}

Range extent(std::initializer_list<std::span<const double>> lists, std::initializer_list<double> values) {
  Range range{INFINITY, -INFINITY};
  const auto include = [&](double value) {
    if (!std::isfinite(value)) return;
    range = {std::min(range.low, value), std::max(range.high, value)};
  };
  for (const auto& list : lists) std::for_each(list.begin(), list.end(), include);
  std::for_each(values.begin(), values.end(), include);
  return range.low <= range.high ? range : Range{};
}

Range padded(const Range& range, double share) {
  const double size = std::max({std::abs(range.low), std::abs(range.high), 1e-30});
  const double by = range.length() > 1e-9 * size ? share * range.length() : 1e-6 * size;
  return {range.low - by, range.high + by};
}

}  // namespace levda::experiments
