#pragma once

/// NetCDF files, thin over netCDF-C: dimensions, variables and attributes of the root group, whole files or nothing.
///
/// netCDF-C is not thread-safe, not even for different files: a program uses all of this from one thread. (HDF5 below
/// it is silenced for the first thread that uses it, and prints its own diagnostics about a bad file in another.)
/// Every failure throws InputError(path, variable or dimension or attribute, message); messages are one line.
/// _FillValue, scale_factor and add_offset are not applied.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "experiments/atomic_file.h"

namespace levda::experiments {

/// Type of a variable in a file.
enum class Type : std::uint8_t { Float32, Float64, Int32, Int64 };

using AttributeValue = std::variant<std::string, double, std::int64_t, std::vector<double>>;
using Attributes = std::vector<std::pair<std::string, AttributeValue>>;

/// How a variable is stored.
struct Storage {
  /// zlib level, 1 to 9, after shuffling the bytes; 0 stores as it is.
  int deflate = 0;
  /// Extents of a chunk, one per dimension; empty lets netCDF choose.
  std::vector<std::int64_t> chunk = {};
};

/// Writes a NetCDF-4 file under a temporary name; nothing appears under the final name before commit().
/// Definitions and data may come in any order, a dimension before its variables. After a failure that netCDF reports,
/// commit() refuses. Data of another type than the variable's are converted; a value out of range throws.
class NetcdfWriter {
 public:
  /// Creates missing directories. Throws as AtomicFile does.
  explicit NetcdfWriter(std::filesystem::path final_path);
  ~NetcdfWriter();
  NetcdfWriter(const NetcdfWriter&) = delete;
  NetcdfWriter& operator=(const NetcdfWriter&) = delete;

  /// size >= 1 (a fixed dimension of NetCDF cannot be empty).
  void dimension(const std::string& name, std::int64_t size);
  /// Row-major over `dimensions`, outermost first; none is a scalar.
  void variable(const std::string& name, Type type, const std::vector<std::string>& dimensions,
                const Attributes& attributes = {}, const Storage& storage = {});
  /// Of the whole file.
  void attribute(const std::string& name, const AttributeValue& value);

  /// The whole variable: as many values as its shape holds (1 for a scalar), row-major.
  void write(const std::string& name, std::span<const float> values);
  void write(const std::string& name, std::span<const double> values);
  void write(const std::string& name, std::span<const std::int32_t> values);
  void write(const std::string& name, std::span<const std::int64_t> values);
  /// The block from index `start`, `count` long, one entry of each per dimension; values row-major in the block.
  void write_slab(const std::string& name, std::span<const std::int64_t> start,
                  std::span<const std::int64_t> count, std::span<const float> values);
  void write_slab(const std::string& name, std::span<const std::int64_t> start,
                  std::span<const std::int64_t> count, std::span<const double> values);
  void write_slab(const std::string& name, std::span<const std::int64_t> start,
                  std::span<const std::int64_t> count, std::span<const std::int32_t> values);
  void write_slab(const std::string& name, std::span<const std::int64_t> start,
                  std::span<const std::int64_t> count, std::span<const std::int64_t> values);
  /// Defines and writes a variable of strings over one dimension, one string per index.
  void write_strings(const std::string& name, const std::string& dimension,
                     const std::vector<std::string>& strings);

  /// Closes the file and gives it its final name. Nothing can be written afterwards.
  void commit();

 private:
  class Impl;
  void put_attribute(int variable, const std::string& owner, const std::string& name,
                     const AttributeValue& value);
  template <class T>
  void put(const std::string& name, std::span<const T> values);
  template <class T>
  void put_slab(const std::string& name, std::span<const std::int64_t> start,
                std::span<const std::int64_t> count, std::span<const T> values);
  void check(int status, const std::string& field);

  AtomicFile file_;
  int id_ = -1;
  bool failed_ = false;
};
}
