#include "experiments/report/movie.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "experiments/report/html.h"
#include "experiments/report/plot.h"
#include "experiments/report/projection.h"

namespace levda::experiments {

namespace {

constexpr std::int64_t canvas_width = 480;

/// The colours of steps 0 .. 126, interpolated, 3 bytes each.
std::vector<std::uint8_t> palette_bytes(std::span<const Rgb> colours) {
  std::vector<std::uint8_t> bytes;
  for (int step = 0; step < missing_step; ++step) {
    const double at = step * static_cast<double>(colours.size() - 1) / (missing_step - 1);
    const std::size_t k = std::min(static_cast<std::size_t>(at), colours.size() - 2);
    for (std::size_t part = 0; part < 3; ++part)
      bytes.push_back(static_cast<std::uint8_t>(
          std::lround(std::lerp(colours[k][part], colours[k + 1][part], at - static_cast<double>(k)))));
  }
  return bytes;
}

/// Differences to the prediction, folded.
std::vector<std::uint8_t> folded_differences(std::span<const std::uint8_t> steps, std::int64_t nx, std::int64_t ny) {
  std::vector<std::uint8_t> folded;
  folded.reserve(steps.size());
  for (std::int64_t k = 0; k < static_cast<std::int64_t>(steps.size()); ++k) {
    const bool left = k % nx > 0;
    const bool below = k / nx % ny > 0;
    const int a = left ? steps[k - 1] : 0;
    const int b = below ? steps[k - nx] : 0;
    const int c = left && below ? steps[k - nx - 1] : 0;
    const int guess = !left                 ? b
                      : !below              ? a
                      : c >= std::max(a, b) ? std::min(a, b)
                      : c <= std::min(a, b) ? std::max(a, b)
                                            : a + b - c;
    const auto difference = static_cast<std::int8_t>(static_cast<std::uint8_t>(steps[k] - guess));
    folded.push_back(static_cast<std::uint8_t>(difference < 0 ? -2 * difference - 1 : 2 * difference));
  }
  return folded;
}

}  // namespace

std::vector<std::uint8_t> palette_steps(const Fields& fields, const Range& range) {
  std::vector<std::uint8_t> steps;
  constexpr double last = missing_step - 1;
  for (const auto& field : fields)
    for (const float value : field) {
      const double share = (value - range.low) / range.length();
      steps.push_back(std::isfinite(value) ? static_cast<std::uint8_t>(std::lround(last * std::clamp(share, 0., 1.)))
                                           : missing_step);
    }
  return steps;
}

CompactSteps compact(std::span<const std::uint8_t> steps, std::int64_t nx, std::int64_t ny) {
  const std::vector<std::uint8_t> folded = folded_differences(steps, nx, ny);
  std::array<std::uint64_t, 8> bits{};
  for (const std::uint8_t d : folded)
    for (int shift = 0; shift < 8; ++shift) bits[shift] += (d >> shift) + 1 + shift;
  CompactSteps result;
  result.shift = static_cast<int>(std::min_element(bits.begin(), bits.end()) - bits.begin());
  std::uint64_t at = 0;
  result.code.assign((bits[result.shift] + 7) / 8, 0);
  const auto put = [&](bool bit) {
    if (bit) result.code[at / 8] |= static_cast<std::uint8_t>(0x80 >> at % 8);
    ++at;
  };
  for (const std::uint8_t d : folded) {
    for (int n = 0; n < d >> result.shift; ++n) put(true);
    put(false);
    for (int n = result.shift; n-- > 0;) put((d >> n & 1) != 0);
  }
  return result;
}

std::string base64(std::span<const std::uint8_t> bytes) {
  constexpr const char* letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t there = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) group = group << 8 | (k < there ? bytes[i + k] : 0U);
    for (std::size_t k = 0; k < 4; ++k) text += k <= there ? letters[group >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

std::string movie_figure(const std::vector<FieldMaps>& frames, const std::string& caption) {
  using nlohmann::json;
  const FieldMaps& grid = frames.front();
  const Projection projection(grid);
  const double aspect = std::clamp(projection.y().length() / projection.x().length(), 1. / 8, 4.);
  const auto height = static_cast<std::int64_t>(std::lround(aspect * canvas_width));
  const auto rounded = [](double share) { return std::round(share * 1e4) / 1e4; };
  // Shares of the canvas, from its top left.
  const auto place = [&](const Projection::Point& p) {
    return json{rounded((p.first - projection.x().low) / projection.x().length()),
                rounded((projection.y().high - p.second) / projection.y().length())};
  };
  json movie{{"nx", grid.nx},
             {"ny", grid.ny},
             {"width", canvas_width},
             {"height", height},
             {"first", projection.first_column()},
             {"columns", projection.columns()},
             {"periodic", projection.periodic()},
             {"palette", base64(palette_bytes(diverging_colours()))},
             {"times", grid.times},
             {"rows", json::array()},
             {"lines", json::array()},
             {"channels", json::array()}};
  for (const Projection::Row& row : projection.rows(height))
    movie["rows"].push_back(json{rounded(row.position), rounded(row.width)});
  for (const Projection::Line& line : projection.lines()) {
    json points = json::array();
    for (const Projection::Point& p : line) points.push_back(place(p));
    movie["lines"].push_back(points);
  }
  for (const FieldMaps& channel : frames) {
    const Range colours = diverging_range(channel.truth);
    const Fields error = difference(channel.analysis_mean, channel.truth);
    json entry{{"panels", json::array()}, {"sensors", json::array()}};
    const auto panel = [&](const Fields& fields, const Range& range) {
      const CompactSteps steps = compact(palette_steps(fields, range), channel.nx, channel.ny);
      const auto number = [&](double value) { return fmt::format("{:.{}g}", value, digits_of(range)); };
      const std::string unit = channel.unit == "1" || channel.unit.empty() ? "" : " " + channel.unit;
      entry["panels"].push_back(
          {{"scale", {number(range.low), number((range.low + range.high) / 2), number(range.high) + unit}},
           {"shift", steps.shift},
           {"code", base64(steps.code)}});
    };
    panel(channel.truth, colours);
    panel(channel.analysis_mean, colours);
    panel(error, diverging_range(error));
    for (const auto& [x, y] : channel.sensors) entry["sensors"].push_back(place(projection.at(x, y)));
    movie["channels"].push_back(std::move(entry));
  }

  std::string html = fmt::format("<figure class=\"movie\" hidden data-movie=\"{}\">\n<div class=\"panels\">",
                                 escaped(movie.dump(-1, ' ', false, json::error_handler_t::replace)));
  std::string gradient;
  for (const Rgb& c : diverging_colours()) gradient += fmt::format(",#{:02x}{:02x}{:02x}", c[0], c[1], c[2]);
  for (const char* name : {"truth", "analysis mean", "error"})
    html += fmt::format(
        "<div class=\"panel\"><p>{0}</p><canvas role=\"img\" aria-label=\"Map of {0} at the time of the "
        "slider\"></canvas><i class=\"bar\" style=\"background:linear-gradient(to right{1})\"></i>"
        "<p class=\"scale\"><span></span><span></span><span></span></p></div>\n",
        name, gradient);
  html += fmt::format(
      "</div>\n<p class=\"controls\"><button type=\"button\">Play</button> <label>time <input type=\"range\" min=\"0\" "
      "max=\"{}\" value=\"0\" step=\"1\"></label> <output></output>",
      grid.times.size() - 1);
  if (frames.size() > 1) {
    html += " <label>channel <select>";
    for (std::size_t k = 0; k < frames.size(); ++k)
      html += fmt::format("<option value=\"{}\">{}</option>", k, escaped(frames[k].channel));
    html += "</select></label>";
  } else {
    html += fmt::format(" {}", escaped(grid.channel));
  }
  return html + fmt::format("</p>\n<figcaption>{}</figcaption></figure>\n", caption);
}

std::string movie_script() { return fmt::format("<script>\n{}</script>\n", page_js()); }

}  // namespace levda::experiments
