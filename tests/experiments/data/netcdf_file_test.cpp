/// NetCDF files: what is written comes back, whole or not at all, and every bad file is one clear line.

#include "experiments/data/netcdf_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netcdf.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <functional>
#include <limits>
#include <string>

#include "autodiff/error.h"

using namespace levda;
using namespace levda::experiments;
namespace fs = std::filesystem;

namespace {

using Extents = std::vector<std::int64_t>;

/// A folder that goes away with its files.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "levda-netcdf-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  fs::path operator/(const std::string& name) const { return path_ / name; }
  std::ptrdiff_t files() const { return std::distance(fs::directory_iterator(path_), fs::directory_iterator()); }

 private:
  fs::path path_;
};

/// What arrives on stderr while it lives, also from C libraries.
class CapturedStderr {
 public:
  CapturedStderr() : saved_(dup(STDERR_FILENO)), file_(std::tmpfile()) {
    REQUIRE(file_ != nullptr);
    dup2(fileno(file_), STDERR_FILENO);
  }
  ~CapturedStderr() {
    dup2(saved_, STDERR_FILENO);
    close(saved_);
    std::fclose(file_);
  }
  CapturedStderr(const CapturedStderr&) = delete;
  CapturedStderr& operator=(const CapturedStderr&) = delete;

  std::string text() const {
    std::fflush(stderr);
    std::string text(static_cast<std::size_t>(lseek(fileno(file_), 0, SEEK_END)), '\0');
    const ssize_t length = pread(fileno(file_), text.data(), text.size(), 0);
    return text.substr(0, length > 0 ? static_cast<std::size_t>(length) : 0);
  }

 private:
  int saved_;
  std::FILE* file_;
};

/// Writes beyond `bytes` of a file fail, as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &saved_);
    const rlimit limit{.rlim_cur = bytes, .rlim_max = saved_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &saved_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  void (*handler_)(int);
  rlimit saved_{};
};

/// The message without the file's name, or "no error".
std::string error_of(const fs::path& path, const std::function<void()>& action) {
  try {
    action();
  } catch (const InputError& error) {
    const std::string what = error.what();
    const std::string prefix = path.string() + ": ";
    CHECK(what.starts_with(prefix));
    CHECK(what.find('\n') == std::string::npos);
    return what.substr(prefix.size());
  }
  return "no error";
}

/// A variable of each type, values that other types can hold, and attributes.
void write_example(const fs::path& path) {
  NetcdfWriter file(path);
  file.attribute("title", "example");
  file.attribute("empty", "");
  file.attribute("count", std::int64_t{1} << 40);
  file.attribute("step", 0.1);
  file.attribute("range", std::vector<double>{-1.5, 2.5});
  file.dimension("y", 2);
  file.dimension("x", 3);
  file.variable("float32", Type::Float32, {"y", "x"}, {{"units", "m s-1"}, {"scale", 2.0}});
  file.variable("float64", Type::Float64, {"y", "x"});
  file.variable("int32", Type::Int32, {"x"});
  file.variable("int64", Type::Int64, {"x"});
  file.variable("scalar", Type::Float64, {});
  file.write("float32", std::vector<float>{1, 2, 3, 4, 5, 6});
  file.write("float64", std::vector<double>{0.1, 0.2, 0.3, -1e300, 5, 6});
  file.write("int32", std::vector<std::int32_t>{-7, 0, 2147483647});
  file.write("int64", std::vector<std::int64_t>{-7, 0, std::int64_t{1} << 60});
  file.write("scalar", std::array{2.5});
  file.write_strings("names", "x", {"depth", "", "größe"});
  file.commit();
}

std::string bytes_of(const fs::path& path) { return nn::read_text_file(path); }

void write_bytes(const fs::path& path, const std::string& bytes) { nn::write_text_file(path, bytes); }

