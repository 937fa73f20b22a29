/// The maps of the report.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "experiments/report/figures.h"
#include "experiments/report/gnuplot.h"
#include "experiments/report/plot.h"
#include "experiments/report/projection.h"

namespace levda::experiments {

namespace {

enum class Purpose { page, file };

double root_mean_square(const std::vector<float>& field) {
  double sum = 0;
  for (const float value : field) sum += static_cast<double>(value) * value;
  return std::sqrt(sum / static_cast<double>(std::max<std::size_t>(1, field.size())));
}

/// gnuplot's name of a palette.
std::string palette(std::span<const Rgb> colours) {
  std::vector<std::string> stops;
  for (const Rgb& c : colours) stops.push_back(fmt::format("{} '#{:02x}{:02x}{:02x}'", stops.size(), c[0], c[1], c[2]));
  return fmt::format("defined ({})", fmt::join(stops, ", "));
}

void colour_bar(Plot& plot, const Range& range, const std::string& label) {
  constexpr int steps = 128;
  plot.data("bar", steps, [&](std::size_t i) {
    const double value = range.low + range.length() * (static_cast<double>(i) + 0.5) / steps;
    plot.add("0 {0:.12g} {0:.12g}\n1 {0:.12g} {0:.12g}\n", value);
  });
  plot.add("set xrange [-0.5:1.5]\nset yrange [{0:.12g}:{1:.12g}]\nset y2range [{0:.12g}:{1:.12g}]\n", range.low,
           range.high);
  plot.add("unset xtics\nunset ytics\nset y2tics {} font ',10'\nset y2label {} offset -2,0 font ',11'\n",
           ticks(range, 3), gnuplot_literal(label));
  plot.add("set format y2 '%.{}g'\n", std::max(6, digits_of(range)));
  plot.add("plot $bar using 1:2:3 with image\nunset y2tics\nunset y2label\n");
}

/// Rows of maps, one column per time. Fewer colours make smaller files.
class MapDrawing {
 public:
  MapDrawing(const FieldMaps& maps, Purpose purpose, int number_of_colours)
      : maps_(maps), purpose_(purpose), number_of_colours_(number_of_colours) {
    // A page smooths the few values that it gets.
    constexpr double most = 4100;  // 64 x 64
    const double detail = purpose == Purpose::page ? std::min(1., std::sqrt(most / (width_ * height_))) : 1;
    const auto pixels = [&](double length, std::int64_t nodes) {
      const auto all = static_cast<std::int64_t>(std::ceil(detail * length));
      return purpose == Purpose::page ? std::min(all, nodes) : all;
    };
    raster_width_ = pixels(width_, maps.nx);
    raster_height_ = pixels(height_, maps.ny);
  }

  Plot drawn() {
    add_sensors();
    if (sphere_) add_lines();
    const Fields error = difference(maps_.analysis_mean, maps_.truth);
    const Range colours = diverging_range(maps_.truth);
    const Row truth{.name = "truth", .fields = maps_.truth, .colours = colours, .sensors = true, .first = true};
    add_row(truth);
    add_row({.name = "prior mean", .fields = maps_.prior_mean, .colours = colours});
    add_row({.name = "analysis mean", .fields = maps_.analysis_mean, .colours = colours});
    add_bar(3, colours, maps_.channel);
    for (const Row& row : {Row{.name = "error",
                          .fields = error,
                          .colours = diverging_range(error),
                          .sensors = true,
                          .size_written = true},
                           Row{.name = "spread",
                           .fields = maps_.spread,
                           .colours = sequential_range(maps_.spread),
                           .size_written = true,
                           .last = true}}) {
      add_row(row);
      add_bar(1, row.colours, row.name);
    }
    return std::move(plot_);
  }

 private:
  struct Row {
    const char* name;
    const Fields& fields;
    Range colours;
    bool sensors = false;
    bool size_written = false;  ///< the rms above each map
    bool first = false;
    bool last = false;
  };

  static constexpr double right_ = 104, header_ = 26, gap_ = 8, line_ = 17;

  void add_sensors() {
    const double mean_share = std::accumulate(maps_.shares.begin(), maps_.shares.end(), 0.0) /
                              static_cast<double>(std::max<std::size_t>(1, maps_.shares.size()));
    plot_.data("sensors", maps_.sensors.size(), [&](std::size_t i) {
      const auto [x, y] = projection_.at(maps_.sensors[i].first, maps_.sensors[i].second);
      constexpr double size = 0.45;
      // Areas are shares, within limits: visible, and not hiding their neighbours.
      const double relative = mean_share > 0 ? std::sqrt(maps_.shares[i] / mean_share) : 1;
      plot_.add("{:.12g} {:.12g} {:.3g}\n", x, y, size * std::clamp(relative, 0.3, 3.0));
    });
  }

  void add_lines() {
    plot_.add("unset border\nunset xtics\nunset ytics\n");
    const std::span<const Projection::Line> lines = projection_.lines();
    const auto block = [&](const char* name, std::span<const Projection::Line> some) {
      plot_.data(name, some.size(), [&](std::size_t i) {
        for (const auto& [x, y] : some[i]) plot_.add("{:.5g} {:.5g}\n", x, y);
        plot_.add("\n");
      });
    };
    block("outline", lines.first(1));
    block("graticule", lines.subspan(1));
  }

