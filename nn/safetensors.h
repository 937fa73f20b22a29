#pragma once

/// The safetensors format: named tensors with text metadata, as every Python framework reads and writes them.
/// Layout: 8 bytes little-endian header length, a JSON header, the tensors' bytes.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "autodiff/tensor.h"

namespace levda::nn {

/// Contents of a file. Tensors of types F32, F64 and I64, row-major.
struct TensorFile {
  std::map<std::string, std::string> metadata;
  std::map<std::string, autodiff::Tensor> tensors;
};

/// Throws InputError naming the file and the tensor or header field: no such file, not a safetensors file, truncated,
/// an unsupported type, sizes that contradict each other.
TensorFile read_safetensors(const std::filesystem::path& path);

/// Writes under a temporary name and renames, so that `path` is whole or as before. Throws InputError.
void write_safetensors(const std::filesystem::path& path, const TensorFile& file);

}  // namespace levda::nn