/// What our writer never makes, by hand.
int create(const fs::path& path, int mode) {
  int id = 0;
  REQUIRE(nc_create(path.c_str(), mode, &id) == NC_NOERR);
  return id;
}

}  // namespace

TEST_CASE("every type comes back") {
  const Folder folder;
  write_example(folder / "a.nc");
  const NetcdfReader file(folder / "a.nc");
  CHECK(file.read<float>("float32") == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(file.read<double>("float64") == std::vector<double>{0.1, 0.2, 0.3, -1e300, 5, 6});
  CHECK(file.read<std::int32_t>("int32") == std::vector<std::int32_t>{-7, 0, 2147483647});
  CHECK(file.read<std::int64_t>("int64") == std::vector<std::int64_t>{-7, 0, std::int64_t{1} << 60});
  CHECK(file.read<double>("scalar") == std::vector<double>{2.5});
  CHECK(file.read_strings("names") == std::vector<std::string>{"depth", "", "größe"});

  CHECK(file.read<double>("int32") == std::vector<double>{-7, 0, 2147483647});
  CHECK(file.read<std::int64_t>("float32") == std::vector<std::int64_t>{1, 2, 3, 4, 5, 6});
  CHECK(file.read<std::int32_t>("scalar") == std::vector<std::int32_t>{2});
}

TEST_CASE("values that are not finite come back") {
  const Folder folder;
  const float infinity = std::numeric_limits<float>::infinity();
  {
    NetcdfWriter file(folder / "a.nc");
    file.dimension("x", 3);
    file.variable("a", Type::Float32, {"x"});
    file.write("a", std::vector<float>{NAN, infinity, -infinity});
    file.commit();
  }
  const std::vector<float> values = NetcdfReader(folder / "a.nc").read<float>("a");
  CHECK(std::isnan(values[0]));
  CHECK(values[1] == infinity);
  CHECK(values[2] == -infinity);
}

TEST_CASE("dimensions and shapes") {
  const Folder folder;
  const fs::path path = folder / "a.nc";
  write_example(path);
  const NetcdfReader file(path);
  CHECK(file.has_dimension("x"));
  CHECK_FALSE(file.has_dimension("z"));
  CHECK(file.dimension("x") == 3);
  CHECK(file.has_variable("int32"));
  CHECK_FALSE(file.has_variable("x"));
  CHECK(file.shape("float32") == Extents{2, 3});
  CHECK(file.shape("scalar") == Extents{});
  CHECK(file.dimensions("float32") == std::vector<std::string>{"y", "x"});
  CHECK(file.dimensions("scalar") == std::vector<std::string>{});
  file.require_shape("float32", {2, 3});
  file.require_shape("scalar", {});

  CHECK(error_of(path, [&] { file.dimension("z"); }) == "z: no such dimension");
  CHECK(error_of(path, [&] { file.shape("u"); }) == "u: no such variable");
  CHECK(error_of(path, [&] { file.dimensions("u"); }) == "u: no such variable");
  CHECK(error_of(path, [&] { file.require_shape("u", {1}); }) == "u: no such variable");
  CHECK(error_of(path, [&] {
          file.require_shape("float32", {4, 3});
        }) == "float32: shape (2, 3), where (4, 3) is needed");
  CHECK(error_of(path, [&] { file.require_shape("scalar", {3}); }) == "scalar: shape (), where (3) is needed");
}

TEST_CASE("attributes") {
  const Folder folder;
  const fs::path path = folder / "a.nc";
  write_example(path);
  const NetcdfReader file(path);
  CHECK(file.has_attribute("title"));
  CHECK_FALSE(file.has_attribute("units"));
  CHECK(file.text("title") == "example");
  CHECK(file.text("empty").empty());
  CHECK(file.number("count") == std::ldexp(1, 40));
  CHECK(file.number("step") == 0.1);
  CHECK(file.numbers("range") == std::vector<double>{-1.5, 2.5});
  CHECK(file.numbers("step") == std::vector<double>{0.1});
  CHECK(file.text("float32", "units") == "m s-1");

  CHECK(error_of(path, [&] { file.text("author"); }) == "author: no such attribute");
  CHECK(error_of(path, [&] { file.number("author"); }) == "author: no such attribute");
  CHECK(error_of(path, [&] { file.numbers("author"); }) == "author: no such attribute");
  CHECK(error_of(path, [&] { file.text("float64", "units"); }) == "float64:units: no such attribute");
  CHECK(error_of(path, [&] { file.text("u", "units"); }) == "u: no such variable");
  CHECK(error_of(path, [&] { file.text("step"); }) == "step: is not text");
  CHECK(error_of(path, [&] { file.text("float32", "scale"); }) == "float32:scale: is not text");
  CHECK(error_of(path, [&] { file.number("title"); }) == "title: is not a number");
  CHECK(error_of(path, [&] { file.number("range"); }) == "range: 2 numbers, where one is needed");
}

TEST_CASE("slabs") {
  const Folder folder;
  const fs::path path = folder / "a.nc";
  {
    NetcdfWriter file(path);
    file.dimension("member", 3);
    file.dimension("x", 4);
    file.variable("a", Type::Float32, {"member", "x"});
    for (std::int64_t member = 0; member < 3; ++member) {
      std::vector<double> row;
      for (int i = 0; i < 4; ++i) row.push_back(static_cast<double>(10 * member + i));
      file.write_slab("a", std::array<std::int64_t, 2>{member, 0}, std::array<std::int64_t, 2>{1, 4}, row);
    }
    file.write_slab("a", Extents{1, 1}, Extents{2, 2}, std::vector<std::int32_t>{1, 2, 3, 4});
    file.write_slab("a", Extents{3, 0}, Extents{0, 4}, std::vector<float>{});
    file.commit();
  }
  const NetcdfReader file(path);
  CHECK(file.read<float>("a") == std::vector<float>{0, 1, 2, 3, 10, 1, 2, 13, 20, 3, 4, 23});
  CHECK(file.read_slab<double>("a", Extents{0, 2}, Extents{3, 1}) == std::vector<double>{2, 2, 4});
  CHECK(file.read_slab<std::int32_t>("a", Extents{2, 3}, Extents{1, 1}) == std::vector<std::int32_t>{23});
  CHECK(file.read_slab<std::int64_t>("a", Extents{0, 0}, Extents{0, 4}).empty());

  CHECK(error_of(path, [&] {
          file.read_slab<float>("a", Extents{2, 0}, Extents{2, 4});
        }) == "a: block (2, 4) from (2, 0) is outside of shape (3, 4)");
  CHECK(error_of(path, [&] {
          file.read_slab<float>("a", Extents{-1, 0}, Extents{1, 4});
        }) == "a: block (1, 4) from (-1, 0) is outside of shape (3, 4)");
  CHECK(error_of(path, [&] { file.read_slab<float>("a", Extents{0}, Extents{1}); }) ==
        "a: block (1) from (0) is outside of shape (3, 4)");
}

TEST_CASE("reading what is missing, not numbers or out of range") {
  const Folder folder;
  const fs::path path = folder / "a.nc";
  write_example(path);
  const NetcdfReader file(path);
  CHECK(error_of(path, [&] { file.read<float>("u"); }) == "u: no such variable");
  CHECK(error_of(path, [&] { file.read_slab<float>("u", Extents{0}, Extents{1}); }) == "u: no such variable");
  CHECK(error_of(path, [&] { file.read_strings("u"); }) == "u: no such variable");
  CHECK(error_of(path, [&] { file.read<double>("names"); }) == "names: does not hold numbers");
  CHECK(error_of(path, [&] { file.read_strings("int32"); }) == "int32: does not hold strings");
  CHECK(error_of(path, [&] { file.read<float>("float64"); }) == "float64: a value is out of the type's range");
  CHECK(error_of(path, [&] { file.read<std::int32_t>("int64"); }) == "int64: a value is out of the type's range");
  CHECK(file.read<std::int32_t>("int32").size() == 3);  // an error does not spoil the reader
}

TEST_CASE("files of other programs") {
  const Folder folder;
  const fs::path path = folder / "a.nc";
  const int id = create(path, NC_NETCDF4);
  int records = 0, x = 0, variable = 0;
  nc_def_dim(id, "record", NC_UNLIMITED, &records);
  nc_def_dim(id, "x", 2, &x);
  nc_def_var(id, "series", NC_SHORT, 1, &records, &variable);
  nc_def_var(id, "labels", NC_STRING, 1, &records, &variable);
  nc_def_var(id, "bytes", NC_UBYTE, 1, &x, &variable);
  const std::array<unsigned char, 2> bytes{1, 255};
  nc_put_var_uchar(id, variable, bytes.data());
  nc_def_var(id, "letters", NC_CHAR, 1, &x, &variable);
  const std::array<int, 2> both{x, x};
  nc_def_var(id, "table", NC_STRING, 2, both.data(), &variable);
  nc_def_var(id, "unwritten", NC_STRING, 1, &x, &variable);
  std::array<const char*, 2> words{"one", "two"};
  nc_put_att_string(id, NC_GLOBAL, "word", 1, words.data());
  nc_put_att_string(id, NC_GLOBAL, "words", 2, words.data());
  const std::int32_t year = 2011;
  nc_put_att_int(id, NC_GLOBAL, "year", NC_INT, 1, &year);
  REQUIRE(nc_close(id) == NC_NOERR);

  const NetcdfReader file(path);
  CHECK(file.dimension("record") == 0);
  CHECK(file.read<float>("series").empty());
  CHECK(file.read_strings("labels").empty());
  CHECK(file.read<std::int32_t>("bytes") == std::vector<std::int32_t>{1, 255});
  CHECK(file.read_strings("unwritten") == std::vector<std::string>{"", ""});
  CHECK(file.text("word") == "one");
  CHECK(file.number("year") == 2011);
  CHECK(error_of(path, [&] { file.read<float>("letters"); }) == "letters: does not hold numbers");
  CHECK(file.read_strings("letters") == std::vector<std::string>{"", ""});
  CHECK(error_of(path, [&] { file.read_strings("table"); }) == "table: shape (2, 2), where one dimension is needed");
  CHECK(error_of(path, [&] { file.text("words"); }) == "words: is not text");
  CHECK(error_of(path, [&] { file.numbers("words"); }) == "words: is not a number");
}

TEST_CASE("a shape larger than memory") {
  const Folder folder;
  const fs::path path = folder / "a.nc";
  const int id = create(path, NC_NETCDF4);
  std::array<int, 3> dimensions{};
  for (std::size_t i = 0; i < 3; ++i)
    nc_def_dim(id, fmt::format("d{}", i).c_str(), std::size_t{1} << 30, &dimensions[i]);
  const std::array<std::size_t, 3> chunk{1, 1, 1};
  int variable = 0;
  nc_def_var(id, "a", NC_FLOAT, 3, dimensions.data(), &variable);
  nc_def_var_chunking(id, variable, NC_CHUNKED, chunk.data());
  REQUIRE(nc_close(id) == NC_NOERR);

  const NetcdfReader file(path);
  CHECK(error_of(path, [&] { file.read<float>("a"); }) ==
        "a: shape (1073741824, 1073741824, 1073741824) does not fit into memory");
  CHECK(file.read_slab<float>("a", Extents{5, 5, 5}, Extents{1, 1, 1}).size() == 1);
}

TEST_CASE("what is not a NetCDF file, and silence on stderr") {
  const Folder folder;
  const CapturedStderr captured;
  const auto error = [](const fs::path& path) { return error_of(path, [&] { const NetcdfReader file(path); }); };
  CHECK(error(folder / "none.nc") == "no such file");
  CHECK(error(folder / "none" / "a.nc") == "no such file");
  CHECK(error(folder / "") == "is a folder, not a file");
  write_bytes(folder / "text.nc", "time,x,y\n0,1,2\n");
  CHECK(error(folder / "text.nc") == "not a NetCDF file, or truncated");
  // What a killed program leaves behind, before anything but the signature was written.
  write_bytes(folder / "signature.nc", "\x89HDF\r\n\x1a\n" + std::string(5000, '\0'));
  CHECK(error(folder / "signature.nc") == "not a NetCDF file, or truncated");
  write_example(folder / "whole.nc");
  const std::string bytes = bytes_of(folder / "whole.nc");
  std::vector<std::size_t> lengths{0, 1, 3, 4, 7, 8, 9, 47, 48, 96, bytes.size() / 2, bytes.size() - 1};
  for (std::size_t length = 100; length < bytes.size(); length += 211) lengths.push_back(length);
  for (const std::size_t length : lengths) {
    CAPTURE(length);
    write_bytes(folder / "cut.nc", bytes.substr(0, length));
    CHECK(error(folder / "cut.nc") == "not a NetCDF file, or truncated");
  }
  write_bytes(folder / "cut.nc", bytes);
  CHECK(error(folder / "cut.nc") == "no error");
  CHECK(captured.text() == "");
}

TEST_CASE("nothing under the final name before commit") {
  const Folder folder;
  const fs::path path = folder / "new" / "a.nc";
  NetcdfWriter file(path);
  file.dimension("x", 1);
  file.variable("a", Type::Int32, {"x"});
  file.write("a", std::vector<std::int32_t>{1});
  CHECK_FALSE(fs::exists(path));
  file.commit();
  CHECK(fs::exists(path));
  CHECK(std::distance(fs::directory_iterator(path.parent_path()), fs::directory_iterator()) == 1);
  CHECK(error_of(path, [&] { file.attribute("late", 1.0); }) == "late: Not a valid ID");
  CHECK(NetcdfReader(path).read<std::int32_t>("a") == std::vector<std::int32_t>{1});
}

TEST_CASE("without commit no file is left, and an old one stays") {
  const Folder folder;
  { NetcdfWriter file(folder / "a.nc"); }
  {
    NetcdfWriter file(folder / "a.nc");
    file.dimension("x", 100000);
    file.variable("a", Type::Float64, {"x"});
    file.write("a", std::vector<double>(100000, 1.0));
  }
  CHECK(folder.files() == 0);
  write_example(folder / "a.nc");
  const std::string before = bytes_of(folder / "a.nc");
  {
    NetcdfWriter file(folder / "a.nc");
    file.dimension("x", 1);
  }
  CHECK(folder.files() == 1);
  CHECK(bytes_of(folder / "a.nc") == before);
  {
    NetcdfWriter file(folder / "a.nc");
    file.attribute("title", "the second");
    file.commit();
  }
  CHECK(NetcdfReader(folder / "a.nc").text("title") == "the second");
}

TEST_CASE("a writer's errors, after which it does not commit") {
  const Folder folder;
  const fs::path path = folder / "a.nc";
  const auto error = [&](const std::function<void(NetcdfWriter&)>& action) {
    NetcdfWriter file(path);
    file.dimension("y", 2);
    file.dimension("x", 3);
    file.variable("float32", Type::Float32, {"y", "x"});
    file.variable("int32", Type::Int32, {"x"});
    file.variable("int64", Type::Int64, {"x"});
    const std::string message = error_of(path, [&] { action(file); });
    CHECK(error_of(path, [&] { file.commit(); }) == "not written, because an earlier step failed");
    return message;
  };
  const std::vector<float> five(5);
  const std::vector<double> large{1e300, 0, 0};
  using File = NetcdfWriter&;

  CHECK(error([](File file) { file.dimension("z", 0); }) == "z: size 0, where at least 1 is needed");
  CHECK(error([](File file) { file.dimension("x", 3); }) == "x: exists already");
  CHECK(error([](File file) { file.variable("a", Type::Int32, {"x", "z"}); }) == "z: no such dimension");
  CHECK(error([](File file) { file.variable("int32", Type::Int32, {"x"}); }) == "int32: exists already");
  CHECK(error([](File file) { file.variable("a/b", Type::Int32, {"x"}); }) == "a/b: Name contains illegal characters");
  CHECK(error([](File file) {
          file.variable("a", Type::Int32, {"x"}, {{"b/c", 1.0}});
        }) == "a:b/c: Name contains illegal characters");
  CHECK(error([](File file) {
          file.variable("a", Type::Int32, {"x"}, {}, {.chunk = {1, 1}});
        }) == "a: chunk (1, 1) for 1 dimensions");
  CHECK(error([](File file) { file.variable("a", Type::Int32, {"x"}, {}, {.chunk = {4}}); }) == "a: Bad chunk sizes.");
  CHECK(error([](File file) { file.variable("a", Type::Int32, {"x"}, {}, {.deflate = 10}); }) == "a: Invalid argument");
  CHECK(error([&](File file) { file.write("a", five); }) == "a: no such variable");
  CHECK(error([&](File file) { file.write("float32", five); }) == "float32: 5 values, where shape (2, 3) needs 6");
  CHECK(error([&](File file) {
          file.write_slab("float32", Extents{0, 0}, Extents{2, 2}, five);
        }) == "float32: 5 values, where shape (2, 2) needs 4");
  CHECK(error([&](File file) {
          file.write_slab("float32", Extents{1, 0}, Extents{2, 3}, five);
        }) == "float32: block (2, 3) from (1, 0) is outside of shape (2, 3)");
  CHECK(error([&](File file) {
          file.write_slab("float32", Extents{0, 0}, Extents{1, 3}, large);
        }) == "float32: a value is out of the type's range");
  CHECK(error([&](File file) { file.write("int32", large); }) == "int32: a value is out of the type's range");
  CHECK(error([&](File file) { file.write("int64", large); }) == "int64: a value is out of the type's range");
  CHECK(error([](File file) {
          file.write("int32", std::vector<std::int64_t>{0, 0, 2147483648});
        }) == "int32: a value is out of the type's range");
  CHECK(error([](File file) { file.write_strings("a", "x", {"one"}); }) == "a: 1 strings, where dimension x needs 3");
  CHECK(error([](File file) { file.write_strings("a", "z", {"one"}); }) == "z: no such dimension");
  CHECK(folder.files() == 0);

  write_bytes(path, "a file");
  CHECK(error_of(path / "a.nc", [&] { NetcdfWriter file(path / "a.nc"); }) ==
        path.string() + " is a file, not a folder");
}

TEST_CASE("chunks and compression") {
  const Folder folder;
  const fs::path path = folder / "a.nc";
  std::vector<float> values(100 * 64);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 7);
  {
    NetcdfWriter file(path);
    file.dimension("time", 100);
    file.dimension("x", 64);
    file.variable("packed", Type::Float32, {"time", "x"}, {}, {.deflate = 4, .chunk = {10, 64}});
    file.variable("plain", Type::Float32, {"time", "x"});
    file.write("packed", values);
    file.write("plain", values);
    file.commit();
  }
  const NetcdfReader file(path);
  CHECK(file.read<float>("packed") == values);
  CHECK(file.read<float>("plain") == values);
  CHECK(fs::file_size(path) < 3 * values.size() * sizeof(float) / 2);

  int id = 0, variable = 0, shuffled = 0, deflated = 0, level = 0, layout = 0;
  REQUIRE(nc_open(path.c_str(), NC_NOWRITE, &id) == NC_NOERR);
  std::array<std::size_t, 2> chunk{};
  nc_inq_varid(id, "packed", &variable);
  nc_inq_var_deflate(id, variable, &shuffled, &deflated, &level);
  nc_inq_var_chunking(id, variable, &layout, chunk.data());
  CHECK(shuffled == 1);
  CHECK(deflated == 1);
  CHECK(level == 4);
  CHECK(layout == NC_CHUNKED);
  CHECK(chunk == std::array<std::size_t, 2>{10, 64});
  nc_inq_varid(id, "plain", &variable);
  nc_inq_var_deflate(id, variable, &shuffled, &deflated, &level);
  CHECK(deflated == 0);
  nc_close(id);
}

