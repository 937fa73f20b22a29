#pragma once

/// Files of scores of one truth, from which a run or a study goes on.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/twin/scorer.h"

namespace levda::experiments {

/// One JSON object, whole or not at all. Throws InputError.
void write_truth_scores(const std::filesystem::path& path, const TruthScores& scores, const std::string& fingerprint);

/// nullopt where there is no such file, another configuration made it, or it is damaged or lacks scores of some of the
/// methods, which is said on stderr. Throws InputError for a file that is not one of levda.
std::optional<TruthScores> read_truth_scores(const std::filesystem::path& path, const std::string& fingerprint,
                                             const std::vector<std::string>& methods = {"floor", "free", "climatology",
                                                                                        "lookup", "levda"});

}  // namespace levda::experiments
