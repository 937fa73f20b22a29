#include "experiments/report/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <iterator>

#include "experiments/report/gnuplot.h"
#include "experiments/report/plot.h"

namespace levda::experiments {

bool is_levda(const std::string& method) {
  std::string name = method;
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name == "levda";
}

namespace {

/// The style of the i-th curve.
template <typename Curve>
LineStyle style_of(const std::vector<Curve>& curves, std::size_t i) {
  static const std::vector<std::string> colours{"#4a7fb5", "#d98c21", "#3f9b6c", "#9a6fb0",
                                                "#2aa3a8", "#9c755f", "#c46a9b"};
  if (is_levda(curves[i].method)) return {posterior_colour};
  std::size_t before = 0;
  for (std::size_t k = 0; k < i; ++k) before += is_levda(curves[k].method) ? 0 : 1;
  return {colours[before % colours.size()], before >= colours.size()};
}

bool positive(double value) { return value > 0 && std::isfinite(value); }

constexpr const char* grid = "set grid y lw 0.4 lc rgb '#909090' dt (2,4)\n";

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

std::string curve_figure(const ExperimentReport& experiment, Quantity quantity, const std::string& alternative) {
  std::vector<double> drawn;
  if (experiment.floor > 0) drawn.push_back(experiment.floor);
  for (const MethodCurve& curve : experiment.curves)
    for (const auto* values : {&curve.error, &curve.spread})
      std::copy_if(values->begin(), values->end(), std::back_inserter(drawn), positive);
  const Range range = extent({drawn});
  Plot plot(470, 320);
  plot.place(58, 30, 400, 240);
  plot.write(quantity == Quantity::error ? "relative error of the mean" : "relative predictive spread", 258, 14, 12);
  plot.x_label(labelled("time", experiment.time_unit));
  plot.add(grid);
  Range times = padded(extent({experiment.times}), 0.02);
  if (experiment.times.size() == 1) times = {times.low - 1, times.high + 1};
  plot.add("set xrange [{:.6g}:{:.6g}]\n", times.low, times.high);
  if (range.low > 0 && range.high > 8 * range.low)
    plot.logarithmic_axis('y', {range.low / 1.2, range.high * 1.2});
  else
    plot.add("set yrange [0:{:.6g}]\n", 1.1 * range.high);
  if (experiment.forecast_from) plot.vertical_line(*experiment.forecast_from);

  std::vector<std::string> curves;
  if (experiment.floor > 0 && quantity == Quantity::error)
    curves.push_back(fmt::format("{:.6g} with lines lw 1.6 dt (7,5) lc rgb '{}'", experiment.floor, floor_colour));
  // LEVDA is drawn last, above the others.
  for (const bool levda : {false, true})
    for (std::size_t i = 0; i < experiment.curves.size(); ++i) {
      const MethodCurve& curve = experiment.curves[i];
      const auto& values = quantity == Quantity::error ? curve.error : curve.spread;
      if (values.empty() || is_levda(curve.method) != levda) continue;
      plot.points(fmt::format("c{}", i), experiment.times, values);
      const LineStyle style = line_style(experiment, i);
      const char* with = levda          ? "linespoints lw 3 pt 7 ps 0.5"
                         : style.dotted ? "lines lw 1.6 dt (2,3)"
                                        : "lines lw 1.6";
      curves.push_back(fmt::format("$c{} with {} lc rgb '{}'", i, with, style.colour));
    }
  plot.curves(curves);
  return plot.draw(alternative);
}

namespace {

Plot drawn_scaling(const ScalingFigure& scaling) {
  std::vector<double> all_x;
  std::vector<double> all_y;
  const auto drawn = [](const ScalingCurve& curve, std::size_t i) { return curve.x[i] > 0 && positive(curve.y[i]); };
  for (const ScalingCurve& curve : scaling.curves)
    for (std::size_t i = 0; i < curve.x.size(); ++i)
      if (drawn(curve, i)) {
        all_x.push_back(curve.x[i]);
        all_y.push_back(curve.y[i]);
      }
  constexpr double line = 20;
  const double legend = line * static_cast<double>(scaling.curves.size());
  Plot plot(470, 320 + legend);
  plot.place(58, 30 + legend, 400, 240);
  plot.write(scaling.title, 258, 14, 12);
  const Range x = all_x.empty() ? Range{1, 2} : extent({all_x});
  const Range y = all_y.empty() ? Range{1, 2} : extent({all_y});
  plot.logarithmic_axis('x', {x.low / 1.15, x.high * 1.15});
  if (!scaling.curves.empty() && scaling.curves[0].x.size() <= 8)
    plot.add("set xtics ({:.6g})\n", fmt::join(scaling.curves[0].x, ", "));
  plot.logarithmic_axis('y', {y.low / 1.5, y.high * 1.5});
  plot.x_label(scaling.x_label);
  plot.add(grid);
  plot.add("set key at screen 0.12,screen {:.5f} left top Left reverse samplen 2.5 spacing 1.1\n",
           1 - 24 / (320 + legend));
  std::vector<std::string> curves;
  for (std::size_t i = 0; i < scaling.curves.size(); ++i) {
    const ScalingCurve& curve = scaling.curves[i];
    plot.data(fmt::format("c{}", i), curve.x.size(), [&](std::size_t k) {
      if (!drawn(curve, k)) return;
      const double error = std::isfinite(curve.error[k]) ? curve.error[k] : 0;
      plot.add("{:.6g} {:.6g} {:.6g} {:.6g}\n", curve.x[k], curve.y[k], std::max(curve.y[k] - error, y.low / 1.5),
               curve.y[k] + error);
    });
    const LineStyle style = style_of(scaling.curves, i);
    const std::string title =
        std::isfinite(curve.exponent) ? fmt::format("{} ({:.2f})", curve.method, curve.exponent) : curve.method;
    curves.push_back(
        fmt::format("$c{0} with linespoints lw {1} pt 7 ps 0.5{2} lc rgb '{3}' title {4}, "
                    "$c{0} with yerrorbars lw 1 pt 7 ps 0.5 lc rgb '{3}' notitle",
                    i, is_levda(curve.method) ? "3" : "1.6", style.dotted ? " dt (2,3)" : "", style.colour,
                    gnuplot_literal(title)));
  }
  plot.curves(curves);
  return plot;
}

}  // namespace

std::string scaling_figure(const ScalingFigure& scaling, const std::string& alternative) {
  return drawn_scaling(scaling).draw(alternative);
}

std::string scaling_picture(const ScalingFigure& scaling) { return drawn_scaling(scaling).draw_png(); }

namespace {

Range close_up(const ParameterPosterior& p) { return padded(extent({p.posterior}, {p.truth}), 0.3); }

Range range_of(const ParameterPosterior& p, Extent shown) {
  return shown == Extent::posterior ? close_up(p)
                                    : padded(extent({p.prior, p.posterior}, {p.minimum, p.maximum, p.truth}), 0.05);
}

const char* title_of(Extent shown) { return shown == Extent::prior ? "prior range" : "close-up of the posterior"; }

const std::string prior_points = fmt::format("$prior with points pt 6 ps 0.7 lw 1.2 lc rgb '{}'", prior_colour);
const std::string posterior_points = fmt::format("$posterior with points pt 7 ps 0.55 lc rgb '{}'", posterior_colour);

std::string parameter_plane(const ParameterPosterior& x, const ParameterPosterior& y, Extent shown,
                            const std::string& alternative) {
  Plot plot(470, 440);
  plot.place(80, 30, 360, 360);
  plot.write(title_of(shown), 260, 14, 12);
  plot.axis('x', range_of(x, shown));
  plot.axis('y', range_of(y, shown));
  plot.x_label(labelled(x.name, x.unit));
  plot.add("set ylabel {}\n", gnuplot_literal(labelled(y.name, y.unit)));
  const auto frame = [&](const char* name, const Range& rx, const Range& ry) {
    plot.points(name, std::array{rx.low, rx.high, rx.high, rx.low, rx.low},
                std::array{ry.low, ry.low, ry.high, ry.high, ry.low});
  };
  frame("box", {x.minimum, x.maximum}, {y.minimum, y.maximum});
  frame("close", close_up(x), close_up(y));
  plot.points("prior", x.prior, y.prior);
  plot.points("posterior", x.posterior, y.posterior);
  plot.points("truth", std::array{x.truth}, std::array{y.truth});
  std::vector<std::string> curves{fmt::format("$box with lines dt (4,4) lc rgb '{}'", prior_colour), prior_points,
                                  posterior_points};
  if (shown == Extent::prior) curves.push_back(fmt::format("$close with lines lc rgb '{}'", posterior_colour));
  curves.emplace_back("$truth with points pt 1 ps 1.6 lw 1.6 lc black");
  plot.curves(curves);
  return plot.draw(alternative);
}

}  // namespace

std::string parameter_figure(const std::vector<ParameterPosterior>& parameters, Extent shown,
                             const std::string& alternative) {
  if (parameters.size() == 2) return parameter_plane(parameters[0], parameters[1], shown, alternative);
  constexpr double strip = 54, pitch = 116;
  Plot plot(470, 30 + pitch * static_cast<double>(parameters.size()));
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const ParameterPosterior& p = parameters[i];
    plot.place(80, 30 + pitch * static_cast<double>(i), 360, strip);
    if (i == 0) plot.write(title_of(shown), 260, 14, 12);
    plot.axis('x', range_of(p, shown));
    plot.add("set yrange [-0.6:1.6]\nset ytics ('posterior' 0, 'prior' 1)\n");
    plot.x_label(labelled(p.name, p.unit));
    plot.add("set arrow 1 from {0:.12g},graph 0 to {0:.12g},graph 1 nohead lw 2 lc black\n", p.truth);
    plot.points("prior", p.prior, std::vector<double>(p.prior.size(), 1));
    plot.points("posterior", p.posterior, std::vector<double>(p.posterior.size(), 0));
    plot.curves({prior_points, posterior_points});
    plot.add("unset label\n");
  }
  return plot.draw(alternative);
}

std::vector<std::pair<std::string, LineStyle>> convergence_legend() {
  return {{"J_o, misfit with observations", {"#4a7fb5"}},
          {"J_b, distance from the prior", {"#d98c21"}},
          {"norm of the exact gradient", {"#3f9b6c"}},
          {"exact less ensemble gradient", {"#9a6fb0"}}};
}

std::string convergence_figure(const Convergence& c, const std::string& alternative) {
  const std::vector<double>* const series[] = {&c.cost_observations, &c.cost_background, &c.gradient,
                                               &c.gradient_difference};
  std::vector<double> drawn;
  for (const std::vector<double>* values : series)
    std::copy_if(values->begin(), values->end(), std::back_inserter(drawn), positive);
  const Range range = drawn.empty() ? Range{0.1, 1} : extent({drawn});
  const auto count = static_cast<double>(c.factor.size());
  Plot plot(470, 300);
  plot.place(68, 14, 390, 226);
  plot.add("set xrange [-0.5:{}]\nset logscale y\nset yrange [{:.6g}:{:.6g}]\nset format y '%.0e'\n", count - 0.5,
           range.low / 2, range.high * 2);
  plot.add("set xtics {}\n",
           ticks({0, std::max(1., count - 1)}, std::min(5, std::max(2, static_cast<int>(c.factor.size())))));
  plot.x_label("iteration");
  for (std::size_t i = 1; i < c.factor.size(); ++i)
    if (c.factor[i] != c.factor[i - 1]) plot.vertical_line(static_cast<double>(i) - 0.5);
  std::vector<std::string> curves;
  for (std::size_t k = 0; k < std::size(series); ++k) {
    const std::vector<double>& values = *series[k];
    plot.data(fmt::format("c{}", k), values.size(),
              [&](std::size_t i) { plot.add("{} {:.6g}\n", i, positive(values[i]) ? values[i] : NAN); });
    curves.push_back(
        fmt::format("$c{} with linespoints lw 1.6 pt 7 ps 0.3 lc rgb '{}'", k, convergence_legend()[k].second.colour));
  }
  plot.curves(curves);
  return plot.draw(alternative);
}

std::string rank_figure(const std::vector<double>& ranks, const std::string& alternative) {
  const auto bins = static_cast<double>(ranks.size());
  Plot plot(470, 280);
  plot.place(58, 14, 400, 216);
  plot.data("ranks", ranks.size(), [&](std::size_t i) { plot.add("{} {:.6g}\n", i, ranks[i]); });
  plot.add("set xrange [-0.7:{}]\nset yrange [0:{:.6g}]\n", bins - 0.3, 1.12 * extent({ranks}, {1 / bins}).high);
  plot.add("set xtics {}\n", ticks({0, std::max(1., bins - 1)}, std::min(5, static_cast<int>(bins))));
  plot.x_label("rank of the truth among the members");
  plot.add("set ylabel 'share'\nset boxwidth 0.86\n");
  plot.curves({"$ranks with boxes fs solid 1 noborder lc rgb '#6f93b8'",
               fmt::format("{:.6g} with lines lw 1.6 dt (7,5) lc rgb 'black'", 1 / bins)});
  return plot.draw(alternative);
}

}  // namespace levda::experiments
