#include "experiments/report/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <iterator>
#include <numeric>
#include <span>
#include <utility>

#include "experiments/report/gnuplot.h"
#include "experiments/report/html.h"
#include "experiments/report/sheet.h"

namespace levda::experiments {

namespace {

/// As gnuplot's palette.
std::string palette(std::span<const Rgb> colours) {
  std::string stops;
  for (std::size_t i = 0; i < colours.size(); ++i)
    stops +=
        fmt::format("{}{} '#{:02x}{:02x}{:02x}'", i == 0 ? "" : ", ", i, colours[i][0], colours[i][1], colours[i][2]);
  return fmt::format("defined ({})", stops);
}

/// A gnuplot script under construction, on a canvas in pixels with the origin at the top left.
class Canvas {
 public:
  Canvas(double width, double height) : width_(width), height_(height) {
    add("unset key\nset border lw 0.6\nset tics nomirror out scale 0.5\nset format '%g'\nset multiplot\n");
  }

  template <class... Arguments>
  void add(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    fmt::format_to(std::back_inserter(script_), format, std::forward<Arguments>(arguments)...);
  }

  /// Where the axes of the next plot lie.
  void place(double left, double top, double width, double height) {
    add("set lmargin at screen {:.5f}\nset rmargin at screen {:.5f}\n", left / width_, (left + width) / width_);
    add("set tmargin at screen {:.5f}\nset bmargin at screen {:.5f}\n", 1 - top / height_,
        1 - (top + height) / height_);
  }

  /// Centred text.
  void write(const std::string& text, double x, double y, int size, bool upright = false) {
    add("set label {} at screen {:.5f},{:.5f} center font ',{}' {}\n", gnuplot_literal(text), x / width_,
        1 - y / height_, size, upright ? "rotate by 90" : "");
  }

  /// The picture as an element of an HTML page: no prologue, no ids, gnuplot's title replaced.
  std::string draw(const std::string& alternative) const {
    const std::string svg = run(fmt::format(
        "set terminal svg size {:.0f},{:.0f} noenhanced standalone font 'sans-serif,12'\n", width_, height_));
    const std::size_t begin = std::min(svg.find("</defs>"), svg.size() - 7) + 7;
    std::string body = svg.substr(begin, svg.rfind("</svg>") - begin);
    for (std::size_t at = 0; (at = body.find("<g id=\"gnuplot_plot", at)) != std::string::npos;) {
      const std::size_t end = std::min(body.find("</title>", at), body.size() - 8) + 8;
      body.replace(at, end - at, "<g>");
    }
    constexpr std::string_view defaults = " stroke-linecap=\"butt\" stroke-linejoin=\"miter\"";  // of SVG: much paper
    for (std::size_t at = 0; (at = body.find(defaults, at)) != std::string::npos;) body.erase(at, defaults.size());
    return fmt::format("<svg class=\"plot\" viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\"><g>{}</svg>\n",
                       width_, height_, escaped(alternative), body);
  }

  /// The picture as a PNG file.
  std::string draw_png() const {
    return run(
        fmt::format("set terminal pngcairo size {:.0f},{:.0f} noenhanced background '#ffffff' font 'sans-serif,12' "
                    "fontscale 0.76\n",
                    width_, height_));
  }

 private:
  std::string run(const std::string& terminal) const {
    return run_gnuplot("set encoding utf8\n" + terminal + script_ + "unset multiplot\n");
  }

