#include "experiments/twin/training_table.h"

#include <limits>

#include "autodiff/error.h"
#include "experiments/twin/control_space.h"

namespace levda::experiments {

da::Analogue lookup_fit(const Config& config, const models::Surrogate& s, const ObservationFile& file,
                        std::span<const float> fields) {
  const auto covariance = error_covariance(file);
  const std::vector<std::int64_t> used = file.observations.in_window(0, std::numeric_limits<double>::infinity());
  const bool cold = file.experiment == "cold";
  const AssimilationConfig& a = config.assimilation;
  return da::Analogues(s.about, fields)
      .nearest(file.observations.part(used), *covariance->part(used, std::vector<double>(used.size(), 1.0)),
               cold ? -1 : a.start_min, cold ? -1 : a.start_max);
}

TrainingTable::TrainingTable(const Config& config, const models::Surrogate& s, const Dataset& data,
                             std::span<const ObservationFile> files)
    : frames_(data.about.frames) {
  const std::int64_t stride = config.assimilation.score_stride;
  size_ = models::grid_areas(data.about.grid, stride).size() * data.about.channel_names.size();
  values_.resize(static_cast<std::size_t>(data.train * frames_) * size_);
  data.each_member(0, data.train, [&](std::int64_t member, std::span<const float> fields) {
    const auto frame_size = static_cast<std::size_t>(data.frame_size());
    for (std::int64_t frame = 0; frame < frames_; ++frame)
      scored_values(fields.subspan(static_cast<std::size_t>(frame) * frame_size, frame_size), data.about.grid, stride,
                    s.field_std, values_.data() + static_cast<std::size_t>(member * frames_ + frame) * size_);
    for (const ObservationFile& file : files) {
      da::Analogue own = lookup_fit(config, s, file, fields);
      own.member = member;
      const auto [best, first] = fits_.try_emplace(key(file), own);
      if (!first && own.misfit < best->second.misfit) best->second = own;
    }
  });
}

std::span<const float> TrainingTable::values(std::int64_t member, std::int64_t frame) const {
  return std::span(values_).subspan(static_cast<std::size_t>(member * frames_ + frame) * size_, size_);
}

const da::Analogue& TrainingTable::fit(const ObservationFile& file) const {
  const auto entry = fits_.find(key(file));
  if (entry == fits_.end()) throw Error("lookup: not one of the observation files that the table was made for");
  return entry->second;
}

std::pair<std::string, std::int64_t> TrainingTable::key(const ObservationFile& file) {
  return {file.experiment, file.truth.value().index};
}

}  // namespace levda::experiments
