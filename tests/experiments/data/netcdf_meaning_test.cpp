/// What numbers and names in NetCDF files mean, as CF and NUG define it, and files of the classic kinds.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netcdf.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <random>

#include "autodiff/error.h"
#include "experiments/data/netcdf_file.h"
#include "tests/nn/temporary_folder.h"

using namespace levda;
using namespace levda::experiments;
namespace fs = std::filesystem;

namespace {

int create(const fs::path& path, int mode) {
  int id = -1;
  REQUIRE(nc_create(path.c_str(), mode | NC_CLOBBER, &id) == NC_NOERR);
  return id;
}

/// A file of one variable "a" of shorts, with what `attributes` adds to it.
fs::path shorts(const fs::path& path, const std::vector<short>& values, const std::function<void(int, int)>& attributes,
                int mode = NC_NETCDF4) {
  const int id = create(path, mode);
  int x = 0;
  int a = 0;
  nc_def_dim(id, "x", values.size(), &x);
  nc_def_var(id, "a", NC_SHORT, 1, &x, &a);
  attributes(id, a);
  nc_enddef(id);
  nc_put_var_short(id, a, values.data());
  REQUIRE(nc_close(id) == NC_NOERR);
  return path;
}

void put(int id, int variable, const char* name, nc_type type, const std::vector<double>& values) {
  REQUIRE(nc_put_att_double(id, variable, name, type, values.size(), values.data()) == NC_NOERR);
}

/// Values as text; a missing one is "-".
std::string read(const fs::path& path) {
  std::string text;
  for (const double value : NetcdfReader(path).read_unpacked<double>("a"))
    text += (text.empty() ? "" : " ") + (std::isnan(value) ? std::string("-") : fmt::format("{:g}", value));
  return text;
}

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const InputError& error) {
    const std::string text = error.what();
    return text.substr(text.rfind('/') + 1);
  }
  return "no error";
}

void write_bytes(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A file with a fixed and two record variables, names and attributes.
fs::path write_classic(const fs::path& path, int mode) {
  const int id = create(path, mode);
  std::array<int, 2> dimensions{};
  int length = 0;
  nc_def_dim(id, "time", NC_UNLIMITED, dimensions.data());
  nc_def_dim(id, "x", 3, &dimensions[1]);
  nc_def_dim(id, "n", 5, &length);
  int a = 0;
  int b = 0;
  int name = 0;
  nc_def_var(id, "a", NC_DOUBLE, 2, dimensions.data(), &a);
  nc_def_var(id, "b", NC_SHORT, 1, dimensions.data(), &b);
  const std::array<int, 2> letters{dimensions[1], length};
  nc_def_var(id, "name", NC_CHAR, 2, letters.data(), &name);
  nc_put_att_text(id, a, "units", 2, "m");  // with a zero at its end, as in C
  nc_enddef(id);
  const std::vector<double> values{1, 2, 3, 4, 5, 6};
  const std::vector<short> shorter{7, 8};
  const std::array<std::size_t, 2> start{0, 0};
  const std::array<std::size_t, 2> count{2, 3};
  nc_put_vara_double(id, a, start.data(), count.data(), values.data());
  nc_put_vara_short(id, b, start.data(), count.data(), shorter.data());
  nc_put_var_text(id, name, "u    eta  v\0\0\0\0");
  REQUIRE(nc_close(id) == NC_NOERR);
  return path;
}

/// Reads everything, in a process of its own. Whether it ended as the program does, with 0 or with a refusal. HDF5 may
/// come to no end with a damaged file.
bool survives(const fs::path& path, bool hdf5) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(5);
    if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(1);
    try {
      const NetcdfReader file(path);
      for (const std::string& name : file.variables()) {
        if (file.holds_strings(name))
          file.read_strings(name);
        else
          file.read_unpacked<double>(name);
      }
    } catch (const InputError&) {
    }
    _exit(0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return hdf5 && WTERMSIG(status) == SIGALRM;
  return WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 2;
}

}  // namespace