  double width_;
  double height_;
  std::string script_;
};

/// "first,step,last" of at least so many ticks at round values of a range.
std::string ticks(const Range& range, int at_least) {
  if (!(range.length() > 0) || !std::isfinite(range.length())) return "1";
  double power = std::pow(10, std::ceil(std::log10(range.length())));
  for (;; power /= 10)
    for (const double factor : {5., 2.5, 2., 1.}) {
      const double step = factor * power;
      const double first = std::ceil(range.low / step - 1e-9);
      const double last = std::floor(range.high / step + 1e-9);
      if (last - first + 1 >= at_least) return fmt::format("{:.8g},{:.8g},{:.8g}", first * step, step, last * step);
    }
}

std::string labelled(const std::string& name, const std::string& unit) {
  return unit.empty() || unit == "1" ? name : fmt::format("{} ({})", name, unit);
}

/// Smallest and largest finite value of several lists and of some single values.
Range extent(std::initializer_list<std::span<const double>> lists, std::initializer_list<double> values = {}) {
  Range range{INFINITY, -INFINITY};
  const auto include = [&](double value) {
    if (!std::isfinite(value)) return;
    range = {std::min(range.low, value), std::max(range.high, value)};
  };
  for (const auto& list : lists) std::for_each(list.begin(), list.end(), include);
  std::for_each(values.begin(), values.end(), include);
  return range.low <= range.high ? range : Range{};
}

/// Widened by a share of its length on both sides (narrowed where it is negative); never empty.
Range padded(const Range& range, double share) {
  const double size = std::max({std::abs(range.low), std::abs(range.high), 1e-30});
  const double by = range.length() > 1e-9 * size ? share * range.length() : 1e-6 * size;
  return {range.low - by, range.high + by};
}

double root_mean_square(const std::vector<float>& field) {
  double sum = 0;
  for (const float value : field) sum += static_cast<double>(value) * value;
  return std::sqrt(sum / static_cast<double>(std::max<std::size_t>(1, field.size())));
}

void colour_bar(Canvas& canvas, const Range& range, const std::string& label) {
  constexpr int steps = 128;
  canvas.add("$bar << EOD\n");
  for (int i = 0; i < steps; ++i) {
    const double value = range.low + range.length() * (i + 0.5) / steps;
    canvas.add("0 {0:.6g} {0:.6g}\n1 {0:.6g} {0:.6g}\n", value);
  }
  canvas.add("EOD\nset xrange [-0.5:1.5]\nset yrange [{0:.6g}:{1:.6g}]\nset y2range [{0:.6g}:{1:.6g}]\n", range.low,
             range.high);
  canvas.add("unset xtics\nunset ytics\nset y2tics {} font ',10'\nset y2label {} offset -2,0 font ',11'\n",
             ticks(range, 3), gnuplot_literal(label));
  canvas.add("plot $bar using 1:2:3 with image\nunset y2tics\nunset y2label\n");
}

}  // namespace

bool is_levda(const std::string& method) {
  std::string name = method;
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name == "levda";
}

namespace {

/// Of the i-th of some methods.
template <typename Curve>
LineStyle style_of(const std::vector<Curve>& curves, std::size_t i) {
  static const std::vector<std::string> colours{"#4a7fb5", "#d98c21", "#3f9b6c", "#9a6fb0",
                                                "#2aa3a8", "#9c755f", "#c46a9b"};
  if (is_levda(curves[i].method)) return {posterior_colour};
  std::size_t before = 0;
  for (std::size_t k = 0; k < i; ++k) before += is_levda(curves[k].method) ? 0 : 1;
  return {colours[before % colours.size()], before >= colours.size()};
}

}  // namespace

LineStyle line_style(const ExperimentReport& experiment, std::size_t i) { return style_of(experiment.curves, i); }

std::string plot_symbols() {
  const std::string svg = run_gnuplot("set terminal svg\nplot 0\n");
  const std::size_t begin = svg.find("<defs>");
  const std::size_t end = svg.find("</defs>");
  if (begin >= end || end == std::string::npos) return "";
  return "<svg width=\"0\" height=\"0\" style=\"position:absolute\" aria-hidden=\"true\">" +
         svg.substr(begin, end + 7 - begin) + "</svg>\n";
}

namespace {

enum class Purpose { page, file };

/// In so many colours: what is drawn in few takes little room.
Canvas drawn_maps(const FieldMaps& maps, Purpose purpose, int number_of_colours) {
  struct Row {
    const char* name;
    Fields fields;
    bool sensors;
    bool size_written;  // rms above each map
  };
  const Row rows[] = {{"truth", maps.truth, true, false},
                      {"prior mean", maps.prior_mean, false, false},
                      {"analysis mean", maps.analysis_mean, false, false},
                      {"error", difference(maps.analysis_mean, maps.truth), true, true},
                      {"spread", maps.spread, false, true}};
  const auto columns = static_cast<double>(maps.times.size());
  const Sheet sheet(maps);
  const bool sphere = maps.geometry == models::Geometry::sphere;
  const Range x = sheet.x();
  const Range y = sheet.y();

  constexpr double right = 104, top = 26, gap = 8, line = 17;
  const double left = sphere ? 34 : 74;
  const double bottom = sphere ? 10 : 42;
  const double width = std::min(168., (960 - left - right - (columns - 1) * gap) / columns);
  const double height = width * y.length() / x.length();
  Canvas canvas(left + columns * width + (columns - 1) * gap + right, top + 5 * height + 4 * gap + 2 * line + bottom);
  // A page smooths the few values that it gets.
  constexpr double most = 4100;  // 64 x 64
  const double detail = purpose == Purpose::page ? std::min(1., std::sqrt(most / (width * height))) : 1;
  const auto pixels = [&](double length, std::int64_t nodes) {
    const auto all = static_cast<std::int64_t>(std::ceil(detail * length));
    return purpose == Purpose::page ? std::min(all, nodes) : all;
  };
  const std::int64_t raster_width = pixels(width, maps.nx);
  const std::int64_t raster_height = pixels(height, maps.ny);
  const double dx = x.length() / static_cast<double>(raster_width);
  const double dy = y.length() / static_cast<double>(raster_height);

  canvas.add("$sensors << EOD\n");
  const double mean_share = std::accumulate(maps.shares.begin(), maps.shares.end(), 0.0) /
                            static_cast<double>(std::max<std::size_t>(1, maps.shares.size()));
  for (std::size_t i = 0; i < maps.sensors.size(); ++i) {
    const auto [sx, sy] = sheet.at(maps.sensors[i].first, maps.sensors[i].second);
    constexpr double size = 0.45;
    // Areas as shares, within what can be seen and does not hide its neighbours.
    const double relative = mean_share > 0 ? std::sqrt(maps.shares[i] / mean_share) : 1;
    canvas.add("{:.6g} {:.6g} {:.3g}\n", sx, sy, size * std::clamp(relative, 0.3, 3.0));
  }
  canvas.add("EOD\n");
  if (sphere) {
    canvas.add("unset border\nunset xtics\nunset ytics\n");
    const std::span<const Sheet::Line> lines = sheet.lines();
    const auto block = [&](const char* name, std::span<const Sheet::Line> some) {
      canvas.add("${} << EOD\n", name);
      for (const Sheet::Line& one : some) {
        for (const auto& [px, py] : one) canvas.add("{:.5g} {:.5g}\n", px, py);
        canvas.add("\n");
      }
      canvas.add("EOD\n");
    };
    block("outline", lines.first(1));
    block("graticule", lines.subspan(1));
  }
  const Range field_colours = diverging_range(maps.truth);
  double row_top = top;
  for (std::size_t r = 0; r < std::size(rows); ++r) {
    const Row& row = rows[r];
    const bool first = r == 0;
    const bool last = r + 1 == std::size(rows);
    const Range colours = last ? sequential_range(row.fields) : r < 3 ? field_colours : diverging_range(row.fields);
    if (row.size_written) row_top += line;
    canvas.add("set palette maxcolors {} {}\nset cbrange [{:.6g}:{:.6g}]\nunset colorbox\n", number_of_colours,
               palette(last ? sequential_colours() : diverging_colours()), colours.low, colours.high);
    for (std::size_t t = 0; t < std::min(maps.times.size(), row.fields.size()); ++t) {
      const double panel_left = left + static_cast<double>(t) * (width + gap);
      canvas.place(panel_left, row_top, width, height);
      canvas.add("unset label\n");
      if (first) canvas.write(maps.times[t], panel_left + width / 2, top - 12, 12);
      if (t == 0) canvas.write(row.name, 10, row_top + height / 2, 12, true);
      if (row.size_written)
        canvas.write(fmt::format("rms {:.2g}", root_mean_square(row.fields[t])), panel_left + width / 2, row_top - 8,
                     10);
      canvas.add("set xrange [{:.6g}:{:.6g}]\nset yrange [{:.6g}:{:.6g}]\n", x.low, x.high, y.low, y.high);
      if (!sphere) {
        // Away from the corners, where the labels of neighbours would meet.
        canvas.add("set xtics {} offset 0,0.5 font ',10'\nset ytics {} font ',10'\n", ticks(padded(x, -0.1), 3),
                   ticks(padded(y, -0.1), 3));
        canvas.add("set format x '{}'\nset format y '{}'\n", last ? "%g" : "", t == 0 ? "%g" : "");
        const bool named = last && t == 0;
        canvas.add("set xlabel {} offset 0,1 font ',11'\nset ylabel {} offset 1.5,0 font ',11'\n",
                   gnuplot_literal(named ? labelled("x", maps.length_unit) : ""),
                   gnuplot_literal(named ? labelled("y", maps.length_unit) : ""));
      }
      // In a page every symbol costs a hundred bytes.
      const bool sensors = !maps.sensors.empty() && row.sensors && (t == 0 || purpose == Purpose::file);
      canvas.add("$field << EOD\n");
      const std::vector<float> raster = sheet.raster(row.fields[t], raster_width, raster_height);
      for (std::size_t i = 0; i < raster.size(); ++i)
        canvas.add("{:.4g}{}", raster[i], (static_cast<std::int64_t>(i) + 1) % raster_width == 0 ? '\n' : ' ');
      canvas.add(
          "EOD\nplot $field matrix using ({:.8g}+$1*{:.8g}):({:.8g}+$2*{:.8g}):3 with image{}{}\n", x.low + dx / 2, dx,
          y.low + dy / 2, dy,
          sphere ? ", $graticule with lines lw 0.4 lc rgb '#909090', $outline with lines lw 0.8 lc rgb '#606060'" : "",
          sensors ? ", $sensors with points pt 6 ps variable lw 0.6 lc rgb '#222222'" : "");
    }
    if (r >= 2) {
      const double bar_height = r == 2 ? 3 * height + 2 * gap : height;
      canvas.place(left + columns * (width + gap) + 4, row_top + height - bar_height, 11, bar_height);
      canvas.add("unset label\nunset xlabel\nunset ylabel\nset border 31 lw 0.6\n");
      colour_bar(canvas, colours, labelled(r == 2 ? maps.channel : row.name, maps.unit));
      if (sphere) canvas.add("unset border\n");
    }
    row_top += height + gap;
  }
  return canvas;
}

}  // namespace

std::string map_figure(const FieldMaps& maps, const std::string& alternative) {
  return drawn_maps(maps, Purpose::page, 41).draw(alternative);
}

std::string map_picture(const FieldMaps& maps) {
  constexpr std::size_t most = 240'000;  // bytes
  std::string png;
  for (const int number_of_colours : {21, 15, 11, 7}) {
    png = drawn_maps(maps, Purpose::file, number_of_colours).draw_png();
    if (png.size() <= most) break;
  }
  return png;
}

namespace {

/// Ticks at 1, 2, 5 of each power of ten, or at the powers where there are many.
void logarithmic_axis(Canvas& canvas, char axis, const Range& range) {
  canvas.add("set logscale {0}\nset {0}range [{1:.6g}:{2:.6g}]\nset {0}tics (", axis, range.low, range.high);
  const bool dense = range.high < 1000 * range.low;
  const char* separator = "";
  for (int power = static_cast<int>(std::floor(std::log10(range.low))); std::pow(10, power) < range.high; ++power)
    for (const double factor : {1., 2., 5.}) {
      const double tick = factor * std::pow(10, power);
      if ((factor > 1 && !dense) || tick < range.low || tick > range.high) continue;
      canvas.add("{}{:.6g}", std::exchange(separator, ", "), tick);
    }
  canvas.add(")\n");
}

}  // namespace

std::string curve_figure(const ExperimentReport& experiment, Quantity quantity, const std::string& alternative) {
  Range range = extent({}, {experiment.floor > 0 ? experiment.floor : NAN});
  bool first = !(experiment.floor > 0);
  for (const MethodCurve& curve : experiment.curves)
    for (const auto* values : {&curve.error, &curve.spread})
      for (const double value : *values) {
        if (!(value > 0) || !std::isfinite(value)) continue;
        range = first ? Range{value, value} : Range{std::min(range.low, value), std::max(range.high, value)};
        first = false;
      }
  const bool logarithmic = range.low > 0 && range.high > 8 * range.low;
  Canvas canvas(470, 320);
  canvas.place(58, 30, 400, 240);
  canvas.write(quantity == Quantity::error ? "relative error of the mean" : "relative predictive spread", 258, 14, 12);
  canvas.add("set xtics offset 0,0.4\nset xlabel {} offset 0,0.6\n",
             gnuplot_literal(labelled("time", experiment.time_unit)));
  canvas.add("set grid y lw 0.4 lc rgb '#909090' dt (2,4)\n");
  Range times = padded(extent({experiment.times}), 0.02);
  if (experiment.times.size() == 1) times = {times.low - 1, times.high + 1};
  canvas.add("set xrange [{:.6g}:{:.6g}]\n", times.low, times.high);
  if (logarithmic) {
    logarithmic_axis(canvas, 'y', {range.low / 1.2, range.high * 1.2});
  } else {
    canvas.add("set yrange [0:{:.6g}]\n", 1.1 * range.high);
  }

  if (experiment.forecast_from)
    canvas.add("set arrow from {0:.6g},graph 0 to {0:.6g},graph 1 nohead lw 1 lc rgb '#909090'\n",
               *experiment.forecast_from);

  const char* separator = "plot ";
  std::string plots;
  if (experiment.floor > 0 && quantity == Quantity::error)
    plots = fmt::format("{}{:.6g} with lines lw 1.6 dt (7,5) lc rgb '{}'", std::exchange(separator, ", "),
                        experiment.floor, floor_colour);
  // LEVDA is drawn last, above the others.
  for (const bool levda : {false, true})
    for (std::size_t i = 0; i < experiment.curves.size(); ++i) {
      const MethodCurve& curve = experiment.curves[i];
      const auto& values = quantity == Quantity::error ? curve.error : curve.spread;
      if (values.empty() || is_levda(curve.method) != levda) continue;
      canvas.add("$c{} << EOD\n", i);
      for (std::size_t t = 0; t < std::min(values.size(), experiment.times.size()); ++t)
        canvas.add("{:.6g} {:.6g}\n", experiment.times[t], values[t]);
      canvas.add("EOD\n");
      const LineStyle style = line_style(experiment, i);
      plots += fmt::format("{}$c{} with {} lc rgb '{}'", std::exchange(separator, ", "), i,
                           levda          ? "linespoints lw 3 pt 7 ps 0.5"
                           : style.dotted ? "lines lw 1.6 dt (2,3)"
                                          : "lines lw 1.6",
                           style.colour);
    }
  if (plots.empty()) plots = "plot NaN";
  canvas.add("{}\n", plots);
  return canvas.draw(alternative);
}

namespace {

Canvas drawn_scaling(const ScalingFigure& scaling) {
  std::vector<double> all_x;
  std::vector<double> all_y;
  const auto drawn = [](const ScalingCurve& curve, std::size_t i) {
    return curve.x[i] > 0 && curve.y[i] > 0 && std::isfinite(curve.y[i]);
  };
  for (const ScalingCurve& curve : scaling.curves)
    for (std::size_t i = 0; i < curve.x.size(); ++i)
      if (drawn(curve, i)) {
        all_x.push_back(curve.x[i]);
        all_y.push_back(curve.y[i]);
      }
  constexpr double line = 20;
  const double legend = line * static_cast<double>(scaling.curves.size());
  Canvas canvas(470, 320 + legend);
  canvas.place(58, 30 + legend, 400, 240);
  canvas.write(scaling.title, 258, 14, 12);
  const Range x = all_x.empty() ? Range{1, 2} : extent({all_x});
  const Range y = all_y.empty() ? Range{1, 2} : extent({all_y});
  logarithmic_axis(canvas, 'x', {x.low / 1.15, x.high * 1.15});
  if (!scaling.curves.empty() && scaling.curves[0].x.size() <= 8) {
    canvas.add("set xtics (");
    for (std::size_t k = 0; k < scaling.curves[0].x.size(); ++k)
      canvas.add("{}{:.6g}", k > 0 ? ", " : "", scaling.curves[0].x[k]);
    canvas.add(")\n");
  }
  logarithmic_axis(canvas, 'y', {y.low / 1.5, y.high * 1.5});
  canvas.add("set xtics offset 0,0.4\nset xlabel {} offset 0,0.6\n", gnuplot_literal(scaling.x_label));
  canvas.add("set grid y lw 0.4 lc rgb '#909090' dt (2,4)\n");
  canvas.add("set key at screen 0.12,screen {:.5f} left top Left reverse samplen 2.5 spacing 1.1\n",
             1 - 24 / (320 + legend));
  const char* separator = "plot ";
  std::string plots;
  for (std::size_t i = 0; i < scaling.curves.size(); ++i) {
    const ScalingCurve& curve = scaling.curves[i];
    canvas.add("$c{} << EOD\n", i);
    for (std::size_t k = 0; k < curve.x.size(); ++k)
      if (drawn(curve, k)) {
        const double error = std::isfinite(curve.error[k]) ? curve.error[k] : 0;
        canvas.add("{:.6g} {:.6g} {:.6g} {:.6g}\n", curve.x[k], curve.y[k], std::max(curve.y[k] - error, y.low / 1.5),
                   curve.y[k] + error);
      }
    canvas.add("EOD\n");
    const LineStyle style = style_of(scaling.curves, i);
    const std::string title =
        std::isfinite(curve.exponent) ? fmt::format("{} ({:.2f})", curve.method, curve.exponent) : curve.method;
    plots += fmt::format(
        "{0}$c{1} with linespoints lw {2} pt 7 ps 0.5{3} lc rgb '{4}' title {5}, "
        "$c{1} with yerrorbars lw 1 pt 7 ps 0.5 lc rgb '{4}' notitle",
        std::exchange(separator, ", "), i, is_levda(curve.method) ? "3" : "1.6", style.dotted ? " dt (2,3)" : "",
        style.colour, gnuplot_literal(title));
  }
  canvas.add("{}\n", plots.empty() ? "plot NaN notitle" : plots);
  return canvas;
}

}  // namespace

std::string scaling_figure(const ScalingFigure& scaling, const std::string& alternative) {
  return drawn_scaling(scaling).draw(alternative);
}

std::string scaling_picture(const ScalingFigure& scaling) { return drawn_scaling(scaling).draw_png(); }

std::string parameter_figure(const std::vector<ParameterPosterior>& parameters, Extent shown,
                             const std::string& alternative) {
  const bool whole = shown == Extent::prior;
  const auto close_up = [](const ParameterPosterior& p) { return padded(extent({p.posterior}, {p.truth}), 0.3); };
  const auto range = [&](const ParameterPosterior& p) {
    return whole ? padded(extent({p.prior, p.posterior}, {p.minimum, p.maximum, p.truth}), 0.05) : close_up(p);
  };
  const std::string prior = fmt::format("with points pt 6 ps 0.7 lw 1.2 lc rgb '{}'", prior_colour);
  const std::string posterior = fmt::format("with points pt 7 ps 0.55 lc rgb '{}'", posterior_colour);
  const char* title = whole ? "prior range" : "close-up of the posterior";
  const auto members = [](Canvas& canvas, const char* name, std::span<const double> x, const auto& y) {
    canvas.add("${} << EOD\n", name);
    for (std::size_t i = 0; i < x.size(); ++i) canvas.add("{:.8g} {:.8g}\n", x[i], y(i));
    canvas.add("EOD\n");
  };
  const auto axis = [](Canvas& canvas, char name, const Range& r) {
    canvas.add("set {0}range [{1:.8g}:{2:.8g}]\nset {0}tics {3}\n", name, r.low, r.high, ticks(r, 3));
  };

  if (parameters.size() == 2) {
    const ParameterPosterior& x = parameters[0];
    const ParameterPosterior& y = parameters[1];
    Canvas canvas(470, 440);
    canvas.place(80, 30, 360, 360);
    canvas.write(title, 260, 14, 12);
    axis(canvas, 'x', range(x));
    axis(canvas, 'y', range(y));
    canvas.add("set xtics offset 0,0.4\nset xlabel {} offset 0,0.6\nset ylabel {}\n",
               gnuplot_literal(labelled(x.name, x.unit)), gnuplot_literal(labelled(y.name, y.unit)));
    const auto frame = [&](const char* name, const Range& rx, const Range& ry) {
      canvas.add(
          "${0} << EOD\n{1:.8g} {3:.8g}\n{2:.8g} {3:.8g}\n{2:.8g} {4:.8g}\n{1:.8g} {4:.8g}\n{1:.8g} "
          "{3:.8g}\nEOD\n",
          name, rx.low, rx.high, ry.low, ry.high);
    };
    frame("box", {x.minimum, x.maximum}, {y.minimum, y.maximum});
    frame("close", close_up(x), close_up(y));
    const auto value_of = [](const std::vector<double>& values) {
      return [&values](std::size_t i) { return i < values.size() ? values[i] : NAN; };
    };
    members(canvas, "prior", x.prior, value_of(y.prior));
    members(canvas, "posterior", x.posterior, value_of(y.posterior));
    canvas.add("$truth << EOD\n{:.8g} {:.8g}\nEOD\n", x.truth, y.truth);
    canvas.add("plot $box with lines dt (4,4) lc rgb '{}', $prior {}, $posterior {}, ", prior_colour, prior, posterior);
    if (whole) canvas.add("$close with lines lc rgb '{}', ", posterior_colour);
    canvas.add("$truth with points pt 1 ps 1.6 lw 1.6 lc black\n");
    return canvas.draw(alternative);
  }

  constexpr double strip = 54, pitch = 116;
  Canvas canvas(470, 30 + pitch * static_cast<double>(parameters.size()));
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const ParameterPosterior& p = parameters[i];
    canvas.place(80, 30 + pitch * static_cast<double>(i), 360, strip);
    if (i == 0) canvas.write(title, 260, 14, 12);
    axis(canvas, 'x', range(p));
    canvas.add("set yrange [-0.6:1.6]\nset ytics ('posterior' 0, 'prior' 1)\n");
    canvas.add("set xtics offset 0,0.4\nset xlabel {} offset 0,0.6\n", gnuplot_literal(labelled(p.name, p.unit)));
    canvas.add("set arrow 1 from {0:.8g},graph 0 to {0:.8g},graph 1 nohead lw 2 lc black\n", p.truth);
    const auto lane = [](double y) { return [y](std::size_t) { return y; }; };
    members(canvas, "prior", p.prior, lane(1));
    members(canvas, "posterior", p.posterior, lane(0));
    canvas.add("plot $prior {}, $posterior {}\nunset label\n", prior, posterior);
  }
  return canvas.draw(alternative);
}

