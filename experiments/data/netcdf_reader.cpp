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
#include "experiments/data/netcdf_file.h"
#include "experiments/data/netcdf_internal.h"

namespace levda::experiments {

namespace fs = std::filesystem;

bool has_netcdf() { return true; }

void require_netcdf(const std::string&) {}

namespace netcdf {

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

namespace {

bool is_inside(Extents shape, Extents start, Extents count) {
  if (start.size() != shape.size() || count.size() != shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (start[i] < 0 || count[i] < 0 || start[i] > shape[i] || count[i] > shape[i] - start[i]) return false;
  return true;
}

}  // namespace

std::string outside(Extents shape, Extents start, Extents count) {
  if (is_inside(shape, start, count)) return "";
  return fmt::format("block {} from {} is outside of shape {}", describe(count), describe(start), describe(shape));
}

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

}  // namespace netcdf

using namespace netcdf;

static_assert(sizeof(long long) == sizeof(std::int64_t) && sizeof(int) == sizeof(std::int32_t),
              "netCDF's names of the integer types");

namespace {

std::string field_of(const std::string& variable, const std::string& name) {
  return variable.empty() ? name : variable + ":" + name;
}

bool is_number(nc_type type) { return type >= NC_BYTE && type <= NC_UINT64 && type != NC_CHAR; }

/// The value that netCDF puts where nothing was written.
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
  int found = NC_GLOBAL;
  if (!variable.empty()) check(nc_inq_varid(id_, variable.c_str(), &found), variable);
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
  if (const std::string complaint = outside(whole, start, count); !complaint.empty()) fail(variable, complaint);
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

bool NetcdfReader::has_attribute(const std::string& variable, const std::string& name) const {
  int found = 0;
  return nc_inq_attid(id_, find(variable), name.c_str(), &found) == NC_NOERR;
}

std::string NetcdfReader::text(const std::string& variable, const std::string& name) const {
  const int owner = find(variable);
  const std::string field = field_of(variable, name);
  nc_type type = NC_NAT;
  std::size_t size = 0;
  check(nc_inq_att(id_, owner, name.c_str(), &type, &size), field);
  if (type == NC_STRING && size == 1) {
    char* pointer = nullptr;
    check(nc_get_att_string(id_, owner, name.c_str(), &pointer), field);
    std::string text(pointer != nullptr ? pointer : "");
    nc_free_string(1, &pointer);
    return text;
  }
  if (type != NC_CHAR) fail(field, "is not text");
  std::string text(size, '\0');
  check(nc_get_att_text(id_, owner, name.c_str(), text.data()), field);
  return text;
}

std::vector<double> NetcdfReader::numbers(const std::string& variable, const std::string& name) const {
  const int owner = find(variable);
  const std::string field = field_of(variable, name);
  nc_type type = NC_NAT;
  std::size_t size = 0;
  check(nc_inq_att(id_, owner, name.c_str(), &type, &size), field);
  if (!is_number(type)) fail(field, "is not a number");
  std::vector<double> values(size);
  check(nc_get_att_double(id_, owner, name.c_str(), values.data()), field);
  return values;
}

double NetcdfReader::number(const std::string& variable, const std::string& name) const {
  const std::vector<double> values = numbers(variable, name);
  if (values.size() != 1) fail(field_of(variable, name), fmt::format("{} numbers, where one is needed", values.size()));
  return values[0];
}

}  // namespace levda::experiments
