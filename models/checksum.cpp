#include "models/checksum.h"

#include <fmt/format.h>

namespace levda::models {

void Checksum::add(std::string_view bytes) {
  std::uint64_t hash = hash_;
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  hash_ = hash;
}

std::string Checksum::text() const { return fmt::format("{:016x}", hash_); }

std::string checksum(std::string_view bytes) {
  Checksum sum;
  sum.add(bytes);
  return sum.text();
}

}  // namespace levda::models