std::vector<std::pair<std::string, LineStyle>> convergence_legend() {
  return {{"J_o, misfit with observations", {"#4a7fb5"}},
          {"J_b, distance from the prior", {"#d98c21"}},
          {"norm of the exact gradient", {"#3f9b6c"}},
          {"exact less ensemble gradient", {"#9a6fb0"}}};
}

std::string convergence_figure(const Convergence& c, const std::string& alternative) {
  const std::vector<double>* const curves[] = {&c.cost_observations, &c.cost_background, &c.gradient,
                                               &c.gradient_difference};
  std::vector<double> drawn;
  for (const std::vector<double>* curve : curves)
    std::copy_if(curve->begin(), curve->end(), std::back_inserter(drawn),
                 [](double value) { return value > 0 && std::isfinite(value); });
  const Range range = drawn.empty() ? Range{0.1, 1} : extent({drawn});
  const auto count = static_cast<double>(c.factor.size());
  Canvas canvas(470, 300);
  canvas.place(68, 14, 390, 226);
  canvas.add("set xrange [-0.5:{}]\nset logscale y\nset yrange [{:.6g}:{:.6g}]\nset format y '%.0e'\n", count - 0.5,
             range.low / 2, range.high * 2);
  canvas.add("set xtics {} offset 0,0.4\nset xlabel 'iteration' offset 0,0.6\n",
             ticks({0, std::max(1., count - 1)}, std::min(5, std::max(2, static_cast<int>(c.factor.size())))));
  for (std::size_t i = 1; i < c.factor.size(); ++i)
    if (c.factor[i] != c.factor[i - 1])
      canvas.add("set arrow from {0},graph 0 to {0},graph 1 nohead lw 1 lc rgb '#909090'\n",
                 static_cast<double>(i) - 0.5);
  const char* separator = "plot ";
  std::string plots;
  const auto legend = convergence_legend();
  for (std::size_t k = 0; k < std::size(curves); ++k) {
    canvas.add("$c{} << EOD\n", k);
    for (std::size_t i = 0; i < curves[k]->size(); ++i)
      if (const double value = (*curves[k])[i]; value > 0 && std::isfinite(value))
        canvas.add("{} {:.6g}\n", i, value);
      else
        canvas.add("{} NaN\n", i);
    canvas.add("EOD\n");
    plots += fmt::format("{}$c{} with linespoints lw 1.6 pt 7 ps 0.3 lc rgb '{}'", std::exchange(separator, ", "), k,
                         legend[k].second.colour);
  }
  canvas.add("{}\n", plots);
  return canvas.draw(alternative);
}

std::string rank_figure(const std::vector<double>& ranks, const std::string& alternative) {
  const auto bins = static_cast<double>(ranks.size());
  Canvas canvas(470, 280);
  canvas.place(58, 14, 400, 216);
  canvas.add("$ranks << EOD\n");
  for (std::size_t i = 0; i < ranks.size(); ++i) canvas.add("{} {:.6g}\n", i, ranks[i]);
  canvas.add("EOD\nset xrange [-0.7:{}]\nset yrange [0:{:.6g}]\n", bins - 0.3, 1.12 * extent({ranks}, {1 / bins}).high);
  canvas.add("set xtics {} offset 0,0.4\n", ticks({0, std::max(1., bins - 1)}, std::min(5, static_cast<int>(bins))));
  canvas.add(
      "set xlabel 'rank of the truth among the members' offset 0,0.6\nset ylabel 'share'\nset boxwidth "
      "0.86\n");
  canvas.add(
      "plot $ranks with boxes fs solid 1 noborder lc rgb '#6f93b8', {:.6g} with lines lw 1.6 dt (7,5) lc rgb "
      "'black'\n",
      1 / bins);
  return canvas.draw(alternative);
}

}  // namespace levda::experiments