TEST_CASE("NetCDF numbers: unsigned codes in a signed type, and the other way round") {
  const testing::TemporaryFolder folder;
  const fs::path path = folder.path() / "a.nc";
  const auto packed = [](const char* kind) {
    return [kind](int id, int a) {
      nc_put_att_text(id, a, "_Unsigned", std::string(kind).size(), kind);
      put(id, a, "_FillValue", NC_SHORT, {-1});
      put(id, a, "scale_factor", NC_DOUBLE, {0.5});
    };
  };
  CHECK(read(shorts(path, {0, 32767, -32768, -2, -1}, packed("true"))) == "0 16383.5 16384 32767 -");
  CHECK(read(shorts(path, {0, 32767, -32768, -2, -1}, packed("false"))) == "0 16383.5 -16384 -1 -");
  shorts(path, {0}, packed("yes"));
  CHECK(error_of([&] { read(path); }) == "a.nc: a:_Unsigned: \"yes\" is neither true nor false");
}

TEST_CASE("NetCDF numbers: what lies outside of the valid range, and each of several marks, is missing") {
  const testing::TemporaryFolder folder;
  const fs::path path = folder.path() / "a.nc";
  const auto with = [&](const std::vector<std::tuple<const char*, nc_type, std::vector<double>>>& attributes) {
    return shorts(path, {-3, 0, 5, 9, 100}, [&](int id, int a) {
      for (const auto& [name, type, values] : attributes) put(id, a, name, type, values);
    });
  };
  CHECK(read(with({{"valid_range", NC_SHORT, {0, 9}}})) == "- 0 5 9 -");
  CHECK(read(with({{"valid_min", NC_SHORT, {1}}})) == "- - 5 9 100");
  CHECK(read(with({{"valid_max", NC_SHORT, {8}}})) == "-3 0 5 - -");
  CHECK(read(with({{"missing_value", NC_SHORT, {-3, 9}}, {"_FillValue", NC_SHORT, {100}}})) == "- 0 5 - -");
  // Bounds are of the packed numbers if they are of their type.
  CHECK(read(with({{"valid_max", NC_SHORT, {8}}, {"scale_factor", NC_DOUBLE, {10}}})) == "-30 0 50 - -");
  const auto refusal = [&] { return error_of([&] { read(path); }); };
  with({{"valid_max", NC_DOUBLE, {8}}, {"scale_factor", NC_DOUBLE, {10}}});
  CHECK(refusal().starts_with("a.nc: a:valid_max: of another type than the packed numbers"));
  with({{"valid_range", NC_SHORT, {8}}});
  CHECK(refusal() == "a.nc: a:valid_range: 1 numbers, where 2 are needed");
  with({{"valid_range", NC_SHORT, {0, 8}}, {"valid_max", NC_SHORT, {8}}});
  CHECK(refusal() == "a.nc: a:valid_range: stands beside valid_min or valid_max");
  with({{"scale_factor", NC_DOUBLE, {0}}});
  CHECK(refusal() == "a.nc: a:scale_factor: 0 is no factor");
}

TEST_CASE("NetCDF numbers: whole numbers are whole") {
  const testing::TemporaryFolder folder;
  const fs::path path = folder.path() / "a.nc";
  shorts(path, {0, 6, -1}, [](int, int) {});
  CHECK(NetcdfReader(path).read_whole("a") == std::vector<std::int64_t>{0, 6, -1});
  shorts(path, {0, 3}, [](int id, int a) { put(id, a, "scale_factor", NC_DOUBLE, {0.5}); });
  CHECK(error_of([&] { NetcdfReader(path).read_whole("a"); }) == "a.nc: a: row 1: 1.5 is not a whole number");
  shorts(path, {0, 3}, [](int id, int a) { put(id, a, "_FillValue", NC_SHORT, {3}); });
  CHECK(error_of([&] { NetcdfReader(path).read_whole("a"); }) == "a.nc: a: row 1: nan is not a whole number");
}

