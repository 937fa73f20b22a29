#include "experiments/report/report.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <functional>

#include "experiments/report/figures.h"
#include "experiments/report/html.h"
#include "experiments/report/movie.h"
#include "nn/atomic_file.h"

namespace levda::experiments {

namespace {

std::string figure(const std::string& container, const std::string& content, const std::string& caption) {
  return fmt::format("<figure><div class=\"{}\">{}</div>\n<figcaption>{}</figcaption></figure>\n", container, content,
                     caption);
}

std::string facts_table(const Report& report) {
  std::string html = "<table class=\"facts\"><tbody>\n";
  for (const auto& [label, value] : report.facts)
    html += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escaped(label), escaped(value));
  return html + "</tbody></table>\n";
}

std::string score_table(const ExperimentReport& experiment) {
  std::string html = "<div class=\"wide\"><table class=\"scores\"><thead><tr><th scope=\"col\">method</th>";
  for (const std::string& column : experiment.score_columns)
    html += fmt::format("<th scope=\"col\">{}</th>", escaped(column));
  html += "</tr></thead><tbody>\n";
  for (const auto& [method, cells] : experiment.score_rows) {
    html += fmt::format("<tr{}><th scope=\"row\">{}</th>", is_levda(method) ? " class=\"levda\"" : "", escaped(method));
    for (const std::string& cell : cells) html += fmt::format("<td>{}</td>", escaped(cell));
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string movie_section(const ExperimentReport& experiment) {
  const std::vector<FieldMaps>& frames = experiment.frames;
  const bool sensors = std::any_of(frames.begin(), frames.end(), [](const FieldMaps& f) { return !f.sensors.empty(); });
  return "<h3>In motion</h3>\n<noscript><p>The maps below show the same at some of the times; the movie needs "
         "JavaScript.</p></noscript>\n" +
         movie_figure(frames, fmt::format("For {}. Colours mean the same at all times. {}Arrow keys move the slider.",
                                          escaped(experiment.truth_label), sensors ? "Circles are sensors. " : ""));
}

std::string map_section(const ExperimentReport& experiment) {
  std::string html = "<h3>Maps</h3>\n";
  for (const FieldMaps& maps : experiment.maps) {
    const std::string alternative = fmt::format(
        "Maps of {} for {}: truth, prior mean, analysis mean, error and spread at {} times; rms of error and "
        "spread are written above their maps.",
        maps.channel, experiment.truth_label, maps.times.size());
    html += figure("wide map", map_figure(maps, alternative),
                   fmt::format("<b>{}</b>, {}. The first three rows share one colour scale, set by the truth; "
                               "error is analysis mean minus truth. Colours saturate beyond the 99.5th percentile. {}{}"
                               "Spread is the standard deviation of the analysis members alone; the surrogate's own "
                               "error comes on top, so where that dominates the error (rms above each map) is larger.",
                               escaped(maps.channel), escaped(experiment.truth_label),
                               maps.geometry == models::Geometry::sphere
                                   ? "Robinson's projection, longitude 0 at the left end, 360 at the right one; lines "
                                     "every 60 and 30 degrees. "
                                   : "",
                               maps.sensors.empty()  ? ""
                               : maps.shares.empty() ? "Circles are sensors. "
                                                     : "Circles are sensors, their area the share of the degrees of "
                                                       "freedom for signal that their values bring. "));
  }
  return html;
}

std::string curve_section(const ExperimentReport& experiment) {
  std::string legend = "<ul class=\"legend\">";
  const auto entry = [&](const char* stroke, int width, const std::string& colour, const std::string& text) {
    legend +=
        fmt::format("<li><i class=\"line\" style=\"border-top:{}px {} {}\"></i>{}</li>", width, stroke, colour, text);
  };
  bool any_spread = false;
  for (std::size_t i = 0; i < experiment.curves.size(); ++i) {
    const MethodCurve& curve = experiment.curves[i];
    const LineStyle line = line_style(experiment, i);
    const bool levda = is_levda(curve.method);
    const std::string name = escaped(curve.method);
    entry(line.dotted ? "dotted" : "solid", levda ? 4 : 2, line.colour, levda ? "<b>" + name + "</b>" : name);
    any_spread = any_spread || !curve.spread.empty();
  }
  if (experiment.floor > 0) entry("dashed", 2, floor_colour, fmt::format("floor {:.3g}", experiment.floor));
  legend += "</ul>\n";
  std::string figures = curve_figure(experiment, Quantity::error, "Relative error of each method's mean against time.");
  if (any_spread)
    figures += curve_figure(experiment, Quantity::spread, "Relative spread of each ensemble method against time.");
  return "<h3>Error and spread against time</h3>\n" + legend +
         figure("pair", figures,
                fmt::format("Means over all truths; a lower error is better. {}{}{}",
                            experiment.floor > 0 ? "The floor is the surrogate run from the true start, what a perfect "
                                                   "analysis with this surrogate would reach. "
                                                 : "",
                            experiment.forecast_from ? "What comes after the grey line is a forecast. " : "",
                            any_spread ? "Spread includes the surrogate's error variance; both panels have "
                                         "the same axis, and a calibrated method's spread is as large as its error."
                                       : ""));
}

std::string parameter_section(const ExperimentReport& experiment) {
  const std::string legend = fmt::format(
      "<ul class=\"legend\"><li><i class=\"dot\" style=\"color:{}\"></i>prior members</li>"
      "<li><i class=\"dot\" style=\"color:{};background:{}\"></i>posterior members</li>"
      "<li>{} truth</li></ul>\n",
      prior_colour, posterior_colour, posterior_colour, experiment.parameters.size() == 2 ? "<b>+</b>" : "<b>|</b>");
  const std::string both = parameter_figure(experiment.parameters, Extent::prior,
                                            "Prior and posterior members with the truth, prior range.") +
                           parameter_figure(experiment.parameters, Extent::posterior,
                                            "The same, close up around the posterior and the truth.");
  return "<h3>Parameters</h3>\n" + legend +
         figure(
             "pair", both,
             fmt::format("For {}. Left: the prior range{}. Right: close-up of the posterior and the truth; the truth "
                         "should lie among the posterior members, not beside them.",
                         escaped(experiment.truth_label),
                         experiment.parameters.size() == 2 ? " (dashed); the red frame is the close-up" : ""));
}

std::string convergence_section(const ExperimentReport& experiment) {
  std::string legend = "<ul class=\"legend\">";
  for (const auto& [name, line] : convergence_legend())
    legend +=
        fmt::format("<li><i class=\"line\" style=\"border-top:2px solid {}\"></i>{}</li>", line.colour, escaped(name));
  return "<h3>Convergence</h3>\n" + legend + "</ul>\n" +
         figure(
             "pair",
             convergence_figure(experiment.convergence, "Cost and gradient of the minimisation against iterations."),
             fmt::format("LEVDA's first window for {}, the start that won. A grey line: the factor of R changes, and "
                         "with it J_o and the gradient. The last curve is the error of a gradient made of the prior "
                         "members' own predictions, as methods without derivatives have it.",
                         escaped(experiment.truth_label)));
}

std::string rank_section(const ExperimentReport& experiment) {
  return "<h3>Ranks</h3>\n" +
         figure(
             "pair",
             rank_figure(experiment.ranks, "Rank histogram of the truth among the analysis members, with a flat line."),
             "Where the truth falls among LEVDA's sorted members, the surrogate's error added to each, "
             "over all truths and "
             "scored values. Flat "
             "(dashed) is "
             "calibrated; a U means too little spread, a dome too much, a slope a bias.");
}

std::string scaling_section(const ExperimentReport& experiment) {
  std::string figures;
  for (const ScalingFigure& scaling : experiment.scalings)
    figures += scaling_figure(scaling, fmt::format("{} of each method against {}.", scaling.title, scaling.x_label));
  return "<h3>Growth</h3>\n" +
         figure("pair", figures,
                "Both axes are logarithmic; bars are standard errors over truths. In brackets the slope fitted to the "
                "logarithms.");
}

}  // namespace

void write_report(const std::filesystem::path& path, const Report& report) {
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\">\n<title>{0}</title>\n<style>\n{1}</style></head>"
      "<body>\n{2}<h1>{0}</h1>\n",
      escaped(report.title), page_css(), plot_symbols());
  html += facts_table(report);
  if (report.experiments.size() > 1) {
    html += "<nav><p>";
    for (std::size_t i = 0; i < report.experiments.size(); ++i)
      html += fmt::format("<a href=\"#experiment-{}\">{}</a>", i + 1, escaped(report.experiments[i].name));
    html += "</p></nav>\n";
  }
  // In parallel, since they wait for gnuplot.
  std::vector<std::function<std::string()>> sections;
  for (std::size_t i = 0; i < report.experiments.size(); ++i) {
    const ExperimentReport& experiment = report.experiments[i];
    std::string head = fmt::format("<section id=\"experiment-{}\"><h2>{}</h2>\n<p>{}</p>\n", i + 1,
                                   escaped(experiment.name), escaped(experiment.description));
    if (!experiment.score_rows.empty()) head += score_table(experiment);
    sections.emplace_back([head] { return head; });
    const auto add = [&](bool wanted, std::string (*section)(const ExperimentReport&)) {
      if (wanted) sections.emplace_back([section, &experiment] { return section(experiment); });
    };
    add(!experiment.scalings.empty(), scaling_section);
    add(!experiment.frames.empty(), movie_section);
    add(!experiment.maps.empty(), map_section);
    add(!experiment.curves.empty(), curve_section);
    add(!experiment.parameters.empty(), parameter_section);
    add(!experiment.convergence.factor.empty(), convergence_section);
    add(!experiment.ranks.empty(), rank_section);
    sections.emplace_back([] { return std::string("</section>\n"); });
  }
  std::vector<std::string> parts(sections.size());
  oneapi::tbb::parallel_for(std::size_t{0}, parts.size(), [&](std::size_t i) { parts[i] = sections[i](); });
  for (const std::string& part : parts) html += part;
  const auto moves = [](const ExperimentReport& experiment) { return !experiment.frames.empty(); };
  if (std::any_of(report.experiments.begin(), report.experiments.end(), moves)) html += movie_script();
  nn::write_text_file(path, html + "</body></html>\n");
}

void write_pictures(const std::filesystem::path& folder, const ExperimentReport& experiment) {
  oneapi::tbb::parallel_for(std::size_t{0}, experiment.maps.size(), [&](std::size_t i) {
    const FieldMaps& maps = experiment.maps[i];
    std::string name;
    for (const char c : experiment.name + "-" + maps.channel) {
      const auto byte = static_cast<unsigned char>(c);
      name += byte < 0x20 || c == '/' || c == '%' ? fmt::format("%{:02X}", byte) : std::string(1, c);
    }
    nn::write_text_file(folder / (name + ".png"), map_picture(maps));
  });
}

}  // namespace levda::experiments