TEST_CASE("a full disk leaves no file and prints nothing") {
  const Folder folder;
  const fs::path path = folder / "a.nc";
  const CapturedStderr captured;
  for (const int deflate : {0, 1}) {
    CAPTURE(deflate);
    const FileSizeLimit limit(50'000);
    CHECK(error_of(path, [&] {
            NetcdfWriter file(path);
            file.dimension("x", 20'000);
            file.variable("a", Type::Float64, {"x"}, {}, {.deflate = deflate});
            std::vector<double> values(20'000);
            for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<double>(i * i));
            file.write("a", values);
            file.commit();
          }).find("HDF5 failed: the disk is full, or the file is damaged") != std::string::npos);
  }
  CHECK(folder.files() == 0);
  write_example(path);
  CHECK(NetcdfReader(path).text("title") == "example");
  CHECK(captured.text() == "");
}

TEST_CASE("packed numbers are unpacked as CF says, and marks of missing values become NaN") {
  const Folder folder;
  const fs::path path = folder / "packed.nc";
  int id = 0;
  int dimension = 0;
  int variable = 0;
  REQUIRE(nc_create(path.c_str(), NC_NETCDF4, &id) == NC_NOERR);
  REQUIRE(nc_def_dim(id, "n", 4, &dimension) == NC_NOERR);
  REQUIRE(nc_def_var(id, "small", NC_SHORT, 1, &dimension, &variable) == NC_NOERR);
  const short fill = -32768;
  const double scale = 0.5;
  const double offset = 10;
  nc_put_att_short(id, variable, "_FillValue", NC_SHORT, 1, &fill);
  nc_put_att_double(id, variable, "scale_factor", NC_DOUBLE, 1, &scale);
  nc_put_att_double(id, variable, "add_offset", NC_DOUBLE, 1, &offset);
  const std::array<short, 4> numbers{-32768, 0, 3, -20};
  REQUIRE(nc_put_var_short(id, variable, numbers.data()) == NC_NOERR);
  REQUIRE(nc_def_var(id, "big", NC_INT, 1, &dimension, &variable) == NC_NOERR);
  const int missing = -999;
  nc_put_att_int(id, variable, "missing_value", NC_INT, 1, &missing);
  const std::array<int, 4> integers{16777217, -999, 2, 3};  // the first one is no float
  REQUIRE(nc_put_var_int(id, variable, integers.data()) == NC_NOERR);
  REQUIRE(nc_def_var(id, "unwritten", NC_FLOAT, 1, &dimension, &variable) == NC_NOERR);
  REQUIRE(nc_close(id) == NC_NOERR);

  const NetcdfReader file(path);
  for (const float value : file.read_unpacked<float>("unwritten")) CHECK(std::isnan(value));
  const std::vector<float> small = file.read_unpacked<float>("small");
  CHECK(std::isnan(small[0]));
  CHECK(std::vector<float>(small.begin() + 1, small.end()) == std::vector<float>{10, 11.5F, 0});
  const std::vector<double> big = file.read_unpacked<double>("big");
  CHECK(big[0] == 16777217);
  CHECK(std::isnan(big[1]));
  CHECK(file.has_attribute("small", "scale_factor"));
  CHECK_FALSE(file.has_attribute("big", "scale_factor"));
  CHECK(file.number("small", "add_offset") == 10);
}
