#pragma once

/// Data sets as files: our own, and those that someone else made of a system that this program does not know. NetCDF,
/// or where the name ends with .safetensors what dataset_tensors.h says.

#include <filesystem>

#include "experiments/dataset.h"

namespace levda::experiments {

/// Name of the data set in the folder of a run: data.nc, or data.safetensors in a build without NetCDF.
std::string dataset_name();

/// NetCDF-4 with CF attributes: field(member, time, channel, y, x), parameters(member, parameter), and the values
/// between frames. For gridded sets. Throws InputError.
void write_dataset(const std::filesystem::path& path, const Dataset& dataset);

/// Reads our own files and others' with this much in them (experiments/README.md has the layout):
///   field(member, time, channel, y, x), or of a list of points (member, time, channel, point), packed or with missing
///   values as CF has them; parameters(member, parameter) or (member, time, parameter); time, x and y.
/// What else a file of ours says may be left out: names are then numbers, units "1", the prior range the one that the
/// parameters have, and the last members are kept for validation and tests, 15% each. An axis that decreases is turned
/// round; one that is not even makes a list of points.
/// Throws InputError naming the file and the variable: missing, wrong shapes, values that are not finite, parameters
/// outside their prior range.
Dataset read_dataset(const std::filesystem::path& path);

/// The configuration that made the file, or "" where there is no such file or it does not say.
std::string fingerprint_of(const std::filesystem::path& path);

}  // namespace levda::experiments
