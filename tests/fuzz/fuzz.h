#pragma once

/// What the fuzz targets share.

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "autodiff/error.h"

namespace levda::testing {

/// A file in memory, for readers that want a path.
class InputFile {
 public:
  InputFile(const std::uint8_t* data, std::size_t size) : descriptor_(memfd_create("input", 0)) {
    if (descriptor_ < 0 || write(descriptor_, data, size) != static_cast<ssize_t>(size)) std::abort();
    path_ = "/proc/self/fd/" + std::to_string(descriptor_);
  }
  ~InputFile() { close(descriptor_); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  int descriptor_;
  std::string path_;
};

/// A refusal must be one line that begins with what it is about.
inline void check_refusal(const std::string& beginning, const Error& error) {
  const std::string_view message = error.what();
  bool good = message.starts_with(beginning) && message.size() < 1000;
  for (const char c : message) good = good && static_cast<unsigned char>(c) >= ' ' && c != 0x7f;
  if (good) return;
  std::fprintf(stderr, "not one line that begins with \"%s\": %s\n", beginning.c_str(), error.what());
  std::abort();
}

/// Where seeds go that a target makes itself: the first folder of libFuzzer's command line.
inline std::filesystem::path seed_folder(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (std::filesystem::is_directory(argv[i])) return argv[i];
  return {};
}

}  // namespace levda::testing
