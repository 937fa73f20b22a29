#pragma once

/// Data sets as files: our own, and those that someone else made of a system that this program does not know. NetCDF,
/// or where the name ends with .safetensors what dataset_tensors.h says.

#include <filesystem>

#include "experiments/data/dataset.h"

namespace levda::experiments {

/// Name of the data set in the folder of a run: data.nc, or data.safetensors in a build without NetCDF.
std::string dataset_name();

/// NetCDF-4 with CF attributes: field(member, time, channel, y, x), parameters(member, parameter), the values between
/// frames, and a checksum of each member's values. For gridded sets. Throws InputError.
void write_dataset(const std::filesystem::path& path, const Dataset& dataset);

/// A large set: files with the values of some members each, laid out as a whole set, and an index, which is laid out so
/// too but names these files instead of holding values. An index stands for a set that is complete.
struct Shard {
  std::string name;  ///< relative to the index's folder
  std::int64_t members = 0;
};

/// Members from number `first` on. Throws InputError, as all of these.
void write_shard(const std::filesystem::path& path, const Dataset& part, std::int64_t first);
/// The values of a shard, whose checksums are compared. Throws InputError also when it is damaged or not one of the set
/// that is outlined with these members.
Dataset read_shard(const std::filesystem::path& path, const Dataset& outline, std::int64_t first, std::int64_t members);
/// outline: without values.
void write_index(const std::filesystem::path& path, const Dataset& outline, const std::vector<Shard>& shards);

/// Members of a set in shards whose fields a reading keeps in memory.
enum class Keep : std::uint8_t { none, tests, all };

/// Reads our own files and others' with this much in them (experiments/README.md has the layout):
///   field(member, time, channel, y, x), or of a list of points (member, time, channel, point), packed or with missing
///   values as CF has them; parameters(member, parameter) or (member, time, parameter); time, x and y.
/// What else a file of ours says may be left out: names are then numbers, units "1", the prior range the one that the
/// parameters have, and the last members are kept for validation and tests, 15% each. An axis that decreases is turned
/// round; one that is not even makes a list of points.
/// Throws InputError naming the file (of a set in shards, the shard) and the variable: missing, wrong shapes, values
/// that are not finite or not those that were written, parameters outside their prior range.
/// With a pool of so many points per frame, of the training trajectories only these are kept, drawn by the seed; where
/// a frame has no more nodes than that, all are. Of a set in shards `keep` says whose fields stay in memory, where
/// there is no pool; all are read once, and checked. A shard is in memory at a time.
Dataset read_dataset(const std::filesystem::path& path, std::int64_t pool = 0, std::int64_t seed = 0,
                     Keep keep = Keep::all);

/// The configuration that made the file, or "" where there is no such file or it does not say.
std::string fingerprint_of(const std::filesystem::path& path);

}  // namespace levda::experiments
