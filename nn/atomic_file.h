#pragma once

/// Files that appear complete or not at all.

#include <filesystem>
#include <string>
#include <string_view>

namespace levda::nn {

/// The file that a path means once its symbolic links are followed, also where it does not exist yet; the path itself
/// where it is no link. Throws InputError for links that lead in a circle.
std::filesystem::path link_target(const std::filesystem::path& path);

/// A file that is written under a temporary name in the folder of its final name. commit() flushes it to the disk and
/// renames it. Without commit() the destructor removes the temporary file, and an older file of the final name stays.
/// Where the final name is a symbolic link, the link stays and its target is written in this way.
class AtomicFile {
 public:
  /// Creates missing folders. Throws InputError when a part of the path is a regular file, the path is a folder, a
  /// device or a pipe, its links lead in a circle, or the folder cannot be made.
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
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  bool committed_ = false;
};

/// Removes the temporary files of all AtomicFiles of this process, whose writing then fails. Only for a process that
/// ends at once: other threads that make or commit one afterwards wait forever.
void abandon_files();

/// Removes temporary files that killed processes left in a folder, and beside the targets of its links. Call it only
/// while no other process writes there. Does nothing if the folder does not exist.
void remove_unfinished(const std::filesystem::path& folder);

/// Writes a text file through AtomicFile. Throws InputError.
void write_text_file(const std::filesystem::path& path, std::string_view text);

/// All bytes of a file. Throws InputError when the file does not exist, is a folder or cannot be read.
std::string read_text_file(const std::filesystem::path& path);

}  // namespace levda::nn
