#pragma once

/// Data sets of this program as safetensors, for builds and Python environments without NetCDF.

#include <filesystem>

#include "experiments/data/dataset.h"

namespace levda::experiments {

/// Tensors field (members, frames, c, ny, nx), parameters (members, p) and, where there are values between frames,
/// between_fraction, between_x, between_y and between_field, as in Dataset; the metadata `description` is JSON. For
/// gridded sets with constant parameters. Throws InputError.
void write_dataset_tensors(const std::filesystem::path& path, const Dataset& dataset);

/// Reads files of write_dataset_tensors. Throws InputError naming the file and the entry.
Dataset read_dataset_tensors(const std::filesystem::path& path);

/// The configuration that made the file.
std::string fingerprint_of_tensors(const std::filesystem::path& path);

}  // namespace levda::experiments
