#pragma once

/// Files that appear whole or not at all.

#include <filesystem>
#include <string>
#include <string_view>

namespace levda::nn {

/// A file that is written under a temporary name beside its final one. commit() makes it durable and renames it;
/// without it the destructor removes what was written, and what stood under the final name stays.
class AtomicFile {
 public:
  /// Creates missing folders. Throws InputError when a part of the path is a regular file, the path is a folder, or the
  /// folder cannot be made.
  explicit AtomicFile(std::filesystem::path final_path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// The temporary name to write to.
  const std::filesystem::path& path() const { return temporary_; }
  /// fsync, rename, fsync of the folder. Throws InputError.
  void commit();

 private:
  std::filesystem::path final_;
  std::filesystem::path temporary_;
  bool committed_ = false;
};

/// Removes what killed processes left of such files in a folder; for where nobody else writes now. No such folder:
/// nothing.
void remove_unfinished(const std::filesystem::path& folder);

/// Throws InputError.
void write_text_file(const std::filesystem::path& path, std::string_view text);

/// All bytes of a file. Throws InputError: no such file, a folder, not readable.
std::string read_text_file(const std::filesystem::path& path);

}  // namespace levda::nn
