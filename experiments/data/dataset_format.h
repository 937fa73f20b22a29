#pragma once

/// Names in the NetCDF files of data sets.

#include <array>
#include <filesystem>

namespace levda::experiments {

inline constexpr const char* dataset_format = "levda-dataset-1";
inline constexpr const char* shard_format = "levda-shard-1";
inline constexpr const char* fingerprint_name = "levda_configuration";
inline constexpr const char* geometry_name = "geometry";
inline constexpr const char* first_member_name = "first_member";
inline constexpr const char* checksum_name = "checksum";
inline constexpr std::array interpolation_names{"leave_one_out", "leave_one_out_first_frame",
                                                "leave_one_out_last_frame"};
inline constexpr const char* shards_name = "shard";
inline constexpr const char* shard_members_name = "shard_members";

inline bool holds_tensors(const std::filesystem::path& path) { return path.extension() == ".safetensors"; }

}  // namespace levda::experiments
