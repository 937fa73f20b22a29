#include "nn/atomic_file.h"

#include <doctest/doctest.h>

#include <fstream>

#include "autodiff/error.h"
#include "tests/nn/temporary_folder.h"

using namespace levda::nn;
using levda::InputError;
using levda::testing::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

void write_plainly(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

}  // namespace

TEST_CASE("atomic file: nothing under the final name before commit, all of it after") {
  const TemporaryFolder folder;
  const fs::path target = folder / "new.txt";
  {
    AtomicFile file(target);
    write_plainly(file.path(), "contents");
    CHECK(file.path().parent_path() == folder.path());  // a rename stays on one file system
    CHECK_FALSE(fs::exists(target));
    file.commit();
    CHECK_FALSE(fs::exists(file.path()));
  }
  CHECK(read_text_file(target) == "contents");
  CHECK(folder.entries() == 1);
}

TEST_CASE("atomic file: without commit the old file stays and nothing is left behind") {
  const TemporaryFolder folder;
  const fs::path target = folder / "old.txt";
  write_plainly(target, "old");
  {
    AtomicFile file(target);
    write_plainly(file.path(), "half of the n");
  }
  CHECK(read_text_file(target) == "old");
  CHECK(folder.entries() == 1);
  try {
    AtomicFile file(target);
    write_plainly(file.path(), "half");
    throw levda::Error("stopped");
  } catch (const levda::Error&) {
  }
  CHECK(read_text_file(target) == "old");
  CHECK(folder.entries() == 1);

  AtomicFile file(target);
  write_plainly(file.path(), "new");
  file.commit();
  CHECK(read_text_file(target) == "new");
}

TEST_CASE("atomic file: two writers of one name do not meet; the last commit stays") {
  const TemporaryFolder folder;
  const fs::path target = folder / "shared.txt";
  AtomicFile first(target);
  AtomicFile second(target);
  CHECK(first.path() != second.path());
  write_plainly(first.path(), "first");
  write_plainly(second.path(), "second");
  second.commit();
  first.commit();
  CHECK(read_text_file(target) == "first");
  CHECK(folder.entries() == 1);
}

TEST_CASE("atomic file: what a killed process left is removed, and nothing else") {
  const TemporaryFolder folder;
  {
    const AtomicFile file(folder / "data.nc");
    write_plainly(file.path().string() + "1", "half of th");  // as of a process that did not come to its end
    for (const char* name : {"data.nc", ".hidden", ".notes.tmp-of-mine", "x.tmp-1-0"}) write_plainly(folder / name, "");
  }
  CHECK(folder.entries() == 5);
  remove_unfinished(folder.path());
  CHECK(folder.entries() == 4);
  for (const char* name : {"data.nc", ".hidden", ".notes.tmp-of-mine", "x.tmp-1-0"}) CHECK(fs::exists(folder / name));
  CHECK_NOTHROW(remove_unfinished(folder / "none"));
}

TEST_CASE("atomic file: missing folders are made, readable for others") {
  const TemporaryFolder folder;
  const fs::path target = folder / "a" / "b" / "c.txt";
  write_text_file(target, std::string("two\nlines\0and a zero", 20));
  CHECK(read_text_file(target) == std::string("two\nlines\0and a zero", 20));
  CHECK((fs::status(target).permissions() & fs::perms::others_read) != fs::perms::none);
  write_text_file(target, "");
  CHECK(read_text_file(target).empty());
}

TEST_CASE("atomic file: a name without a folder is in the current one") {
  const TemporaryFolder folder;
  const fs::path back = fs::current_path();
  fs::current_path(folder.path());
  write_text_file("here.txt", "x");
  fs::current_path(back);
  CHECK(read_text_file(folder / "here.txt") == "x");
}

