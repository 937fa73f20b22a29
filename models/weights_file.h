#pragma once

/// Files of weights, read with errors that name the file and the key or the tensor.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "models/grid.h"
#include "nn/layers.h"
#include "nn/safetensors.h"

namespace levda::models {

/// Metadata as text. `entries` must outlive it. All throw InputError.
class Metadata {
 public:
  Metadata(std::filesystem::path path, const std::map<std::string, std::string>& entries)
      : path_(std::move(path)), entries_(entries) {}

  bool has(const std::string& key) const { return entries_.find(key) != entries_.end(); }
  const std::string& text(const std::string& key) const;
  /// T: std::int64_t or double, which must be finite.
  template <typename T>
  T number(const std::string& key) const;
  /// In least .. most.
  std::int64_t whole(const std::string& key, std::int64_t least, std::int64_t most) const;
  /// In 1 .. most.
  std::int64_t positive(const std::string& key, std::int64_t most) const { return whole(key, 1, most); }
  /// Plane where the key is missing, as in older files.
  Geometry geometry(const std::string& key) const;
  /// residual_silu where the key is missing.
  nn::Hidden hidden(const std::string& key) const;
  /// 0 or 1; 0 where the key is missing.
  bool flag(const std::string& key) const { return has(key) && whole(key, 0, 1) == 1; }
  /// Parts between commas.
  std::vector<std::string> list(const std::string& key) const;

 private:
  std::filesystem::path path_;
  const std::map<std::string, std::string>& entries_;
};

/// The tensor of that name. Throws InputError when there is none, it has another shape or type, or holds a value that
/// is not finite.
autodiff::Tensor finite_tensor(const std::filesystem::path& path, const nn::TensorFile& file, const std::string& name,
                               const autodiff::Shape& shape, autodiff::DType dtype);

}  // namespace levda::models
