#pragma once

/// A checksum that shows whether data are those that a result was made from, or those that were written.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace levda::models {

/// FNV-1a, 64 bits.
class Checksum {
 public:
  void add(std::string_view bytes);
  template <typename T>
  void add(std::span<const T> values) {
    add(std::string_view(reinterpret_cast<const char*>(values.data()), values.size_bytes()));
  }
  std::uint64_t value() const { return hash_; }
  std::string text() const;  ///< 16 digits

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325;
};

std::string checksum(std::string_view bytes);

}  // namespace levda::models
