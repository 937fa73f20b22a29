#pragma once

/// The safetensors format, which every Python framework reads and writes: named tensors with text metadata.
/// Layout: 8 bytes little-endian header length, a JSON header, the tensors' bytes.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "autodiff/tensor.h"

namespace levda::nn {

/// The contents of a file. Tensors are row-major and of types F32, F64 or I64.
struct TensorFile {
  std::map<std::string, std::string> metadata;
  std::map<std::string, autodiff::Tensor> tensors;
};

/// Reads a file. Throws InputError that names the file and the tensor or header field when the file does not exist, is
/// not a safetensors file, is truncated, has an unsupported type or has sizes that contradict each other.
TensorFile read_safetensors(const std::filesystem::path& path);

/// Writes a file through AtomicFile, so that `path` is complete or unchanged. Throws InputError.
void write_safetensors(const std::filesystem::path& path, const TensorFile& file);

}  // namespace levda::nn
