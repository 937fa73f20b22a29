#pragma once

/// The stage `generate`: a data set of any size, in bounded memory.

#include <cstdio>
#include <filesystem>
#include <functional>

#include "experiments/config/config.h"

namespace levda::experiments {

struct GenerateOptions {
  int threads = 1;
  std::FILE* progress = nullptr;
  std::function<bool()> stop = {};  ///< asked between shards: whether to leave; may be empty
};

/// Makes the data set of a configuration at `path`. One of more than config.shard_megabytes is an index there and
/// shards in a folder beside it that has the index's name without its extension. The index comes last; until then
/// `path` does not exist, or is of the same set. Shards that are there, of this configuration and undamaged, are kept.
/// Prints what the set takes, how long it will take once the first shards are done, and the error of interpolation
/// between its trajectories. A build without NetCDF makes one file, in memory.
///
/// Throws Interrupted when told to stop, after the shards in work, and InputError: also where the set will not fit on
/// the disk.
void generate_files(const Config& config, const std::filesystem::path& path, const GenerateOptions& options);

}  // namespace levda::experiments
