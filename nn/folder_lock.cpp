#include "nn/folder_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>

#include "autodiff/error.h"
#include "nn/atomic_file.h"

namespace levda::nn {

namespace fs = std::filesystem;

namespace {

/// The process that the file of a lock names; 0 if its owner has not written it yet.
int owner(int descriptor) {
  char text[16];
  const ssize_t size = pread(descriptor, text, sizeof(text), 0);
  int process = 0;
  if (size > 0) std::from_chars(text, text + size, process);
  return process;
}

}  // namespace

FolderLock::FolderLock(const fs::path& folder) {
  const auto fail = [&](const std::string& message) { throw InputError(folder.string(), "", message); };
  std::error_code error;
  fs::create_directories(link_target(folder), error);
  if (error) fail(fmt::format("the folder cannot be made: {}", error.message()));
  // Read and write, because NFS needs both for an exclusive lock.
  descriptor_ = open((folder / ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(fmt::format("cannot be written to: {}", std::strerror(errno)));
  if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    const int process = owner(descriptor_);
    close(descriptor_);
    if (reason != EWOULDBLOCK) fail(fmt::format("cannot be locked: {}", std::strerror(reason)));
    fail("is in use by another run" + (process > 0 ? fmt::format(" (process {})", process) : ""));
  }
  // Only for the messages of other processes.
  const std::string process = fmt::format("{}\n", getpid());
  if (ftruncate(descriptor_, 0) != 0 || pwrite(descriptor_, process.data(), process.size(), 0) < 0) {
    const int reason = errno;
    close(descriptor_);
    fail(fmt::format("cannot be written to: {}", std::strerror(reason)));
  }
}

// Closing is enough. An explicit unlock in a forked child would also release the lock of its parent.
FolderLock::~FolderLock() { close(descriptor_); }

}  // namespace levda::nn
