#pragma once

/// NetCDF files, thin over netCDF-C, whole files or nothing: NetCDF-4 is written, and read like the classic kinds. A
/// variable of a group is named by its path, "MetaData/latitude".
///
/// netCDF-C is not thread-safe, not even for different files: a program uses all of this from one thread.
/// (HDF5 below it is silenced for the first thread that uses it, and prints its own diagnostics about a bad
/// file in another.) Every failure throws InputError(path, variable or dimension or attribute, message);
/// messages are one line. Numbers are converted between the file's type and the caller's; one out of range
/// throws. To an integer, fractions are cut off and NaN is lost. _FillValue, missing_value, valid_min, valid_max,
/// valid_range, _Unsigned, scale_factor and add_offset are applied by read_unpacked, read_unpacked_slab and read_whole
/// only.

#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "nn/atomic_file.h"

namespace levda::experiments {

/// False in a build without netCDF-C (LEVDA_NETCDF).
bool has_netcdf();

/// Throws InputError for `what`, a file or a command, in such a build.
void require_netcdf(const std::string& what);

/// Type of a variable in a file.
enum class Type : std::uint8_t { Float32, Float64, Int32, Int64 };

using AttributeValue = std::variant<std::string, double, std::int64_t, std::vector<double>>;
using Attributes = std::vector<std::pair<std::string, AttributeValue>>;

/// Numbers to be written, row-major: a vector, array or span of one of these types.
using Values = std::variant<std::span<const float>, std::span<const double>, std::span<const std::int32_t>,
                            std::span<const std::int64_t>>;

/// How a variable is stored.
struct Storage {
  /// zlib level, 1 to 9, after shuffling the bytes; 0 does not compress.
  int deflate = 0;
  /// Extents of a chunk, one per dimension; empty lets netCDF choose.
  std::vector<std::int64_t> chunk = {};
};

/// Writes a NetCDF-4 file under a temporary name; nothing appears under the final name before commit().
/// Definitions and data may come in any order, a dimension before its variables. After a failure commit()
/// refuses.
class NetcdfWriter {
 public:
  /// Creates missing folders. Throws as AtomicFile does.
  explicit NetcdfWriter(std::filesystem::path final_path);
  ~NetcdfWriter();
  NetcdfWriter(const NetcdfWriter&) = delete;
  NetcdfWriter& operator=(const NetcdfWriter&) = delete;

  /// size >= 1 (a fixed dimension of NetCDF cannot be empty).
  void dimension(const std::string& name, std::int64_t size);
  /// Row-major over `dimensions`, outermost first; none is a scalar.
  void variable(const std::string& name, Type type, const std::vector<std::string>& dimensions,
                const Attributes& attributes = {}, const Storage& storage = {});
  /// An attribute of the whole file.
  void attribute(const std::string& name, const AttributeValue& value);

  /// The whole variable: as many values as its shape holds (1 for a scalar).
  void write(const std::string& name, const Values& values);
  /// The block from index `start`, `count` long, one entry of each per dimension.
  void write_slab(const std::string& name, std::span<const std::int64_t> start, std::span<const std::int64_t> count,
                  const Values& values);
  /// Defines and writes a variable of strings over one dimension, one string per index.
  void write_strings(const std::string& name, const std::string& dimension, const std::vector<std::string>& strings);

  /// Closes the file and gives it its final name. Nothing can be written afterwards.
  void commit();

 private:
  [[noreturn]] void fail(const std::string& field, const std::string& message);
  void check(int status, const std::string& field);
  int define(const std::string& name, int type, const std::vector<std::string>& dimensions);
  void put_attribute(int variable, const std::string& name, const AttributeValue& value, const std::string& field);

  std::filesystem::path path_;
  nn::AtomicFile file_;
  int id_ = -1;
  bool failed_ = false;
};

/// Reads a NetCDF file and remembers what was read of it.
class NetcdfReader {
 public:
  /// Throws: no such file, a folder, not NetCDF, truncated, locked.
  explicit NetcdfReader(std::filesystem::path path);
  ~NetcdfReader();
  NetcdfReader(const NetcdfReader&) = delete;
  NetcdfReader& operator=(const NetcdfReader&) = delete;

  bool has_dimension(const std::string& name) const;
  std::int64_t dimension(const std::string& name) const;
  bool has_variable(const std::string& name) const;
  bool has_group(const std::string& name) const;  ///< one with variables
  /// Names of all variables, those of groups behind the others.
  const std::vector<std::string>& variables() const { return names_; }
  /// Variables, and attributes ("value:units") of the file and of variables that were read, that nobody has read.
  /// Attributes that only describe, like long_name, are left out.
  std::vector<std::string> unread() const;
  std::vector<std::int64_t> shape(const std::string& variable) const;
  /// Names of the dimensions, outermost first.
  std::vector<std::string> dimensions(const std::string& variable) const;
  void require_shape(const std::string& variable, const std::vector<std::int64_t>& expected) const;

  /// The whole variable, row-major. T: float, double, int32, int64.
  template <class T>
  std::vector<T> read(const std::string& variable) const;
  /// The whole variable, unpacked as CF defines it: scale_factor times the number plus add_offset; NaN where it is one
  /// of missing_value, _FillValue, the value that netCDF puts where nothing was written, or outside of valid_min,
  /// valid_max or valid_range, which are of the variable's own type where it is packed. With the attribute _Unsigned
  /// "true" or "false" integers are of that kind. T: float, double.
  template <class T>
  std::vector<T> read_unpacked(const std::string& variable) const;
  /// The block from index `start`, `count` long, one entry of each per dimension; unpacked, or as it is stored.
  template <class T>
  std::vector<T> read_unpacked_slab(const std::string& variable, std::span<const std::int64_t> start,
                                    std::span<const std::int64_t> count) const;
  template <class T>
  std::vector<T> read_slab(const std::string& variable, std::span<const std::int64_t> start,
                           std::span<const std::int64_t> count) const;
  /// Whole numbers, unpacked. Throws for others, and for missing ones.
  std::vector<std::int64_t> read_whole(const std::string& variable) const;
  bool holds_strings(const std::string& variable) const;
  /// A variable of strings over one dimension; of characters over one more, without the blanks and zeros at the end. A
  /// variable of characters over one dimension holds names of one letter.
  std::vector<std::string> read_strings(const std::string& variable) const;

  /// Attributes of a variable, or of the whole file. Integers beyond 2^53 are rounded.
  bool has_attribute(const std::string& variable, const std::string& name) const;
  std::string text(const std::string& variable, const std::string& name) const;
  double number(const std::string& variable, const std::string& name) const;
  std::vector<double> numbers(const std::string& variable, const std::string& name) const;
  bool has_attribute(const std::string& name) const { return has_attribute("", name); }
  std::string text(const std::string& name) const { return text("", name); }
  double number(const std::string& name) const { return number("", name); }
  std::vector<double> numbers(const std::string& name) const { return numbers("", name); }

 private:
  [[noreturn]] void fail(const std::string& field, const std::string& message) const;
  void check(int status, const std::string& field) const;
  struct Place {
    int group;
    int variable;
  };
  Place find(const std::string& variable) const;  ///< empty: the whole file
  int type_of(const std::string& variable) const;
  void note_read(const std::string& name) const { read_.insert(name); }
  std::vector<std::string> attributes(const std::string& variable) const;
  [[noreturn]] void fail_to_read(const std::string& variable, int status) const;

  std::filesystem::path path_;
  int id_ = -1;
  std::vector<std::string> names_;  // of all variables
  mutable std::set<std::string> read_;
};

}  // namespace levda::experiments
