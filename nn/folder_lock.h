#pragma once

/// One run at a time in a folder.

#include <filesystem>

namespace levda::nn {

/// An exclusive lock on a folder: flock(2) on its file ".lock", which stays. The kernel drops it when the process
/// dies, however it dies; it does not pass to programs that the process starts.
class FolderLock {
 public:
  /// Creates missing folders. Throws InputError when another run (or another lock of this one) holds the folder, naming
  /// its process, and when the folder cannot be made, written to or locked.
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace levda::nn
