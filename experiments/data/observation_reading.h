#pragma once

/// Readers of files of observations, before observation_file.h checks what they found.

#include <string>
#include <vector>

#include "experiments/data/netcdf_file.h"
#include "experiments/data/observation_file.h"

namespace levda::experiments {

inline constexpr const char* observations_format = "levda-observations-1";

/// Covariances as they stand in a file.
struct Correlations {
  static constexpr const char* full = "error_covariance";
  static constexpr const char* band = "error_band";

  const char* name = nullptr;  ///< one of these two; nullptr: errors are independent
  std::vector<double> elements;
  std::int64_t columns = 0;  ///< of each row
};

/// What a file says, not yet checked.
struct RawObservations {
  ObservationFile content;
  Correlations correlations;
};

/// One variable per column (read_observations). Throws InputError.
RawObservations read_plain_netcdf(const NetcdfReader& file, const std::string& source,
                                  const models::Description& about);

/// A file of IODA, version 3: groups MetaData, ObsValue, ObsError and PreQC over the dimension Location. The variables
/// of ObsValue that the surrogate has as channels are read; entries that are missing are left out, and those whose
/// PreQC is not 0 are not used. Throws InputError.
bool is_ioda(const NetcdfReader& file);
RawObservations read_ioda(const NetcdfReader& file, const std::string& source, const models::Description& about);

/// Converts the numbers of a NetCDF file to the surrogate's units. All throw InputError naming the variable.
class UnitReader {
 public:
  UnitReader(const NetcdfReader& file, std::string source, const models::Description& about)
      : file_(file), source_(std::move(source)), about_(about) {}

  /// Times, places or extents of a variable. axis: t, x or y. An extent has no offset.
  void convert(const std::string& variable, char axis, bool extent, std::vector<double>& values);
  /// Values and the deviations of their errors, each in the unit of its channel.
  void convert_values(const std::string& value, const std::string& error, da::Observations& o);
  /// Covariances must have the square of the channels' unit.
  void check_covariance(const std::string& variable, const std::string& value, const da::Observations& o);
  /// Says which units were not checked, as the data set never said its own, and what else was assumed.
  void finish() const;

 private:
  bool has_units(const std::string& variable) const { return file_.has_attribute(variable, "units"); }
  bool said(const char* what) const;
  void convert_times(const std::string& variable, const std::string& text, std::vector<double>& values);
  [[noreturn]] void refuse(const std::string& variable, const std::string& unit, const std::string& known) const;

  const NetcdfReader& file_;
  std::string source_;
  const models::Description& about_;
  std::vector<std::string> unchecked_;
};

}  // namespace levda::experiments
