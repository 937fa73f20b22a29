#pragma once

/// Helpers of netcdf_reader.cpp, netcdf_values.cpp and netcdf_writer.cpp.

#include <csignal>

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace levda::experiments::netcdf {

using Extents = std::span<const std::int64_t>;

/// netCDF's status in plain words, one line.
std::string describe(int status);
/// "(2, 3)".
std::string describe(Extents shape);
/// Finds the shape of a variable. Returns netCDF's status.
int inquire_shape(int id, int variable, std::vector<std::int64_t>& shape);
/// Empty if the block lies inside the shape, else the complaint.
std::string outside(Extents shape, Extents start, Extents count);
/// Number of values in a block, at most `limit` + 1.
std::int64_t values_in(Extents count, std::int64_t limit);
/// Whether a netCDF type holds numbers.
bool is_number(int type);

/// While one lives, a crash in netCDF-C or HDF5, which happens for some damaged files, ends the program like any other
/// damaged file: with one line that names the file, and exit code 2. One at a time, around calls of these libraries.
class CrashGuard {
 public:
  explicit CrashGuard(const std::filesystem::path& path);
  ~CrashGuard();
  CrashGuard(const CrashGuard&) = delete;
  CrashGuard& operator=(const CrashGuard&) = delete;

 private:
  static constexpr std::array signals{SIGSEGV, SIGBUS, SIGFPE, SIGABRT};
  std::array<struct sigaction, signals.size()> before_{};
};

inline std::vector<std::size_t> unsigned_of(Extents extents) { return {extents.begin(), extents.end()}; }

}  // namespace levda::experiments::netcdf
