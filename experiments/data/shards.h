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

/// Makes the data set of a configuration at `path`. A set of more than config.shard_megabytes is an index at `path` and
/// shards in a folder beside it that has the index's name without its extension. The index is written last; until then
/// `path` does not exist or belongs to the same set. Existing shards of this configuration are kept if undamaged.
/// Prints the size of the set, the remaining time once the first shards are done, and the error of interpolation
/// between its trajectories. A build without NetCDF makes one file, in memory.
///
/// Throws Interrupted when `stop` returns true, after the shards in work are written; InputError, also where the set
/// does not fit on the disk.
void generate_files(const Config& config, const std::filesystem::path& path, const GenerateOptions& options);

}  // namespace levda::experiments
