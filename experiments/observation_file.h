#pragma once

/// Files of observations: NetCDF or, as other programs make them, CSV; one row per value.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "da/observations.h"
#include "models/surrogate.h"

namespace levda::experiments {

/// Where a truth comes from, in a twin experiment.
struct Truth {
  std::int64_t index = 0;   ///< 0-based number among the truths of the experiment
  std::int64_t member = 0;  ///< of the data set
  std::int64_t start = 0;   ///< data-set frame at time 0 of the observations; -1 is one frame before the first

  /// Data-set frame at the first analysis time.
  std::int64_t first_frame() const { return start < 0 ? 0 : start; }
};

struct ObservationFile {
  std::string experiment;  ///< "warm", "cold" or, where the file does not say, empty
  da::Observations observations;
  std::optional<Truth> truth;  ///< none for observations of the world
  std::string fingerprint;
  std::vector<std::int32_t> gross;  ///< in a twin experiment: 1 where the value has a gross error; empty: none has
};

/// Throws InputError. Channels are written by name.
void write_observations(const std::filesystem::path& path, const ObservationFile& file,
                        const models::Description& about);

/// NetCDF, or CSV (parse_observations_csv) where the name ends with .csv. A NetCDF file of someone else needs the
/// variables time, x, y, channel (a name or a position), value and error_std over one dimension; y may be left out
/// where the domain has no extent along it. Units that it gives must be the surrogate's. Throws InputError naming the
/// file and the column: not such a file, an unknown channel, a place outside the domain, and all that da::check finds
/// with times up to last_time.
ObservationFile read_observations(const std::filesystem::path& path, const models::Description& about,
                                  double last_time);

}  // namespace levda::experiments
