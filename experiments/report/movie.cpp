#include "experiments/report/movie.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "experiments/report/html.h"
#include "experiments/report/sheet.h"

namespace levda::experiments {

namespace {

constexpr std::int64_t canvas_width = 480;

constexpr const char* script = R"js(
for (const figure of document.querySelectorAll(".movie")) {
  const movie = JSON.parse(figure.dataset.movie);
  const [slider, button, output, select] =
    ["input", "button", "output", "select"].map(name => figure.querySelector(name));
  const panels = [...figure.querySelectorAll(".panel")];
  const bytesOf = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const palette = bytesOf(movie.palette);
  const {nx, ny, width, height, rows, columns, first, periodic} = movie, missing = 127;

  // Inverse of compact() in experiments/report/movie.cpp.
  const decode = ({shift, code}) => {
    const bytes = bytesOf(code), steps = new Uint8Array(nx * ny * movie.times.length);
    let at = 0;
    const bit = () => bytes[at >> 3] >> 7 - (at++ & 7) & 1;
    for (let k = 0; k < steps.length; ++k) {
      const i = k % nx, below = Math.floor(k / nx) % ny > 0;
      const a = i > 0 ? steps[k - 1] : 0, b = below ? steps[k - nx] : 0, c = i > 0 && below ? steps[k - nx - 1] : 0;
      let d = 0;
      while (bit()) ++d;
      for (let n = 0; n < shift; ++n) d = d << 1 | bit();
      const guess = i === 0 ? b : !below ? a
        : c >= Math.max(a, b) ? Math.min(a, b) : c <= Math.min(a, b) ? Math.max(a, b) : a + b - c;
      steps[k] = guess + (d & 1 ? -(d + 1 >> 1) : d >> 1);
    }
    return steps;
  };

  const clamp = (i, n) => Math.min(Math.max(i, 0), n - 1);
  const column = i => periodic ? (i % nx + nx) % nx : clamp(i, nx);
  const draw = (canvas, steps, frame, sensors) => {
    const pen = canvas.getContext("2d"), image = pen.createImageData(width, height);
    const pixels = image.data, start = frame * nx * ny;
    for (let j = 0, out = 0; j < height; ++j) {
      const y = Math.min(Math.max(rows[j][0], 0), ny - 1), y0 = Math.floor(y), fy = y - y0;
      const lower = start + y0 * nx, upper = start + Math.min(y0 + 1, ny - 1) * nx;
      for (let i = 0; i < width; ++i, out += 4) {
        const fromMiddle = (2 * (i + 0.5) / width - 1) / rows[j][1];
        if (Math.abs(fromMiddle) > 1) continue;
        const x = first + columns * (1 + fromMiddle) / 2, left = Math.floor(x), fx = x - left;
        const x0 = column(left), x1 = column(left + 1);
        const p = steps[lower + x0], q = steps[lower + x1], r = steps[upper + x0], s = steps[upper + x1];
        let step = Math.round((1 - fy) * ((1 - fx) * p + fx * q) + fy * ((1 - fx) * r + fx * s));
        if (p === missing || q === missing || r === missing || s === missing)
          step = fy < 0.5 ? fx < 0.5 ? p : q : fx < 0.5 ? r : s;
        if (step === missing) continue;
        for (let part = 0; part < 3; ++part) pixels[out + part] = palette[3 * step + part];
        pixels[out + 3] = 255;
      }
    }
    pen.putImageData(image, 0, 0);
    movie.lines.forEach((line, n) => {
      pen.beginPath();
      for (const [x, y] of line) pen.lineTo(x * width, y * height);
      pen.lineWidth = n === 0 ? 2 : 1;
      pen.strokeStyle = n === 0 ? "#555" : "#0005";
      pen.stroke();
    });
    pen.lineWidth = 1.2;
    pen.strokeStyle = "#222";
    for (const [x, y] of sensors) {
      pen.beginPath();
      pen.arc(x * width, y * height, 3, 0, 7);
      pen.stroke();
    }
  };

  let shown, channel;
  const show = () => {
    output.textContent = movie.times[slider.value];
    slider.setAttribute("aria-valuetext", output.textContent);
    panels.forEach((panel, n) =>
      draw(panel.querySelector("canvas"), shown[n], +slider.value, n === 1 ? [] : channel.sensors));
  };
  const choose = () => {
    channel = movie.channels[select ? select.value : 0];
    shown = channel.panels.map(decode);
    panels.forEach((panel, n) =>
      panel.querySelectorAll(".scale span").forEach((span, k) => span.textContent = channel.panels[n].scale[k]));
    show();
  };
  let timer;
  const stop = () => {
    clearInterval(timer);
    timer = undefined;
    button.textContent = "Play";
  };
  button.onclick = () => {
    if (timer !== undefined) return stop();
    button.textContent = "Pause";
    timer = setInterval(() => {
      slider.value = (+slider.value + 1) % movie.times.length;
      show();
    }, 300);
  };
  slider.oninput = () => {
    stop();
    show();
  };
  if (select) select.onchange = choose;
  for (const panel of panels) Object.assign(panel.querySelector("canvas"), {width, height});
  figure.hidden = false;
  choose();
}
)js";

/// What is between two numbers of a palette, in 0 .. 126.
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

std::string number(double value) { return fmt::format("{:.3g}", value); }

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
  const Sheet sheet(grid);
  const double aspect = std::clamp(sheet.y().length() / sheet.x().length(), 1. / 8, 4.);
  const auto height = static_cast<std::int64_t>(std::lround(aspect * canvas_width));
  const auto rounded = [](double share) { return std::round(share * 1e4) / 1e4; };
  // Shares of the canvas, from its top left.
  const auto place = [&](const Sheet::Point& p) {
    return json{rounded((p.first - sheet.x().low) / sheet.x().length()),
                rounded((sheet.y().high - p.second) / sheet.y().length())};
  };
  json movie{{"nx", grid.nx},
             {"ny", grid.ny},
             {"width", canvas_width},
             {"height", height},
             {"first", sheet.first_column()},
             {"columns", sheet.columns()},
             {"periodic", sheet.periodic()},
             {"palette", base64(palette_bytes(diverging_colours()))},
             {"times", grid.times},
             {"rows", json::array()},
             {"lines", json::array()},
             {"channels", json::array()}};
  for (const Sheet::Row& row : sheet.rows(height))
    movie["rows"].push_back(json{rounded(row.position), rounded(row.width)});
  for (const Sheet::Line& line : sheet.lines()) {
    json points = json::array();
    for (const Sheet::Point& p : line) points.push_back(place(p));
    movie["lines"].push_back(points);
  }
  for (const FieldMaps& channel : frames) {
    const Range colours = diverging_range(channel.truth);
    const Fields error = difference(channel.analysis_mean, channel.truth);
    json entry{{"panels", json::array()}, {"sensors", json::array()}};
    const auto panel = [&](const Fields& fields, const Range& range) {
      const CompactSteps steps = compact(palette_steps(fields, range), channel.nx, channel.ny);
      const std::string unit = channel.unit == "1" || channel.unit.empty() ? "" : " " + channel.unit;
      entry["panels"].push_back(
          {{"scale", {number(range.low), number((range.low + range.high) / 2), number(range.high) + unit}},
           {"shift", steps.shift},
           {"code", base64(steps.code)}});
    };
    panel(channel.truth, colours);
    panel(channel.analysis_mean, colours);
    panel(error, diverging_range(error));
    for (const auto& [x, y] : channel.sensors) entry["sensors"].push_back(place(sheet.at(x, y)));
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

std::string movie_script() { return fmt::format("<script>{}</script>\n", script); }

}  // namespace levda::experiments
