#pragma once

/// Data sets: trajectories of a system with their parameters.

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/config/checksum.h"
#include "experiments/config/config.h"
#include "models/surrogate.h"

namespace levda::experiments {

/// Values between the frames and between the nodes, from the solver's own steps: of each member one time in each
/// interval from frame k to k + 1, there all channels at random places.
struct BetweenFrames {
  std::int64_t points = 0;       ///< places per interval; 0 where there are no such values
  std::vector<double> fraction;  ///< (members, frames - 1), place of the time in its interval, in (0, 1)
  std::vector<float> x;          ///< (members, frames - 1, points), of the node; channels lie at their offsets from it
  std::vector<float> y;
  std::vector<float> values;  ///< (members, frames - 1, points, c), physical units
};

/// What interpolation in the parameters reaches on the training trajectories (leave_one_out.h), as relative RMSE.
struct InterpolationError {
  double all = 0;
  double first = 0;  ///< at the first frame
  double last = 0;
};

/// Mean and standard deviation per channel, physical units.
struct Moments {
  std::vector<double> mean;
  std::vector<double> deviation;
};

/// Of a set that is too large for the memory: the training trajectories at random nodes only.
struct Pool {
  std::int64_t points = 0;          ///< of each frame; 0: there is no pool
  std::vector<std::int32_t> nodes;  ///< (train, frames, points)
  std::vector<float> values;        ///< (train, frames, points, c), physical units
};

/// A file with the values of some members.
struct ShardFile {
  std::filesystem::path path;
  std::int64_t first = 0;  ///< member
  std::int64_t members = 0;
};

struct Dataset {
  models::Description about;
  std::int64_t train = 0;  ///< members: first those for training, then validation, then test
  std::int64_t valid = 0;
  std::int64_t test = 0;
  bool varying = false;            ///< parameters change in time
  std::vector<double> parameters;  ///< (members, p), physical units; varying: (members, frames, p), in force on the
                                   ///< step that ends at the frame
  std::vector<float> fields;       ///< (members, frames, c, ny, nx), physical units; NaN where a value is missing. Of
                                   ///< members from in_memory on
  BetweenFrames between;
  std::string fingerprint;  ///< the configuration that made it; of a foreign set, a checksum of its fields
  std::optional<InterpolationError> interpolation = std::nullopt;  ///< where it is known
  Pool pool = {};
  std::int64_t in_memory = 0;  ///< fields of members before this one are not, see each_member
  std::vector<ShardFile> shards = {};
  std::optional<Moments> moments = std::nullopt;  ///< of all training fields, where they are known
  bool left_missing = false;                      ///< a value is missing among what is not in memory

  std::int64_t members() const { return train + valid + test; }
  std::int64_t first_test() const { return train + valid; }
  std::int64_t frame_size() const { return about.channels() * about.grid.cells(); }
  /// (p), or (frames, p) where they vary.
  std::span<const double> parameters_of(std::int64_t member) const;
  /// (p), of the step that ends at a frame.
  std::span<const double> parameters_at(std::int64_t member, std::int64_t frame) const;
  /// (c, ny, nx). Throws Error for a member whose fields are not in memory.
  std::span<const float> frame(std::int64_t member, std::int64_t frame) const;
  /// Calls f(member, its fields (frames, c, ny, nx)) for members [first, last) in order; what is not in memory is read,
  /// shard by shard. Throws Error where it lies in no shard, InputError where that is damaged.
  void each_member(std::int64_t first, std::int64_t last,
                   const std::function<void(std::int64_t member, std::span<const float> fields)>& f) const;
};

/// Sums for moments: over frames, one after the other, by area.
class MomentSums {
 public:
  explicit MomentSums(const models::Description& about);
  /// (c, ny, nx)
  void add(std::span<const float> frame);
  /// Throws Error when a channel is constant or has no values.
  Moments moments() const;

 private:
  std::vector<std::string> names_;
  std::vector<double> areas_;
  std::vector<double> sum_, squares_, count_;  // per channel
};

/// Over all training trajectories, frames and nodes, by area, that have values. Throws Error when a channel is
/// constant.
Moments field_moments(const Dataset& dataset);

/// Of each member's values, at the frames and between them, as a file keeps them.
std::vector<std::int64_t> member_checksums(const Dataset& dataset);

/// Whether a value is missing somewhere, or in the training trajectories.
bool has_missing(const Dataset& dataset);
bool training_has_missing(const Dataset& dataset);

}  // namespace levda::experiments
