#include "experiments/data/netcdf_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netcdf.h>

#include <cstring>
#include <limits>
#include <new>
#include <optional>
#include <string_view>
#include <type_traits>

#include "autodiff/error.h"

namespace levda::experiments {

namespace fs = std::filesystem;

bool has_netcdf() { return true; }

void require_netcdf(const std::string&) {}

namespace {

using Extents = std::span<const std::int64_t>;

static_assert(sizeof(long long) == sizeof(std::int64_t) && sizeof(int) == sizeof(std::int32_t),
              "netCDF's names of the integer types");

std::string describe(int status) {
  switch (status) {
    case NC_EBADDIM: return "no such dimension";
    case NC_ENOTVAR: return "no such variable";
    case NC_ENOTATT: return "no such attribute";
    case NC_ENAMEINUSE: return "exists already";
    case NC_ERANGE: return "a value is out of the type's range";
    case NC_EHDFERR: return "HDF5 failed: the disk is full, or the file is damaged";
    default: break;
  }
  std::string_view text = nc_strerror(status);
  constexpr std::string_view prefix = "NetCDF: ";
  if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
  return std::string(text);
}

std::string describe(Extents shape) { return fmt::format("({})", fmt::join(shape, ", ")); }

int code_of(Type type) {
  switch (type) {
    case Type::Float32: return NC_FLOAT;
    case Type::Float64: return NC_DOUBLE;
    case Type::Int32: return NC_INT;
    case Type::Int64: return NC_INT64;
  }
  return NC_NAT;
}

bool is_number(nc_type type) { return type >= NC_BYTE && type <= NC_UINT64 && type != NC_CHAR; }

/// What netCDF puts where nothing was written.
std::optional<double> default_fill(nc_type type) {
  switch (type) {
    case NC_SHORT: return NC_FILL_SHORT;
    case NC_USHORT: return NC_FILL_USHORT;
    case NC_INT: return NC_FILL_INT;
    case NC_UINT: return NC_FILL_UINT;
    case NC_FLOAT: return NC_FILL_FLOAT;
    case NC_DOUBLE: return NC_FILL_DOUBLE;
    default: return std::nullopt;
  }
}

/// Returns netCDF's status.
int inquire_shape(int id, int variable, std::vector<std::int64_t>& shape) {
  int rank = 0;
  int status = nc_inq_varndims(id, variable, &rank);
  std::vector<int> dimensions(static_cast<std::size_t>(rank));
  if (status == NC_NOERR) status = nc_inq_vardimid(id, variable, dimensions.data());
  shape.clear();
  for (const int dimension : dimensions) {
    std::size_t size = 0;
    if (status == NC_NOERR) status = nc_inq_dimlen(id, dimension, &size);
    shape.push_back(static_cast<std::int64_t>(size));
  }
  return status;
}

bool is_inside(Extents shape, Extents start, Extents count) {
  if (start.size() != shape.size() || count.size() != shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (start[i] < 0 || count[i] < 0 || start[i] > shape[i] || count[i] > shape[i] - start[i]) return false;
  return true;
}

std::string outside(Extents shape, Extents start, Extents count) {
  return fmt::format("block {} from {} is outside of shape {}", describe(count), describe(start), describe(shape));
}

/// Number of values in a block, at most `limit` + 1.
std::int64_t values_in(Extents count, std::int64_t limit) {
  std::int64_t size = 1;
  for (const std::int64_t extent : count)
    if (extent == 0) return 0;
  for (const std::int64_t extent : count) {
    if (size > limit / extent) return limit + 1;
    size *= extent;
  }
  return size;
}

std::vector<std::size_t> unsigned_of(Extents extents) { return {extents.begin(), extents.end()}; }

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

int get(int id, int variable, const std::size_t* start, const std::size_t* count, float* values) {
  return nc_get_vara_float(id, variable, start, count, values);
}
int get(int id, int variable, const std::size_t* start, const std::size_t* count, double* values) {
  return nc_get_vara_double(id, variable, start, count, values);
}
int get(int id, int variable, const std::size_t* start, const std::size_t* count, std::int32_t* values) {
  return nc_get_vara_int(id, variable, start, count, values);
}
int get(int id, int variable, const std::size_t* start, const std::size_t* count, std::int64_t* values) {
  return nc_get_vara_longlong(id, variable, start, count, reinterpret_cast<long long*>(values));
}

}  // namespace

// --- writer

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
  if (!is_inside(shape, start, count)) fail(name, outside(shape, start, count));
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

// --- reader

NetcdfReader::NetcdfReader(fs::path path) : path_(std::move(path)) {
  std::error_code ignored;
  if (!fs::exists(path_, ignored)) fail("", "no such file");
  if (fs::is_directory(path_, ignored)) fail("", "is a folder, not a file");
  const int status = nc_open(path_.c_str(), NC_NOWRITE, &id_);
  // Above zero it is an errno.
  if (status > 0) fail("", fmt::format("cannot be read: {}", std::strerror(status)));
  if (status != NC_NOERR) fail("", "not a NetCDF file, or truncated");
  int format = 0;
  if (nc_inq_format(id_, &format) != NC_NOERR || (format != NC_FORMAT_NETCDF4 && format != NC_FORMAT_NETCDF4_CLASSIC)) {
    nc_close(id_);
    fail("", "a classic NetCDF file, where NetCDF-4 is needed (nccopy -k nc4 converts it)");
  }
}

NetcdfReader::~NetcdfReader() { nc_close(id_); }

void NetcdfReader::fail(const std::string& field, const std::string& message) const {
  throw InputError(path_.string(), field, message);
}

void NetcdfReader::check(int status, const std::string& field) const {
  if (status != NC_NOERR) fail(field, describe(status));
}

int NetcdfReader::find(const std::string& variable) const {
  int found = 0;
  check(nc_inq_varid(id_, variable.c_str(), &found), variable);
  return found;
}

bool NetcdfReader::has_dimension(const std::string& name) const {
  int found = 0;
  return nc_inq_dimid(id_, name.c_str(), &found) == NC_NOERR;
}

std::int64_t NetcdfReader::dimension(const std::string& name) const {
  int found = 0;
  std::size_t size = 0;
  check(nc_inq_dimid(id_, name.c_str(), &found), name);
  check(nc_inq_dimlen(id_, found, &size), name);
  return static_cast<std::int64_t>(size);
}

bool NetcdfReader::has_variable(const std::string& name) const {
  int found = 0;
  return nc_inq_varid(id_, name.c_str(), &found) == NC_NOERR;
}

std::vector<std::int64_t> NetcdfReader::shape(const std::string& variable) const {
  std::vector<std::int64_t> shape;
  check(inquire_shape(id_, find(variable), shape), variable);
  return shape;
}

std::vector<std::string> NetcdfReader::dimensions(const std::string& variable) const {
  std::vector<int> ids(shape(variable).size());
  check(nc_inq_vardimid(id_, find(variable), ids.data()), variable);
  std::vector<std::string> names;
  for (const int id : ids) {
    char name[NC_MAX_NAME + 1] = "";
    check(nc_inq_dimname(id_, id, name), variable);
    names.emplace_back(name);
  }
  return names;
}

void NetcdfReader::require_shape(const std::string& variable, const std::vector<std::int64_t>& expected) const {
  const std::vector<std::int64_t> found = shape(variable);
  if (found != expected)
    fail(variable, fmt::format("shape {}, where {} is needed", describe(found), describe(expected)));
}

template <class T>
std::vector<T> NetcdfReader::read(const std::string& variable) const {
  const std::vector<std::int64_t> count = shape(variable);
  return read_slab<T>(variable, std::vector<std::int64_t>(count.size()), count);
}

template <class T>
std::vector<T> NetcdfReader::read_slab(const std::string& variable, Extents start, Extents count) const {
  const int found = find(variable);
  nc_type type = NC_NAT;
  check(nc_inq_vartype(id_, found, &type), variable);
  if (!is_number(type)) fail(variable, "does not hold numbers");
  const std::vector<std::int64_t> whole = shape(variable);
  if (!is_inside(whole, start, count)) fail(variable, outside(whole, start, count));
  constexpr std::int64_t limit = std::numeric_limits<std::int64_t>::max() / sizeof(T);
  const std::int64_t size = values_in(count, limit);
  std::vector<T> values;
  try {
    if (size > limit) throw std::bad_alloc();
    values.resize(static_cast<std::size_t>(size));
  } catch (const std::bad_alloc&) {
    fail(variable, fmt::format("shape {} does not fit into memory", describe(count)));
  }
  if (!values.empty())
    check(get(id_, found, unsigned_of(start).data(), unsigned_of(count).data(), values.data()), variable);
  return values;
}

template std::vector<float> NetcdfReader::read(const std::string&) const;
template std::vector<double> NetcdfReader::read(const std::string&) const;
template std::vector<std::int32_t> NetcdfReader::read(const std::string&) const;
template std::vector<std::int64_t> NetcdfReader::read(const std::string&) const;
template std::vector<float> NetcdfReader::read_slab(const std::string&, Extents, Extents) const;
template std::vector<double> NetcdfReader::read_slab(const std::string&, Extents, Extents) const;
template std::vector<std::int32_t> NetcdfReader::read_slab(const std::string&, Extents, Extents) const;
template std::vector<std::int64_t> NetcdfReader::read_slab(const std::string&, Extents, Extents) const;

template <class T>
std::vector<T> NetcdfReader::read_unpacked(const std::string& variable) const {
  const std::vector<std::int64_t> count = shape(variable);
  return read_unpacked_slab<T>(variable, std::vector<std::int64_t>(count.size()), count);
}

template <class T>
std::vector<T> NetcdfReader::read_unpacked_slab(const std::string& variable, Extents start, Extents count) const {
  nc_type type = NC_NAT;
  check(nc_inq_vartype(id_, find(variable), &type), variable);
  const auto unpack = [&]<class Stored>(std::vector<Stored> stored) {
    const auto attribute = [&](const char* name) {
      return has_attribute(variable, name) ? std::optional(number(variable, name)) : std::nullopt;
    };
    const std::optional<double> own_fill = attribute("_FillValue");
    const std::optional<double> fill = own_fill ? own_fill : default_fill(type);
    const std::optional<double> missing = attribute("missing_value");
    const std::optional<double> scale = attribute("scale_factor");
    const std::optional<double> offset = attribute("add_offset");
    if constexpr (std::is_same_v<Stored, T>)
      if (!own_fill && !missing && !scale && !offset) {
        for (Stored& value : stored)
          if (fill && value == static_cast<Stored>(*fill)) value = std::numeric_limits<T>::quiet_NaN();
        return stored;
      }
    const auto is = [](const std::optional<double>& mark, Stored value) {
      return mark && value == static_cast<Stored>(*mark);  // a NaN is NaN anyway
    };
    std::vector<T> values;
    values.reserve(stored.size());
    for (const Stored value : stored) {
      const bool gone = is(fill, value) || is(missing, value);
      const double unpacked = scale.value_or(1) * static_cast<double>(value) + offset.value_or(0);
      values.push_back(gone ? std::numeric_limits<T>::quiet_NaN() : static_cast<T>(unpacked));
    }
    return values;
  };
  // All numbers of up to 16 bits, and floats, are floats exactly.
  const bool small = type == NC_BYTE || type == NC_UBYTE || type == NC_SHORT || type == NC_USHORT || type == NC_FLOAT;
  return small ? unpack(read_slab<float>(variable, start, count)) : unpack(read_slab<double>(variable, start, count));
}

template std::vector<float> NetcdfReader::read_unpacked(const std::string&) const;
template std::vector<double> NetcdfReader::read_unpacked(const std::string&) const;
template std::vector<float> NetcdfReader::read_unpacked_slab(const std::string&, Extents, Extents) const;
template std::vector<double> NetcdfReader::read_unpacked_slab(const std::string&, Extents, Extents) const;

bool NetcdfReader::holds_strings(const std::string& variable) const {
  nc_type type = NC_NAT;
  check(nc_inq_vartype(id_, find(variable), &type), variable);
  return type == NC_STRING;
}

std::vector<std::string> NetcdfReader::read_strings(const std::string& variable) const {
  const int found = find(variable);
  nc_type type = NC_NAT;
  check(nc_inq_vartype(id_, found, &type), variable);
  if (type != NC_STRING) fail(variable, "does not hold strings");
  const std::vector<std::int64_t> size = shape(variable);
  if (size.size() != 1) fail(variable, fmt::format("shape {}, where one dimension is needed", describe(size)));
  std::vector<char*> pointers(static_cast<std::size_t>(size[0]));
  if (pointers.empty()) return {};
  check(nc_get_var_string(id_, found, pointers.data()), variable);
  std::vector<std::string> strings;
  for (const char* pointer : pointers) strings.emplace_back(pointer != nullptr ? pointer : "");
  nc_free_string(pointers.size(), pointers.data());
  return strings;
}

bool NetcdfReader::has_attribute(const std::string& name) const {
  int found = 0;
  return nc_inq_attid(id_, NC_GLOBAL, name.c_str(), &found) == NC_NOERR;
}

bool NetcdfReader::has_attribute(const std::string& variable, const std::string& name) const {
  int found = 0;
  return nc_inq_attid(id_, find(variable), name.c_str(), &found) == NC_NOERR;
}

std::string NetcdfReader::text_of(int variable, const std::string& name, const std::string& field) const {
  nc_type type = NC_NAT;
  std::size_t size = 0;
  check(nc_inq_att(id_, variable, name.c_str(), &type, &size), field);
  if (type == NC_STRING && size == 1) {
    char* pointer = nullptr;
    check(nc_get_att_string(id_, variable, name.c_str(), &pointer), field);
    std::string text(pointer != nullptr ? pointer : "");
    nc_free_string(1, &pointer);
    return text;
  }
  if (type != NC_CHAR) fail(field, "is not text");
  std::string text(size, '\0');
  check(nc_get_att_text(id_, variable, name.c_str(), text.data()), field);
  return text;
}

std::string NetcdfReader::text(const std::string& name) const { return text_of(NC_GLOBAL, name, name); }

std::string NetcdfReader::text(const std::string& variable, const std::string& name) const {
  return text_of(find(variable), name, variable + ":" + name);
}

std::vector<double> NetcdfReader::numbers_of(int variable, const std::string& name, const std::string& field) const {
  nc_type type = NC_NAT;
  std::size_t size = 0;
  check(nc_inq_att(id_, variable, name.c_str(), &type, &size), field);
  if (!is_number(type)) fail(field, "is not a number");
  std::vector<double> values(size);
  check(nc_get_att_double(id_, variable, name.c_str(), values.data()), field);
  return values;
}

double NetcdfReader::number_of(int variable, const std::string& name, const std::string& field) const {
  const std::vector<double> values = numbers_of(variable, name, field);
  if (values.size() != 1) fail(field, fmt::format("{} numbers, where one is needed", values.size()));
  return values[0];
}

std::vector<double> NetcdfReader::numbers(const std::string& name) const { return numbers_of(NC_GLOBAL, name, name); }

double NetcdfReader::number(const std::string& name) const { return number_of(NC_GLOBAL, name, name); }

double NetcdfReader::number(const std::string& variable, const std::string& name) const {
  return number_of(find(variable), name, variable + ":" + name);
}

}  // namespace levda::experiments
