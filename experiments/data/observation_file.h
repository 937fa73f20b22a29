#pragma once

/// Files of observations, one row per value: NetCDF, or CSV.

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "da/error_covariance.h"
#include "da/observations.h"
#include "models/grid.h"

namespace levda::experiments {

/// Where a truth comes from, in a twin experiment.
struct Truth {
  std::int64_t index = 0;   ///< 0-based number among the truths of the experiment
  std::int64_t member = 0;  ///< member of the data set
  std::int64_t start = 0;   ///< data-set frame at time 0 of the observations; -1 is one frame before the first

  /// Data-set frame at the first analysis time.
  std::int64_t first_frame() const { return start < 0 ? 0 : start; }
};

struct ObservationFile {
  std::string experiment;  ///< "warm", "cold", or empty if the file does not say
  da::Observations observations;
  std::optional<Truth> truth;  ///< nullopt for real observations
  std::string fingerprint;
  std::vector<std::int32_t> gross;  ///< twin experiments: 1 where the value has a gross error; empty: nowhere
  /// Covariance of all observations if errors are correlated; entries that are not used are uncorrelated. nullptr:
  /// errors are independent, with error_std.
  std::shared_ptr<const da::ErrorCovariance> covariance = nullptr;
  std::vector<std::int64_t> lines = {};  ///< of the entries in a text, for messages (da::row_name); NetCDF: empty
};

/// Throws InputError. Channels are written by name; correlated errors are not written (InputError).
void write_observations(const std::filesystem::path& path, const ObservationFile& file,
                        const models::Description& about);

/// NetCDF, or CSV (parse_observations_csv) where the name ends with .csv. A NetCDF file needs the
/// variables time, x, y, channel (a name or a position), value and error_std over one dimension; y may be left out
/// where the domain has no extent along it, qc, op, extent_x and extent_y as in a CSV. In place of error_std a NetCDF
/// file may have error_covariance (row, row), or error_band (row, band): element (i, k) is the covariance of the rows i
/// and i - k. Units that it gives must be the surrogate's. Throws InputError naming the file and the column: not such a
/// file, an unknown channel, a place outside the domain, an operator that cannot be there, a matrix that is no
/// covariance, and all that da::check finds with times up to last_time.
ObservationFile read_observations(const std::filesystem::path& path, const models::Description& about,
                                  double last_time);

/// R of all observations, from their errors alone. Entries that are not used have variance 1.
std::unique_ptr<da::ErrorCovariance> error_covariance(const ObservationFile& file);

/// R with the errors of the fields added through the operators; variance(i, c) is that of channel c at observation i,
/// in physical units (da::Footprints::error_variance).
std::unique_ptr<da::ErrorCovariance> error_covariance(
    const ObservationFile& file, const models::Description& about, std::span<const double> field_mean,
    std::span<const double> field_std, const std::function<double(std::int64_t i, std::int64_t c)>& variance);

}  // namespace levda::experiments
