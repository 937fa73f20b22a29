#pragma once

/// Describes files in words.

#include <filesystem>
#include <string>

namespace levda::experiments {

/// Describes a data set, observations, an analysis, weights, a checkpoint, scores or results of this program: contents,
/// origin and use. Lists the contents of other NetCDF and safetensors files. The text ends with a newline. Throws
/// InputError when the file cannot be read or has another format.
std::string describe_file(const std::filesystem::path& path);

}  // namespace levda::experiments
