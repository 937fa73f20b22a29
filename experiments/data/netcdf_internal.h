#pragma once

/// Helpers of netcdf_reader.cpp, netcdf_values.cpp and netcdf_writer.cpp.

#include <cstdint>
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
inline std::vector<std::size_t> unsigned_of(Extents extents) { return {extents.begin(), extents.end()}; }

}  // namespace levda::experiments::netcdf
