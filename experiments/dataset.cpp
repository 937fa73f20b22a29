#include "experiments/dataset.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <cmath>

#include "autodiff/error.h"

namespace levda::experiments {

std::span<const double> Dataset::parameters_of(std::int64_t member) const {
  const auto each = static_cast<std::size_t>(about.parameters() * (varying ? about.frames : 1));
  return std::span(parameters).subspan(static_cast<std::size_t>(member) * each, each);
}

std::span<const double> Dataset::parameters_at(std::int64_t member, std::int64_t frame) const {
  const auto p = static_cast<std::size_t>(about.parameters());
  return parameters_of(member).subspan(varying ? static_cast<std::size_t>(frame) * p : 0, p);
}

std::span<const float> Dataset::frame(std::int64_t member, std::int64_t frame) const {
  const auto size = static_cast<std::size_t>(frame_size());
  return std::span(fields).subspan(static_cast<std::size_t>(member * about.frames + frame) * size, size);
}

Moments field_moments(const Dataset& data) {
  const std::int64_t c = data.about.channels();
  const std::int64_t cells = data.about.grid.cells();
  const std::int64_t frames = data.train * data.about.frames;
  const std::vector<double> areas = models::grid_areas(data.about.grid, 1);
  Moments moments;
  for (std::int64_t channel = 0; channel < c; ++channel) {
    double sum = 0;
    double squares = 0;
    double count = 0;
    for (std::int64_t frame = 0; frame < frames; ++frame) {
      const float* values = data.fields.data() + (frame * c + channel) * cells;
      double part = 0;
      double part_squares = 0;
      for (std::int64_t i = 0; i < cells; ++i) {
        if (std::isnan(values[i])) continue;
        part += areas[i] * values[i];
        part_squares += areas[i] * static_cast<double>(values[i]) * values[i];
        count += areas[i];
      }
      sum += part;
      squares += part_squares;
    }
    const double mean = sum / count;
    moments.mean.push_back(mean);
    moments.deviation.push_back(std::sqrt(std::max(0.0, squares / count - mean * mean)));
    if (!(moments.deviation.back() > 0))
      throw Error(
          fmt::format("channel {} of the data set is constant, or has no values", data.about.channel_names[channel]));
  }
  return moments;
}

bool has_missing(const Dataset& data) {
  return std::any_of(data.fields.begin(), data.fields.end(), [](float value) { return std::isnan(value); });
}

void Checksum::add(std::string_view bytes) {
  std::uint64_t hash = hash_;
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  hash_ = hash;
}

std::string Checksum::text() const { return fmt::format("{:016x}", hash_); }

std::string checksum(std::string_view bytes) {
  Checksum sum;
  sum.add(bytes);
  return sum.text();
}

std::vector<std::int64_t> member_checksums(const Dataset& data) {
  const BetweenFrames& between = data.between;
  const std::int64_t intervals = between.points > 0 ? data.about.frames - 1 : 0;
  std::vector<std::int64_t> sums(static_cast<std::size_t>(data.members()));
  oneapi::tbb::parallel_for(std::int64_t{0}, data.members(), [&](std::int64_t member) {
    Checksum sum;
    const auto add = [&]<typename T>(const std::vector<T>& of_all, std::int64_t each) {
      sum.add(std::span(of_all).subspan(static_cast<std::size_t>(member * each), static_cast<std::size_t>(each)));
    };
    add(data.fields, data.about.frames * data.frame_size());
    add(between.fraction, intervals);
    add(between.x, intervals * between.points);
    add(between.y, intervals * between.points);
    add(between.values, intervals * between.points * data.about.channels());
    sums[static_cast<std::size_t>(member)] = static_cast<std::int64_t>(sum.value());
  });
  return sums;
}

}  // namespace levda::experiments
