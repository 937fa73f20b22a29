#pragma once

/// What a file is, in words.

#include <filesystem>
#include <string>

namespace levda::experiments {

/// Describes a data set, observations, an analysis, weights, a checkpoint, scores or results of this program: what it
/// holds, how it was made, what it can be used for; of other NetCDF and safetensors files, what is in them. Ends with a
/// newline. Throws InputError when the file cannot be read or is neither.
std::string describe_file(const std::filesystem::path& path);

}  // namespace levda::experiments
