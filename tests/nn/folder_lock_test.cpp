#include "nn/folder_lock.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "autodiff/error.h"
#include "nn/atomic_file.h"
#include "tests/nn/temporary_folder.h"

using namespace levda::nn;
using levda::InputError;
using levda::testing::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

std::string in_use(const fs::path& folder, int process) {
  return folder.string() + ": is in use by another run (process " + std::to_string(process) + ")";
}

}  // namespace

TEST_CASE("folder lock: one at a time, released at the end of its scope") {
  const TemporaryFolder folder;
  for (int round = 0; round < 2; ++round) {
    const FolderLock lock(folder.path());
    CHECK_THROWS_WITH_AS(FolderLock(folder.path()), in_use(folder.path(), getpid()).c_str(), InputError);
    CHECK_THROWS_AS(FolderLock(folder.path()), InputError);  // the one that failed left the lock alone
    const FolderLock other(folder / "other");                // another folder, made on the way
    CHECK(fs::is_directory(folder / "other"));
  }
  CHECK(folder.entries() == 2);  // "other" and one hidden file
  CHECK_NOTHROW(FolderLock(folder.path()));
}

TEST_CASE("folder lock: another process holds it until it dies, even if it is killed") {
  const TemporaryFolder folder;
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    try {
      const FolderLock lock(folder.path());
      if (write(ready[1], "x", 1) == 1) pause();
    } catch (...) {
    }
    _exit(1);
  }
  close(ready[1]);
  char byte = 0;
  const bool locked = read(ready[0], &byte, 1) == 1;
  close(ready[0]);
  std::string message;
  try {
    const FolderLock lock(folder.path());
  } catch (const InputError& error) {
    message = error.what();
  }
  kill(child, SIGKILL);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(locked);
  CHECK(message == in_use(folder.path(), child));
  CHECK(WIFSIGNALED(status));

  // The dead process's name is still in the file; it does not count, and is replaced.
  const FolderLock lock(folder.path());
  CHECK_THROWS_WITH_AS(FolderLock(folder.path()), in_use(folder.path(), getpid()).c_str(), InputError);
}

TEST_CASE("folder lock: a fork's end does not release it, a program that was started does not hold it") {
  const TemporaryFolder folder;
  auto lock = std::make_unique<FolderLock>(folder.path());
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    lock.reset();
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK_THROWS_AS(FolderLock(folder.path()), InputError);

  int started[2];
  REQUIRE(pipe2(started, O_CLOEXEC) == 0);
  const pid_t program = fork();
  REQUIRE(program >= 0);
  if (program == 0) {
    execlp("sleep", "sleep", "60", static_cast<char*>(nullptr));
    _exit(1);
  }
  close(started[1]);
  char byte = 0;
  CHECK(read(started[0], &byte, 1) == 0);  // the end: exec closed the other side
  close(started[0]);
  lock.reset();
  CHECK_NOTHROW(FolderLock(folder.path()));
  kill(program, SIGKILL);
  CHECK(waitpid(program, &status, 0) == program);
  CHECK(WIFSIGNALED(status));
}

TEST_CASE("folder lock: a path that is no folder") {
  const TemporaryFolder folder;
  write_text_file(folder / "file", "x");
  const std::string file = (folder / "file").string();
  CHECK_THROWS_WITH_AS(FolderLock{file}, (file + ": the folder cannot be made: Not a directory").c_str(), InputError);
  CHECK_THROWS_AS(FolderLock(file + "/sub"), InputError);
}
