#pragma once

/// The checks that every data set passes, whether it is made of arrays or read from a file. All throw InputError with
/// `source`, for example the name of the file, and the field.

#include "models/checksum.h"
#include "models/dataset.h"

namespace levda::models {

/// Checks names, or with `units` their units: there must be `count`, without commas; names must differ and not be
/// empty.
void check_names(const std::vector<std::string>& names, std::int64_t count, bool units, const std::string& source,
                 const std::string& field);

/// Fills in and checks all but the values, by the rules of make_dataset.
void settle_outline(Dataset& outline, std::int64_t members, std::int64_t channels, const std::string& source);

/// Checks the values between frames of `members` members.
void check_between(const BetweenFrames& between, const Description& about, std::int64_t members,
                   const std::string& source);

/// Sums for moments: over frames, one after the other, by area.
class MomentSums {
 public:
  explicit MomentSums(const Description& about);
  /// (c, ny, nx)
  void add(std::span<const float> frame);
  /// Throws Error when a channel is constant or has no values.
  Moments moments() const;

 private:
  std::vector<std::string> names_;
  std::vector<double> areas_;
  std::vector<double> sum_, squares_, count_;  // per channel
};

/// Facts about all fields of a set, gathered member by member.
class FieldSummary {
 public:
  /// set: a settled outline, which must outlive this.
  explicit FieldSummary(Dataset& set);
  /// Adds the fields (frames, c, ny, nx) of the next member.
  void add(std::span<const float> fields, const std::string& source);
  /// To be called after the last member: sets the moments, the nodes of the grid that never have a value, and the
  /// fingerprint where it is empty.
  void finish(const std::string& source);

 private:
  Dataset& set_;
  MomentSums moments_;
  Checksum checksum_;
  std::int64_t member_ = 0;
  bool any_value_ = false;
  std::vector<std::uint8_t> never_;  // (c, ny, nx), 1 where no member had a value so far
  std::vector<bool> any_valid_;      // per channel: a validation member has a value
};

}  // namespace levda::models
