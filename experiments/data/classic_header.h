#pragma once

/// Headers of NetCDF files of the classic kinds: CDF-1, CDF-2 (64-bit offsets) and CDF-5.

#include <filesystem>
#include <string>

namespace levda::experiments {

/// What is wrong with the header of a classic file, or with the length of the file beside what its header says; empty
/// where nothing is. netCDF-C reads a truncated file as zeros, or crashes, so that this comes first. After the
/// specification of the formats (NetCDF User's Guide, appendix B).
std::string classic_fault(const std::filesystem::path& path);

}  // namespace levda::experiments
