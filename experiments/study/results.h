#pragma once

/// results.json of every study, schema 2.

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/study/sweep.h"

namespace levda::experiments {

/// kind: run or comparison. Throws InputError, like the other one.
void write_results(const std::filesystem::path& path, const std::string& kind, const Config& config,
                   const models::Surrogate& surrogate, const std::vector<Summary>& summaries);

/// kind sweep: for each value the results of a comparison, and the exponents of each method.
void write_results(const std::filesystem::path& path, const Config& config, const models::Surrogate& surrogate,
                   const SweepResult& result);

}  // namespace levda::experiments
