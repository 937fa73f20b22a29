#include <fmt/format.h>
#include <netcdf.h>

#include <limits>
#include <type_traits>

#include "autodiff/error.h"
#include "experiments/data/netcdf_file.h"
#include "experiments/data/netcdf_internal.h"

namespace levda::experiments {

namespace fs = std::filesystem;
using namespace netcdf;

namespace {

int code_of(Type type) {
  switch (type) {
    case Type::Float32: return NC_FLOAT;
    case Type::Float64: return NC_DOUBLE;
    case Type::Int32: return NC_INT;
    case Type::Int64: return NC_INT64;
  }
  return NC_NAT;
}

int put(int id, int variable, const std::size_t* start, const std::size_t* count, const float* values) {
  return nc_put_vara_float(id, variable, start, count, values);
}
int put(int id, int variable, const std::size_t* start, const std::size_t* count, const double* values) {
  return nc_put_vara_double(id, variable, start, count, values);
}
int put(int id, int variable, const std::size_t* start, const std::size_t* count, const std::int32_t* values) {
  return nc_put_vara_int(id, variable, start, count, values);
}
int put(int id, int variable, const std::size_t* start, const std::size_t* count, const std::int64_t* values) {
  return nc_put_vara_longlong(id, variable, start, count, reinterpret_cast<const long long*>(values));
}

}  // namespace

NetcdfWriter::NetcdfWriter(fs::path final_path) : path_(std::move(final_path)), file_(path_) {
  // HDF5 reports a disk that fills up, but where not even its first block fits it crashes when the program
  // ends.
  std::error_code ignored;
  if (fs::space(file_.path(), ignored).available < 1 << 20) fail("", "the disk is full: less than 1 MiB is free");
  check(nc_create(file_.path().c_str(), NC_NETCDF4 | NC_CLOBBER, &id_), "");
}

NetcdfWriter::~NetcdfWriter() {
  // Not nc_abort(), which crashes when the disk is full.
  if (id_ >= 0) nc_close(id_);
}

void NetcdfWriter::fail(const std::string& field, const std::string& message) {
  failed_ = true;
  throw InputError(path_.string(), field, message);
}

void NetcdfWriter::check(int status, const std::string& field) {
  if (status != NC_NOERR) fail(field, describe(status));
}

void NetcdfWriter::dimension(const std::string& name, std::int64_t size) {
  if (size < 1) fail(name, fmt::format("size {}, where at least 1 is needed", size));
  int dimension = 0;
  check(nc_def_dim(id_, name.c_str(), static_cast<std::size_t>(size), &dimension), name);
}

int NetcdfWriter::define(const std::string& name, int type, const std::vector<std::string>& dimensions) {
  std::vector<int> ids;
  for (const std::string& dimension : dimensions)
    check(nc_inq_dimid(id_, dimension.c_str(), &ids.emplace_back()), dimension);
  int variable = 0;
  check(nc_def_var(id_, name.c_str(), type, static_cast<int>(ids.size()), ids.data(), &variable), name);
  return variable;
}

void NetcdfWriter::variable(const std::string& name, Type type, const std::vector<std::string>& dimensions,
                            const Attributes& attributes, const Storage& storage) {
  const int variable = define(name, code_of(type), dimensions);
  if (!storage.chunk.empty()) {
    if (storage.chunk.size() != dimensions.size())
      fail(name, fmt::format("chunk {} for {} dimensions", describe(storage.chunk), dimensions.size()));
    check(nc_def_var_chunking(id_, variable, NC_CHUNKED, unsigned_of(storage.chunk).data()), name);
  }
  if (storage.deflate != 0) check(nc_def_var_deflate(id_, variable, 1, 1, storage.deflate), name);
  for (const auto& [key, value] : attributes) put_attribute(variable, key, value, name + ":" + key);
}

void NetcdfWriter::attribute(const std::string& name, const AttributeValue& value) {
  put_attribute(NC_GLOBAL, name, value, name);
}

void NetcdfWriter::put_attribute(int variable, const std::string& name, const AttributeValue& value,
                                 const std::string& field) {
  const char* key = name.c_str();
  const auto put = [&](const auto& x) {
    using T = std::decay_t<decltype(x)>;
    if constexpr (std::is_same_v<T, std::string>) return nc_put_att_text(id_, variable, key, x.size(), x.data());
    if constexpr (std::is_same_v<T, double>) return nc_put_att_double(id_, variable, key, NC_DOUBLE, 1, &x);
    if constexpr (std::is_same_v<T, std::int64_t>) return nc_put_att(id_, variable, key, NC_INT64, 1, &x);
    if constexpr (std::is_same_v<T, std::vector<double>>)
      return nc_put_att_double(id_, variable, key, NC_DOUBLE, x.size(), x.data());
  };
  check(std::visit(put, value), field);
}

void NetcdfWriter::write(const std::string& name, const Values& values) {
  int variable = 0;
  check(nc_inq_varid(id_, name.c_str(), &variable), name);
  std::vector<std::int64_t> shape;
  check(inquire_shape(id_, variable, shape), name);
  write_slab(name, std::vector<std::int64_t>(shape.size()), shape, values);
}

void NetcdfWriter::write_slab(const std::string& name, Extents start, Extents count, const Values& values) {
  int variable = 0;
  check(nc_inq_varid(id_, name.c_str(), &variable), name);
  std::vector<std::int64_t> shape;
  check(inquire_shape(id_, variable, shape), name);
  if (const std::string complaint = outside(shape, start, count); !complaint.empty()) fail(name, complaint);
  const std::int64_t needed = values_in(count, std::numeric_limits<std::int64_t>::max() - 1);
  const auto write_values = [&](const auto& x) {
    if (static_cast<std::int64_t>(x.size()) != needed)
      fail(name, fmt::format("{} values, where shape {} needs {}", x.size(), describe(count), needed));
    if (x.empty()) return;
    check(put(id_, variable, unsigned_of(start).data(), unsigned_of(count).data(), x.data()), name);
  };
  std::visit(write_values, values);
}

void NetcdfWriter::write_strings(const std::string& name, const std::string& dimension,
                                 const std::vector<std::string>& strings) {
  const int variable = define(name, NC_STRING, {dimension});
  std::vector<std::int64_t> shape;
  check(inquire_shape(id_, variable, shape), name);
  if (shape[0] != static_cast<std::int64_t>(strings.size()))
    fail(name, fmt::format("{} strings, where dimension {} needs {}", strings.size(), dimension, shape[0]));
  std::vector<const char*> pointers;
  for (const std::string& string : strings) pointers.push_back(string.c_str());
  check(nc_put_var_string(id_, variable, pointers.data()), name);
}

void NetcdfWriter::commit() {
  if (failed_) fail("", "not written, because an earlier step failed");
  check(nc_close(id_), "");
  id_ = -1;
  file_.commit();
}

}  // namespace levda::experiments
