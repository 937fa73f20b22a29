#include "experiments/data/dataset.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <cmath>

#include "autodiff/error.h"
#include "experiments/data/dataset_file.h"

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
  if (member < in_memory) throw Error(fmt::format("the fields of trajectory {} are not in memory", member));
  return std::span(fields).subspan(static_cast<std::size_t>((member - in_memory) * about.frames + frame) * size, size);
}

void Dataset::each_member(std::int64_t first, std::int64_t last,
                          const std::function<void(std::int64_t, std::span<const float>)>& f) const {
  const auto size = static_cast<std::size_t>(about.frames * frame_size());
  while (first < last) {
    if (first >= in_memory) {
      f(first, std::span(fields).subspan(static_cast<std::size_t>(first - in_memory) * size, size));
      ++first;
      continue;
    }
    const auto shard = std::find_if(shards.begin(), shards.end(), [&](const ShardFile& one) {
      return one.first <= first && first < one.first + one.members;
    });
    if (shard == shards.end()) throw Error(fmt::format("the fields of trajectory {} are not in memory", first));
    const Dataset part = read_shard(shard->path, *this, shard->first, shard->members);
    for (const std::int64_t end = std::min({last, in_memory, shard->first + shard->members}); first < end; ++first)
      f(first, std::span(part.fields).subspan(static_cast<std::size_t>(first - shard->first) * size, size));
  }
}

MomentSums::MomentSums(const models::Description& about)
    : names_(about.channel_names),
      areas_(models::grid_areas(about.grid, 1)),
      sum_(names_.size(), 0.0),
      squares_(sum_),
      count_(sum_) {}

void MomentSums::add(std::span<const float> frame) {
  const std::size_t cells = areas_.size();
  for (std::size_t channel = 0; channel < sum_.size(); ++channel) {
    const float* values = frame.data() + channel * cells;
    double part = 0;
    double part_squares = 0;
    for (std::size_t i = 0; i < cells; ++i) {
      if (std::isnan(values[i])) continue;
      part += areas_[i] * values[i];
      part_squares += areas_[i] * static_cast<double>(values[i]) * values[i];
      count_[channel] += areas_[i];
    }
    sum_[channel] += part;
    squares_[channel] += part_squares;
  }
}

Moments MomentSums::moments() const {
  Moments moments;
  for (std::size_t channel = 0; channel < sum_.size(); ++channel) {
    const double mean = sum_[channel] / count_[channel];
    moments.mean.push_back(mean);
    moments.deviation.push_back(std::sqrt(std::max(0.0, squares_[channel] / count_[channel] - mean * mean)));
    if (!(moments.deviation.back() > 0))
      throw Error(fmt::format("channel {} of the data set is constant, or has no values", names_[channel]));
  }
  return moments;
}

Moments field_moments(const Dataset& data) {
  if (data.moments) return *data.moments;
  MomentSums sums(data.about);
  for (std::int64_t member = 0; member < data.train; ++member)
    for (std::int64_t frame = 0; frame < data.about.frames; ++frame) sums.add(data.frame(member, frame));
  return sums.moments();
}

namespace {

bool any_missing(std::span<const float> values) {
  return std::any_of(values.begin(), values.end(), [](float value) { return std::isnan(value); });
}

}  // namespace

bool has_missing(const Dataset& data) { return data.left_missing || any_missing(data.fields); }

bool training_has_missing(const Dataset& data) {
  if (data.pool.points > 0) return any_missing(data.pool.values);
  return any_missing(
      std::span(data.fields).first(static_cast<std::size_t>(data.train * data.about.frames * data.frame_size())));
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
