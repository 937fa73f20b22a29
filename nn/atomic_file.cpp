#include "nn/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

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

}  // namespace

AtomicFile::AtomicFile(fs::path final_path) : final_(std::move(final_path)) {
  std::error_code error;
  if (fs::is_directory(final_, error)) fail(final_, "is a folder");
  const fs::path folder = final_.has_parent_path() ? final_.parent_path() : fs::path(".");
  for (fs::path part = folder; !part.empty(); part = part.parent_path()) {
    if (fs::exists(part, error) && !fs::is_directory(part, error))
      fail(final_, fmt::format("{} is a file, not a folder", part.string()));
    if (part == part.parent_path()) break;
  }
  fs::create_directories(folder, error);
  if (error) fail(final_, fmt::format("the folder {} cannot be made: {}", folder.string(), error.message()));
  // Creating the file claims the name against other processes too.
  for (int n = 0;; ++n) {
    temporary_ = folder / fmt::format(".{}{}{}-{}", final_.filename().string(), infix, getpid(), n);
    const int descriptor = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0) {
      close(descriptor);
      return;
    }
    if (errno != EEXIST) fail(final_, fmt::format("cannot be written: {}", std::strerror(errno)));
  }
}

AtomicFile::~AtomicFile() {
  std::error_code ignored;
  if (!committed_) fs::remove(temporary_, ignored);
}

void AtomicFile::commit() {
  if (!flush_to_disk(temporary_)) fail(final_, fmt::format("cannot be written: {}", std::strerror(errno)));
  std::error_code error;
  fs::rename(temporary_, final_, error);
  if (error) fail(final_, fmt::format("cannot be written: {}", error.message()));
  committed_ = true;
  // Flushes the rename. Some file systems cannot flush folders; the file is in place in any case.
  flush_to_disk(final_.has_parent_path() ? final_.parent_path() : fs::path("."));
}

void remove_unfinished(const fs::path& folder) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const std::size_t at = name.rfind(infix);
    if (!name.starts_with('.') || at == std::string::npos) continue;
    if (name.find_first_not_of("0123456789-", at + infix.size()) == std::string::npos)
      fs::remove(entry.path(), ignored);
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