TEST_CASE("atomic file: errors name the file and what is wrong") {
  const TemporaryFolder folder;
  const fs::path file = folder / "file";
  write_plainly(file, "x");
  const std::string under = (file / "sub" / "name").string();
  CHECK_THROWS_WITH_AS(AtomicFile{under}, (under + ": " + file.string() + " is a file, not a folder").c_str(),
                       InputError);
  CHECK_THROWS_WITH_AS(write_text_file(folder.path(), "x"), (folder.path().string() + ": is a folder").c_str(),
                       InputError);
  CHECK(read_text_file(file) == "x");
  CHECK(folder.entries() == 1);

  const std::string missing = (folder / "missing").string();
  CHECK_THROWS_WITH_AS(read_text_file(missing), (missing + ": no such file").c_str(), InputError);
  CHECK_THROWS_WITH_AS(read_text_file(folder.path()), (folder.path().string() + ": is a folder, not a file").c_str(),
                       InputError);

  // The target turns into a folder while the file is being written.
  AtomicFile late(folder / "late");
  fs::create_directories(folder / "late" / "full");
  CHECK_THROWS_AS(late.commit(), InputError);
}

TEST_CASE("atomic file: a link stays, its target is written; chains, links to nothing and to other folders") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "out");
  fs::create_directories(folder / "big");
  write_plainly(folder / "big" / "old", "old");
  fs::create_symlink("../big/old", folder / "out" / "there");
  fs::create_symlink("../big/none", folder / "out" / "dangling");
  fs::create_symlink(folder / "big" / "made" / "none", folder / "out" / "folderless");
  fs::create_symlink("there", folder / "out" / "second");
  fs::create_symlink("second", folder / "out" / "third");
  fs::create_symlink("big", folder / "linked");           // a folder
  fs::create_symlink("new-folder", folder / "dangling");  // a folder that is not there yet
  const auto check = [&](const fs::path& path, const fs::path& target) {
    CAPTURE(path.string());
    const bool link = fs::is_symlink(path);
    write_text_file(path, path.string());
    CHECK(fs::is_symlink(path) == link);
    CHECK(fs::is_regular_file(fs::symlink_status(target)));
    CHECK(read_text_file(target) == path.string());
  };
  check(folder / "out" / "there", folder / "big" / "old");
  check(folder / "out" / "third", folder / "big" / "old");
  check(folder / "out" / "dangling", folder / "big" / "none");
  check(folder / "out" / "folderless", folder / "big" / "made" / "none");
  check(folder / "linked" / "x", folder / "big" / "x");
  check(folder / "dangling" / "x", folder / "new-folder" / "x");
  CHECK(fs::is_symlink(folder / "dangling"));
  CHECK(fs::is_symlink(folder / "out" / "second"));

  // Atomic: the temporary file lies beside the target, and without commit the old contents stay.
  {
    AtomicFile file(folder / "out" / "third");
    CHECK(fs::equivalent(file.path().parent_path(), folder / "big"));
    write_plainly(file.path(), "half");
  }
  CHECK(read_text_file(folder / "big" / "old") == (folder / "out" / "third").string());
  // What a killed process left beside a target is removed, and what is another file's stays.
  const fs::path left = folder / "big" / ".old.tmp-12-0";
  const fs::path foreign = folder / "big" / ".other.tmp-12-0";
  write_plainly(left, "");
  write_plainly(foreign, "");
  fs::create_symlink("circle", folder / "out" / "circle");
  remove_unfinished(folder / "out");
  CHECK_FALSE(fs::exists(left));
  CHECK(fs::exists(foreign));
}

TEST_CASE("atomic file: links in a circle, to folders and to devices are refused in one line and stay") {
  const TemporaryFolder folder;
  fs::create_symlink("b", folder / "a");
  fs::create_symlink("a", folder / "b");
  fs::create_symlink("/dev/null", folder / "device");
  fs::create_symlink(".", folder / "here");
  const auto refused = [&](const std::string& name, const std::string& why) {
    const std::string path = (folder / name).string();
    CHECK_THROWS_WITH_AS(write_text_file(path, "x"), (path + ": " + why).c_str(), InputError);
    CHECK(fs::is_symlink(path));
  };
  refused("a", "is a symbolic link that leads in a circle");
  refused("device", "/dev/null is not a regular file");
  refused("here", "is a folder");
  CHECK(fs::is_character_file("/dev/null"));
}