  void add_row(const Row& row) {
    top_ += row.first ? 0 : height_ + gap_;
    if (row.size_written) top_ += line_;
    plot_.add("set palette maxcolors {} {}\nset cbrange [{:.12g}:{:.12g}]\nunset colorbox\n", number_of_colours_,
              palette(row.last ? sequential_colours() : diverging_colours()), row.colours.low, row.colours.high);
    for (std::size_t t = 0; t < std::min(maps_.times.size(), row.fields.size()); ++t) add_map(row, t);
  }

  void add_map(const Row& row, std::size_t t) {
    const double left = left_ + static_cast<double>(t) * (width_ + gap_);
    plot_.place(left, top_, width_, height_);
    plot_.add("unset label\n");
    if (row.first) plot_.write(maps_.times[t], left + width_ / 2, header_ - 12, 12);
    if (t == 0) plot_.write(row.name, 10, top_ + height_ / 2, 12, true);
    if (row.size_written)
      plot_.write(fmt::format("rms {:.2g}", root_mean_square(row.fields[t])), left + width_ / 2, top_ - 8, 10);
    plot_.add("set xrange [{:.12g}:{:.12g}]\nset yrange [{:.12g}:{:.12g}]\n", x_.low, x_.high, y_.low, y_.high);
    if (!sphere_) {
      // Away from the corners, where the labels of neighbours would meet.
      plot_.add("set xtics {} offset 0,0.5 font ',10'\nset ytics {} font ',10'\n", ticks(padded(x_, -0.1), 3),
                ticks(padded(y_, -0.1), 3));
      const auto format = [](const Range& range) { return fmt::format("%.{}g", std::max(6, digits_of(range))); };
      plot_.add("set format x '{}'\nset format y '{}'\n", row.last ? format(x_) : "", t == 0 ? format(y_) : "");
      const bool named = row.last && t == 0;
      plot_.add("set xlabel {} offset 0,1 font ',11'\nset ylabel {} offset 1.5,0 font ',11'\n",
                gnuplot_literal(named ? labelled("x", maps_.length_unit) : ""),
                gnuplot_literal(named ? labelled("y", maps_.length_unit) : ""));
    }
    // In a page every symbol costs a hundred bytes.
    const bool sensors = !maps_.sensors.empty() && row.sensors && (t == 0 || purpose_ == Purpose::file);
    const std::vector<float> raster = projection_.raster(row.fields[t], raster_width_, raster_height_);
    plot_.data("field", raster.size(), [&](std::size_t i) {
      plot_.add("{:.8g}{}", raster[i], (static_cast<std::int64_t>(i) + 1) % raster_width_ == 0 ? '\n' : ' ');
    });
    const double dx = x_.length() / static_cast<double>(raster_width_);
    const double dy = y_.length() / static_cast<double>(raster_height_);
    plot_.add(
        "plot $field matrix using ({:.12g}+$1*{:.12g}):({:.12g}+$2*{:.12g}):3 with image{}{}\n", x_.low + dx / 2, dx,
        y_.low + dy / 2, dy,
        sphere_ ? ", $graticule with lines lw 0.4 lc rgb '#909090', $outline with lines lw 0.8 lc rgb '#606060'" : "",
        sensors ? ", $sensors with points pt 6 ps variable lw 0.6 lc rgb '#222222'" : "");
  }

  /// The colour bar beside the last rows.
  void add_bar(int rows, const Range& colours, const std::string& name) {
    const double height = rows * height_ + (rows - 1) * gap_;
    plot_.place(left_ + columns_ * (width_ + gap_) + 4, top_ + height_ - height, 11, height);
    plot_.add("unset label\nunset xlabel\nunset ylabel\nset border 31 lw 0.6\n");
    colour_bar(plot_, colours, labelled(name, maps_.unit));
    if (sphere_) plot_.add("unset border\n");
  }

  const FieldMaps& maps_;
  Purpose purpose_;
  int number_of_colours_;
  Projection projection_{maps_};
  bool sphere_ = maps_.geometry == models::Geometry::sphere;
  Range x_ = projection_.x();
  Range y_ = projection_.y();
  double columns_ = static_cast<double>(maps_.times.size());
  double left_ = sphere_ ? 34 : 74;
  double bottom_ = sphere_ ? 10 : 42;
  double width_ = std::min(168., (960 - left_ - right_ - (columns_ - 1) * gap_) / columns_);
  double height_ = width_ * y_.length() / x_.length();
  std::int64_t raster_width_ = 0;  ///< values of a map in the script
  std::int64_t raster_height_ = 0;
  double top_ = header_;  ///< of the current row
  Plot plot_{left_ + columns_ * width_ + (columns_ - 1) * gap_ + right_,
             header_ + 5 * height_ + 4 * gap_ + 2 * line_ + bottom_};
};

}  // namespace

std::string map_figure(const FieldMaps& maps, const std::string& alternative) {
  return MapDrawing(maps, Purpose::page, 41).drawn().draw(alternative);
}

std::string map_picture(const FieldMaps& maps) {
  constexpr std::size_t most = 240'000;  // bytes
  std::string png;
  for (const int number_of_colours : {21, 15, 11, 7}) {
    png = MapDrawing(maps, Purpose::file, number_of_colours).drawn().draw_png();
    if (png.size() <= most) break;
  }
  return png;
}

}  // namespace levda::experiments
