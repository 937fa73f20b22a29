#pragma once

/// Data sets as files: those of this program, and those of other systems made by others. The format is NetCDF, or that
/// of dataset_tensors.h where the name ends with .safetensors.

#include <filesystem>

#include "experiments/data/dataset.h"

namespace levda::experiments {

/// Name of the data set in the folder of a run: data.nc, or data.safetensors in a build without NetCDF.
std::string dataset_name();

/// NetCDF-4 with CF attributes: field(member, time, channel, y, x), parameters(member, parameter), the values between
/// frames, and a checksum of each member's values. For gridded sets. Throws InputError.
void write_dataset(const std::filesystem::path& path, const Dataset& dataset);

/// A large set is stored in shards, files with the values of some members each, and an index that names the shards. All
/// are laid out like a whole set. An index is written when the set is complete.
struct Shard {
  std::string name;  ///< relative to the index's folder
  std::int64_t members = 0;
};

/// Writes members from number `first` on. Throws InputError, as all functions here.
void write_shard(const std::filesystem::path& path, const Dataset& part, std::int64_t first);
/// The values of a shard, whose checksums are compared. Throws InputError also when it is damaged or not one of the set
/// that is outlined with these members.
Dataset read_shard(const std::filesystem::path& path, const Dataset& outline, std::int64_t first, std::int64_t members);
/// outline: without values.
void write_index(const std::filesystem::path& path, const Dataset& outline, const std::vector<Shard>& shards);

/// Members of a set in shards whose fields stay in memory.
enum class Keep : std::uint8_t { none, tests, all };

/// Reads files of this program, and files of others with at least this content (experiments/FORMATS.md has the layout):
///   field(member, time, channel, y, x), or of a list of points (member, time, channel, point), packed or with missing
///   values as CF has them; parameters(member, parameter) or (member, time, parameter); time, x and y.
/// Everything else may be left out; models::make_dataset has the defaults. An axis that decreases is reversed; an axis
/// that is not evenly spaced makes a list of points.
/// Throws InputError naming the file (of a set in shards, the shard) and the variable: missing, wrong shapes, values
/// that are not finite or not those that were written, parameters outside their prior range.
/// With pool > 0 only `pool` random nodes of each frame of the training trajectories are kept, drawn from the seed; all
/// are kept where a frame has no more nodes. Without a pool, `keep` says which fields of a set in shards stay in
/// memory. All are read once and checked, one shard at a time.
Dataset read_dataset(const std::filesystem::path& path, std::int64_t pool = 0, std::int64_t seed = 0,
                     Keep keep = Keep::all);

/// The configuration that made the file; "" where there is no file or the file does not have it.
std::string fingerprint_of(const std::filesystem::path& path);

}  // namespace levda::experiments
