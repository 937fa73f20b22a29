#pragma once

/// Data sets: trajectories of a system with their parameters.

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/config.h"
#include "models/surrogate.h"

namespace levda::experiments {

struct Dataset {
  models::Description about;
  std::int64_t train = 0;  ///< members: first those for training, then validation, then test
  std::int64_t valid = 0;
  std::int64_t test = 0;
  std::vector<double> parameters;  ///< (members, p), physical units
  std::vector<float> fields;       ///< (members, frames, c, ny, nx), physical units
  std::string fingerprint;         ///< the configuration that made it; of a foreign set, a checksum of its fields

  std::int64_t members() const { return train + valid + test; }
  std::int64_t first_test() const { return train + valid; }
  std::int64_t frame_size() const { return about.channels() * about.grid.cells(); }
  /// (p)
  std::span<const double> parameters_of(std::int64_t member) const;
  /// (c, ny, nx)
  std::span<const float> frame(std::int64_t member, std::int64_t frame) const;
};

/// Mean and standard deviation per channel, physical units.
struct Moments {
  std::vector<double> mean;
  std::vector<double> deviation;
};

/// Over all training trajectories, frames and nodes. Throws Error when a channel is constant.
Moments field_moments(const Dataset& dataset);

/// Draws parameters from their prior range and runs the solver: uniformly, or for training with design "even" along a
/// low-discrepancy sequence, so that no part of the box is far from a training trajectory. `finished`: as in
/// Case::simulate.
Dataset generate_dataset(const Config& config, const std::function<void(std::int64_t)>& finished);

/// NetCDF-4 with CF attributes: field(member, time, channel, y, x), parameters(member, parameter). Throws InputError.
void write_dataset(const std::filesystem::path& path, const Dataset& dataset);

/// Throws InputError naming the file and the variable: missing, wrong shapes, values that are not finite.
Dataset read_dataset(const std::filesystem::path& path);

/// FNV-1a, 64 bits, as 16 digits: tells whether something is what a result was made from.
std::string checksum(std::string_view bytes);

/// The configuration that made the file, or "" where there is no such file or it does not say.
std::string fingerprint_of(const std::filesystem::path& path);

}  // namespace levda::experiments
