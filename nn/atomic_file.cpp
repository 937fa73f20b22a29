#include "nn/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <mutex>
#include <set>

#include "autodiff/error.h"

namespace levda::nn {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view infix = ".tmp-";  // in temporary names, before the number of the process

[[noreturn]] void fail(const fs::path& path, const std::string& message) {
  throw InputError(path.string(), "", message);
}

/// False when the path cannot be opened or flushed to the disk.
bool flush_to_disk(const fs::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool flushed = fsync(descriptor) == 0;
  return close(descriptor) == 0 && flushed;
}

fs::path folder_of(const fs::path& file) { return file.has_parent_path() ? file.parent_path() : fs::path("."); }

/// Temporary files of this process that are neither committed nor removed.
struct Unfinished {
  std::mutex mutex;
  std::set<fs::path> files;
};
Unfinished& unfinished() {
  static auto* const all = new Unfinished;  // never destroyed: a thread may still write when the process ends
  return *all;
}

/// Whether a file is a temporary one, of the final name where one is given.
bool is_temporary(const std::string& file, const std::string& final_name = "") {
  const std::size_t at = file.rfind(infix);
  return file.starts_with('.' + final_name) && at != std::string::npos &&
         (final_name.empty() || at == 1 + final_name.size()) &&
         file.find_first_not_of("0123456789-", at + infix.size()) == std::string::npos;
}

}  // namespace

fs::path link_target(const fs::path& path) {
  constexpr int longest = 40;  // links in a chain, as in Linux
  std::error_code error;
  fs::path target = path;
  for (int links = 0; fs::is_symlink(fs::symlink_status(target, error)); ++links) {
    if (links == longest) fail(path, "is a symbolic link that leads in a circle");
    const fs::path next = fs::read_symlink(target, error);
    if (error) fail(path, fmt::format("the symbolic link cannot be read: {}", error.message()));
    target = next.is_absolute() ? next : folder_of(target) / next;
  }
  return target;
}

AtomicFile::AtomicFile(fs::path final_path) : final_(std::move(final_path)), target_(link_target(final_)) {
  std::error_code error;
  if (fs::is_directory(target_, error)) fail(final_, "is a folder");
  // A rename would put a file in the place of /dev/null.
  if (fs::is_other(target_, error)) fail(final_, fmt::format("{} is not a regular file", target_.string()));
  const fs::path folder = link_target(folder_of(target_));
  for (fs::path part = folder; !part.empty(); part = part.parent_path()) {
    if (fs::exists(part, error) && !fs::is_directory(part, error))
      fail(final_, fmt::format("{} is a file, not a folder", part.string()));
    if (part == part.parent_path()) break;
  }
  fs::create_directories(folder, error);
  if (error) fail(final_, fmt::format("the folder {} cannot be made: {}", folder.string(), error.message()));
  // Creating the file claims the name against other processes too.
  for (int n = 0;; ++n) {
    temporary_ = folder / fmt::format(".{}{}{}-{}", target_.filename().string(), infix, getpid(), n);
    const std::lock_guard lock(unfinished().mutex);
    const int descriptor = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0) {
      close(descriptor);
      unfinished().files.insert(temporary_);
      return;
    }
    if (errno != EEXIST) fail(final_, fmt::format("cannot be written: {}", std::strerror(errno)));
  }
}

AtomicFile::~AtomicFile() {
  if (committed_) return;
  std::error_code ignored;
  const std::lock_guard lock(unfinished().mutex);
  fs::remove(temporary_, ignored);
  unfinished().files.erase(temporary_);
}

void AtomicFile::commit() {
  if (!flush_to_disk(temporary_)) fail(final_, fmt::format("cannot be written: {}", std::strerror(errno)));
  std::error_code error;
  {
    const std::lock_guard lock(unfinished().mutex);
    fs::rename(temporary_, target_, error);
    if (error) fail(final_, fmt::format("cannot be written: {}", error.message()));
    unfinished().files.erase(temporary_);
  }
  committed_ = true;
  // Flushes the rename. Some file systems cannot flush folders; the file is in place in any case.
  flush_to_disk(folder_of(target_));
}

void abandon_files() {
  unfinished().mutex.lock();  // for good
  std::error_code ignored;
  for (const fs::path& file : unfinished().files) fs::remove(file, ignored);
}

void remove_unfinished(const fs::path& folder) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (is_temporary(entry.path().filename().string())) fs::remove(entry.path(), ignored);
    std::error_code broken;  // for links in a circle
    if (!entry.is_symlink(ignored) || fs::is_directory(fs::status(entry.path(), broken)) || broken.value() == ELOOP)
      continue;
    const fs::path target = link_target(entry.path());
    for (const auto& beside : fs::directory_iterator(folder_of(target), ignored))
      if (is_temporary(beside.path().filename().string(), target.filename().string()))
        fs::remove(beside.path(), ignored);
  }
}

void write_text_file(const fs::path& path, std::string_view text) {
  AtomicFile file(path);
  std::ofstream out(file.path(), std::ios::binary);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  out.close();
  if (!out) fail(path, fmt::format("cannot be written: {}", std::strerror(errno)));
  file.commit();
}

std::string read_text_file(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) fail(path, "no such file");
  if (fs::is_directory(path, error)) fail(path, "is a folder, not a file");
  std::ifstream in(path, std::ios::binary);
  if (!in) fail(path, fmt::format("cannot be read: {}", std::strerror(errno)));
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (in.bad()) fail(path, fmt::format("cannot be read: {}", std::strerror(errno)));
  return text;
}

}  // namespace levda::nn
