#pragma once

/// Data sets: trajectories of a system with their parameters, made of arrays in memory or read from files by others.

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/grid.h"

namespace levda::models {

/// Values between the frames and between the nodes, from the steps of the solver. Each member has one time in each
/// interval from frame k to k + 1, with all channels at random places.
struct BetweenFrames {
  std::int64_t points = 0;       ///< places per interval; 0 where there are no such values
  std::vector<double> fraction;  ///< (members, frames - 1), position of the time in its interval, in (0, 1)
  std::vector<float> x;          ///< (members, frames - 1, points), of the node; channels lie at their offsets from it
  std::vector<float> y;
  std::vector<float> values;  ///< (members, frames - 1, points, c), physical units
};

/// Relative RMSE of an interpolation in the parameters on the training trajectories.
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

/// The training trajectories at random nodes only, for a data set that is too large for the memory.
struct Pool {
  std::int64_t points = 0;          ///< of each frame; 0: there is no pool
  std::vector<std::int32_t> nodes;  ///< (train, frames, points)
  std::vector<float> values;        ///< (train, frames, points, c), physical units
};

/// Receives a member and its fields (frames, c, ny, nx).
using MemberVisitor = std::function<void(std::int64_t member, std::span<const float> fields)>;

struct Dataset {
  Description about;
  std::int64_t train = 0;  ///< members: first those for training, then validation, then test
  std::int64_t valid = 0;
  std::int64_t test = 0;
  bool varying = false;            ///< parameters change in time
  std::vector<double> parameters;  ///< (members, p), physical units; varying: (members, frames, p), in force on the
                                   ///< step that ends at the frame
  std::vector<float> fields;       ///< (members, frames, c, ny, nx), physical units; NaN where a value is missing. The
                                   ///< first member is number in_memory
  BetweenFrames between;
  std::string fingerprint;  ///< tells one data set from another: a checksum, or what the maker of a file says
  std::optional<InterpolationError> interpolation = std::nullopt;  ///< nullopt: unknown
  Pool pool = {};
  std::int64_t in_memory = 0;  ///< fields of members before this one are not in `fields`; see each_member
  /// Reads the fields of members [first, last), last <= in_memory, in order; empty where they cannot be read.
  std::function<void(std::int64_t first, std::int64_t last, const MemberVisitor& f)> read = {};
  std::optional<Moments> moments = std::nullopt;  ///< of all training fields; nullopt: field_moments computes them
  bool left_missing = false;                      ///< a value is missing among those that are not in memory

  std::int64_t members() const { return train + valid + test; }
  std::int64_t first_test() const { return train + valid; }
  std::int64_t frame_size() const { return about.channels() * about.grid.cells(); }
  /// (p), or (frames, p) where they vary.
  std::span<const double> parameters_of(std::int64_t member) const;
  /// (p), of the step that ends at a frame.
  std::span<const double> parameters_at(std::int64_t member, std::int64_t frame) const;
  /// (c, ny, nx). Throws Error for a member whose fields are not in memory.
  std::span<const float> frame(std::int64_t member, std::int64_t frame) const;
  /// Calls f(member, its fields) for members [first, last) in order; those that are not in memory are read. Throws
  /// Error where there is nothing to read them with, and what `read` throws.
  void each_member(std::int64_t first, std::int64_t last, const MemberVisitor& f) const;
};

/// A data set of arrays in memory. `set` needs parameters, fields (NaN where a value is missing), about.grid,
/// about.frames >= 2 and about.frame_interval, and `varying` where the parameters are (members, frames, p). The
/// numbers of channels and parameters follow from the sizes of the arrays. May be left out:
///   names and units           channel_0, parameter_0, ..; "1"
///   offsets of the channels   0
///   range of the parameters   that of the values
///   train, valid and test     the last members are for validation and tests, 15% each
///   between                   none
///   fingerprint               a checksum of everything
/// missing: as fields, not 0 where a value is missing; empty: none but NaN are.
/// Throws InputError naming the field: sizes that do not fit, values that are not finite, parameters outside their
/// range or equal everywhere, a channel that is constant or has no value in training or validation members.
Dataset make_dataset(Dataset set, std::int64_t members, std::span<const std::uint8_t> missing = {});

/// Over all training trajectories, frames and nodes, by area, that have values. Throws Error when a channel is
/// constant.
Moments field_moments(const Dataset& dataset);

/// Whether a value is missing somewhere, or in the training trajectories.
bool has_missing(const Dataset& dataset);
bool training_has_missing(const Dataset& dataset);

}  // namespace levda::models
