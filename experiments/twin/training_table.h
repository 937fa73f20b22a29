#pragma once

/// Data for the baselines from training trajectories that are not in memory.

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "da/analogue.h"
#include "experiments/twin/twin.h"

namespace levda::experiments {

/// The nearest analogue (da::Analogues::nearest) of the observations among trajectories, fields (members, frames, c,
/// ny, nx), and starts in the experiment's range. R has no error of the surrogate.
da::Analogue lookup_fit(const Config& config, const models::Surrogate& surrogate, const ObservationFile& file,
                        std::span<const float> fields);

/// Made in one pass over the training trajectories, for all truths of a run.
class TrainingTable {
 public:
  /// Finds the analogue of each file. Throws InputError when a shard is damaged.
  TrainingTable(const Config& config, const models::Surrogate& surrogate, const Dataset& data,
                std::span<const ObservationFile> files);

  /// scored_values at every score_stride-th node, (points, c).
  std::span<const float> values(std::int64_t member, std::int64_t frame) const;
  /// The analogue of a file. Throws Error when the table was not made for it.
  const da::Analogue& fit(const ObservationFile& file) const;

 private:
  static std::pair<std::string, std::int64_t> key(const ObservationFile& file);

  std::int64_t frames_;
  std::size_t size_;  // of a frame
  std::vector<float> values_;
  std::map<std::pair<std::string, std::int64_t>, da::Analogue> fits_;
};

}  // namespace levda::experiments
