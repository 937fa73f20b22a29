#pragma once

/// One run at a time in a folder.

#include <filesystem>

namespace levda::nn {

/// An exclusive lock on a folder: flock(2) on its file ".lock", which is not removed. The kernel releases the lock when
/// the process ends for any reason. Programs that the process starts do not hold it.
class FolderLock {
 public:
  /// Creates missing folders. Throws InputError when another process (or another lock of this one) holds the folder,
  /// and names that process; also when the folder cannot be created, written to or locked.
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace levda::nn