TEST_CASE("NetCDF files: what nobody has read is named, but not what only describes") {
  const testing::TemporaryFolder folder;
  const fs::path path = shorts(folder.path() / "a.nc", {1}, [](int id, int a) {
    nc_put_att_text(id, a, "long_name", 1, "a");
    nc_put_att_text(id, a, "units", 1, "m");
    nc_put_att_text(id, NC_GLOBAL, "title", 1, "a");
    nc_put_att_text(id, NC_GLOBAL, "grid", 1, "a");
    int b = 0;
    nc_def_var(id, "b", NC_INT, 0, nullptr, &b);
  });
  const NetcdfReader file(path);
  CHECK(file.unread() == std::vector<std::string>{"a", "b", "grid"});
  file.read_unpacked<double>("a");
  CHECK(file.unread() == std::vector<std::string>{"b", "a:units", "grid"});
  file.text("a", "units");
  file.text("grid");
  CHECK(file.unread() == std::vector<std::string>{"b"});
}

TEST_CASE("NetCDF files of the classic kinds: read, and refused wherever they are cut") {
  const testing::TemporaryFolder folder;
  for (const int mode : {0, NC_64BIT_OFFSET, NC_64BIT_DATA}) {
    CAPTURE(mode);
    const fs::path path = write_classic(folder.path() / "whole.nc", mode);
    {
      const NetcdfReader file(path);
      CHECK(file.read<double>("a") == std::vector<double>{1, 2, 3, 4, 5, 6});
      CHECK(file.read<double>("b") == std::vector<double>{7, 8});
      CHECK(file.read_strings("name") == std::vector<std::string>{"u", "eta", "v"});
      CHECK(file.text("a", "units") == "m");
      CHECK(file.shape("a") == std::vector<std::int64_t>{2, 3});
    }
    const std::string bytes = bytes_of(path);
    // The last record of shorts is padded, which readers do without.
    for (std::size_t length = 3; length + 2 < bytes.size(); ++length) {
      CAPTURE(length);
      write_bytes(folder.path() / "cut.nc", bytes.substr(0, length));
      const std::string message = error_of([&] { const NetcdfReader file(folder.path() / "cut.nc"); });
      CHECK((message.find("truncated") != std::string::npos || message.find("not a NetCDF file") != std::string::npos));
    }
  }
}

TEST_CASE("NetCDF files: one that is locked is told from one that is damaged") {
  const testing::TemporaryFolder folder;
  const fs::path path = shorts(folder.path() / "a.nc", {1}, [](int, int) {});
  const int file = ::open(path.c_str(), O_RDWR);
  REQUIRE(::flock(file, LOCK_EX) == 0);
  CHECK(error_of([&] { const NetcdfReader reader(path); })
            .starts_with("a.nc: is locked by another program, which may be writing to it; "
                         "with HDF5_USE_FILE_LOCKING=FALSE"));
  ::close(file);
  CHECK(read(path) == "1");
}

// LEVDA_MUTATIONS in the environment: files of each kind.
TEST_CASE("NetCDF files with wrong bytes do not end or stop the program") {
  const testing::TemporaryFolder folder;
  const char* const count = std::getenv("LEVDA_MUTATIONS");
  const int files = count != nullptr ? std::atoi(count) : 60;
  std::mt19937 random(7);
  for (const int mode : {0, NC_64BIT_OFFSET, NC_64BIT_DATA, NC_NETCDF4}) {
    const std::string bytes = bytes_of(write_classic(folder.path() / "whole.nc", mode));
    for (int i = 0; i < files; ++i) {
      std::string wrong = bytes;
      for (int k = 0; k < 1 + i % 3; ++k) wrong[random() % wrong.size()] = static_cast<char>(random());
      if (i % 10 == 9) wrong.resize(random() % wrong.size());
      write_bytes(folder.path() / "wrong.nc", wrong);
      CAPTURE(mode);
      CAPTURE(i);
      CHECK(survives(folder.path() / "wrong.nc", mode == NC_NETCDF4));
    }
  }
}
