#pragma once

/// What the baselines need of training trajectories that are not in memory.

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "da/analogue.h"
#include "experiments/twin/twin.h"

namespace levda::experiments {

/// Of some trajectories, fields (members, frames, c, ny, nx), the one and the start in the experiment's range that fit
/// the observations best (da::Analogues::nearest); no error of the surrogate is part of R.
da::Analogue lookup_fit(const Config& config, const models::Surrogate& surrogate, const ObservationFile& file,
                        std::span<const float> fields);

/// One pass over them, for all truths of a run.
class TrainingTable {
 public:
  /// Fits are those of the files. Throws InputError when a shard is damaged.
  TrainingTable(const Config& config, const models::Surrogate& surrogate, const Dataset& data,
                std::span<const ObservationFile> files);

  /// As scored_values has them: every score_stride-th node, (points, c).
  std::span<const float> values(std::int64_t member, std::int64_t frame) const;
  /// Throws Error for a truth of none of the files.
  const da::Analogue& fit(const ObservationFile& file) const;

 private:
  static std::pair<std::string, std::int64_t> key(const ObservationFile& file);

  std::int64_t frames_;
  std::size_t size_;  // of a frame
  std::vector<float> values_;
  std::map<std::pair<std::string, std::int64_t>, da::Analogue> fits_;
};

}  // namespace levda::experiments
