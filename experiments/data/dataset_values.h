#pragma once

/// The values in a NetCDF file of a data set, whole or a shard.

#include <fmt/format.h>

#include <cmath>

#include "autodiff/error.h"
#include "experiments/data/dataset_file.h"
#include "experiments/data/dataset_format.h"
#include "experiments/data/netcdf_file.h"

namespace levda::experiments {

/// A NetCDF file of a data set; complaints name file and variable.
class DatasetFile : public NetcdfReader {
 public:
  explicit DatasetFile(const std::filesystem::path& path) : NetcdfReader(path), path_(path) {}

  [[noreturn]] void fail(const std::string& field, const std::string& message) const {
    throw InputError(source(), field, message);
  }
  std::string source() const { return path_.string(); }

  template <typename T>
  std::vector<T> finite(const std::string& name, const std::vector<std::int64_t>& shape) const {
    require_shape(name, shape);
    std::vector<T> values = read_unpacked<T>(name);
    for (const T value : values)
      if (!std::isfinite(value)) fail(name, "holds a value that is not finite");
    return values;
  }

 private:
  std::filesystem::path path_;
};

/// The values of a file's members; the first is number `first` of the outlined set. Throws InputError.
Dataset values_of(const DatasetFile& file, const Dataset& outline, std::int64_t first, std::int64_t members);

}  // namespace levda::experiments
