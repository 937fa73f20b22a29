#include <fmt/format.h>
#include <netcdf.h>
#include <netcdf_filter.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <functional>
#include <limits>
#include <new>
#include <optional>
#include <type_traits>

#include "autodiff/error.h"
#include "experiments/data/netcdf_file.h"
#include "experiments/data/netcdf_internal.h"

namespace levda::experiments {

namespace netcdf {

bool is_number(int type) { return type >= NC_BYTE && type <= NC_UINT64 && type != NC_CHAR; }

}  // namespace netcdf

using namespace netcdf;

static_assert(sizeof(long long) == sizeof(std::int64_t) && sizeof(int) == sizeof(std::int32_t),
              "netCDF's names of the integer types");

namespace {

/// The value that netCDF puts where nothing was written.
std::optional<double> default_fill(nc_type type) {
  switch (type) {
    case NC_SHORT: return NC_FILL_SHORT;
    case NC_USHORT: return NC_FILL_USHORT;
    case NC_INT: return NC_FILL_INT;
    case NC_UINT: return NC_FILL_UINT;
    case NC_INT64: return static_cast<double>(NC_FILL_INT64);
    case NC_UINT64: return static_cast<double>(NC_FILL_UINT64);
    case NC_FLOAT: return NC_FILL_FLOAT;
    case NC_DOUBLE: return NC_FILL_DOUBLE;
    default: return std::nullopt;
  }
}

/// Bits of an integer, with its sign: 16 for a short, of either kind; 0 for other types.
int bits_of(nc_type type) {
  switch (type) {
    case NC_BYTE:
    case NC_UBYTE: return 8;
    case NC_SHORT:
    case NC_USHORT: return 16;
    case NC_INT:
    case NC_UINT: return 32;
    default: return 0;
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

/// How stored numbers become values.
struct Packing {
  double wrap = 0;  // added to stored numbers below 0, or if it is below 0, to those from -wrap / 2 on
  std::vector<double> gone;
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
  double scale = 1;
  double offset = 0;

  template <class Stored>
  Stored unwrapped(Stored value) const {
    const bool wrong = wrap > 0 ? value < 0 : wrap < 0 && value >= static_cast<Stored>(-wrap / 2);
    return wrong ? value + static_cast<Stored>(wrap) : value;
  }

  /// A number of an attribute in the type of the stored ones; beyond the largest one it is infinite.
  template <class Stored>
  static Stored as(double number) {
    if (std::abs(number) <= std::numeric_limits<Stored>::max()) return static_cast<Stored>(number);
    return number < 0 ? -std::numeric_limits<Stored>::infinity() : std::numeric_limits<Stored>::infinity();
  }

  template <class Stored>
  double value(Stored stored) const {
    const Stored number = unwrapped(stored);
    const bool missing =
        std::any_of(gone.begin(), gone.end(), [&](double mark) { return number == as<Stored>(mark); }) ||
        number < as<Stored>(least) || number > as<Stored>(most);
    if (missing) return std::numeric_limits<double>::quiet_NaN();
    const auto plain = static_cast<double>(number);
    return scale == 1 && offset == 0 ? plain : scale * plain + offset;  // -0 stays -0
  }
};

/// What CF's attributes of a variable say. Throws InputError.
Packing packing_of(const NetcdfReader& file, const std::string& source, const std::string& variable, nc_type type,
                   const std::function<nc_type(const char*)>& type_of_attribute) {
  Packing p;
  const auto there = [&](const char* name) { return file.has_attribute(variable, name); };
  const auto fail = [&](const char* name, const std::string& message) {
    throw InputError(source, variable + ":" + name, message);
  };
  if (there("_Unsigned")) {
    std::string kind = file.text(variable, "_Unsigned");
    std::transform(kind.begin(), kind.end(), kind.begin(), [](unsigned char c) { return std::tolower(c); });
    if (kind != "true" && kind != "false") fail("_Unsigned", fmt::format("\"{}\" is neither true nor false", kind));
    const double size = std::ldexp(1.0, bits_of(type));
    const bool is_signed = type == NC_BYTE || type == NC_SHORT || type == NC_INT;
    if (bits_of(type) > 0 && is_signed == (kind == "true")) p.wrap = is_signed ? size : -size;
  }
  if (there("scale_factor")) p.scale = file.number(variable, "scale_factor");
  if (there("add_offset")) p.offset = file.number(variable, "add_offset");
  if (!std::isfinite(p.scale) || p.scale == 0) fail("scale_factor", fmt::format("{} is no factor", p.scale));
  if (!std::isfinite(p.offset)) fail("add_offset", fmt::format("{} is no number", p.offset));
  if (there("_FillValue"))
    p.gone = file.numbers(variable, "_FillValue");
  else if (const std::optional<double> fill = default_fill(type))
    p.gone = {*fill};
  if (there("missing_value"))
    for (const double mark : file.numbers(variable, "missing_value")) p.gone.push_back(mark);
  std::erase_if(p.gone, [](double mark) { return std::isnan(mark); });  // a NaN is NaN anyway
  for (double& mark : p.gone) mark = p.unwrapped(mark);
  const auto bound = [&](const char* name, std::size_t count) {
    // Whether bounds of another type are of packed or of unpacked numbers is told differently by different readers.
    const nc_type own = type_of_attribute(name);
    const bool same = own == type || (bits_of(own) > 0 && bits_of(own) == bits_of(type));
    if ((there("scale_factor") || there("add_offset")) && !same)
      fail(name, "of another type than the packed numbers, so that it may mean either these or the values");
    std::vector<double> bounds = file.numbers(variable, name);
    if (bounds.size() != count) fail(name, fmt::format("{} numbers, where {} are needed", bounds.size(), count));
    for (double& value : bounds)
      if (std::isnan(value)) fail(name, "nan is no bound");
    for (double& value : bounds) value = p.unwrapped(value);
    return bounds;
  };
  if (there("valid_min")) p.least = bound("valid_min", 1)[0];
  if (there("valid_max")) p.most = bound("valid_max", 1)[0];
  if (there("valid_range")) {
    if (there("valid_min") || there("valid_max")) fail("valid_range", "stands beside valid_min or valid_max");
    const std::vector<double> range = bound("valid_range", 2);
    p.least = range[0];
    p.most = range[1];
  }
  return p;
}

std::string trimmed(std::string text) {
  text = text.substr(0, text.find('\0'));
  text.erase(text.find_last_not_of(" \t") + 1);
  return text;
}

}  // namespace

int NetcdfReader::type_of(const std::string& variable) const {
  const Place place = find(variable);
  nc_type type = NC_NAT;
  check(nc_inq_vartype(place.group, place.variable, &type), variable);
  return type;
}

void NetcdfReader::fail_to_read(const std::string& variable, int status) const {
  const Place place = find(variable);
  std::size_t count = 0;
  std::vector<unsigned> filters;
  if (nc_inq_var_filter_ids(place.group, place.variable, &count, nullptr) == NC_NOERR) filters.resize(count);
  if (count > 0) nc_inq_var_filter_ids(place.group, place.variable, &count, filters.data());
  for (const unsigned filter : filters) {
    if (filter <= 3) continue;  // zlib, shuffling and checksums, which HDF5 always has
    const char* name = filter == 4       ? "szip"
                       : filter == 307   ? "bzip2"
                       : filter == 32001 ? "blosc"
                       : filter == 32004 ? "lz4"
                       : filter == 32013 ? "zfp"
                       : filter == 32015 ? "zstd"
                                         : "a filter";
    fail(variable, fmt::format("is compressed with {} (HDF5 filter {}), and its plug-in is missing or failed; "
                               "HDF5_PLUGIN_PATH names the folder of plug-ins",
                               name, filter));
  }
  fail(variable, describe(status));
}

template <class T>
std::vector<T> NetcdfReader::read(const std::string& variable) const {
  const std::vector<std::int64_t> count = shape(variable);
  return read_slab<T>(variable, std::vector<std::int64_t>(count.size()), count);
}

template <class T>
std::vector<T> NetcdfReader::read_slab(const std::string& variable, Extents start, Extents count) const {
  const Place place = find(variable);
  if (!is_number(type_of(variable))) fail(variable, "does not hold numbers");
  note_read(variable);
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
  if (values.empty()) return values;
  const CrashGuard guard(path_);
  const int status =
      get(place.group, place.variable, unsigned_of(start).data(), unsigned_of(count).data(), values.data());
  if (status != NC_NOERR) fail_to_read(variable, status);
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
  const nc_type type = type_of(variable);
  if (!is_number(type)) fail(variable, "does not hold numbers");
  const Place place = find(variable);
  const Packing packing = packing_of(*this, path_.string(), variable, type, [&](const char* name) {
    nc_type found = NC_NAT;
    check(nc_inq_atttype(place.group, place.variable, name, &found), variable);
    return found;
  });
  const auto unpack = [&]<class Stored>(std::vector<Stored> stored) {
    if constexpr (std::is_same_v<Stored, T>) {
      for (Stored& value : stored) value = static_cast<T>(packing.value(value));
      return stored;
    } else {
      std::vector<T> values;
      values.reserve(stored.size());
      for (const Stored value : stored) values.push_back(static_cast<T>(packing.value(value)));
      return values;
    }
  };
  // All numbers of up to 16 bits, and floats, are floats exactly.
  const bool small = type == NC_FLOAT || (bits_of(type) > 0 && bits_of(type) <= 16);
  return small ? unpack(read_slab<float>(variable, start, count)) : unpack(read_slab<double>(variable, start, count));
}

template std::vector<float> NetcdfReader::read_unpacked(const std::string&) const;
template std::vector<double> NetcdfReader::read_unpacked(const std::string&) const;
template std::vector<float> NetcdfReader::read_unpacked_slab(const std::string&, Extents, Extents) const;
template std::vector<double> NetcdfReader::read_unpacked_slab(const std::string&, Extents, Extents) const;

std::vector<std::int64_t> NetcdfReader::read_whole(const std::string& variable) const {
  std::vector<std::int64_t> whole;
  for (const double value : read_unpacked<double>(variable)) {
    if (!(std::abs(value) <= 9e15) || value != std::floor(value))
      fail(variable, fmt::format("row {}: {} is not a whole number", whole.size(), value));
    whole.push_back(static_cast<std::int64_t>(value));
  }
  return whole;
}

bool NetcdfReader::holds_strings(const std::string& variable) const {
  const nc_type type = type_of(variable);
  return type == NC_STRING || type == NC_CHAR;
}

std::vector<std::string> NetcdfReader::read_strings(const std::string& variable) const {
  const Place place = find(variable);
  const nc_type type = type_of(variable);
  if (!holds_strings(variable)) fail(variable, "does not hold strings");
  note_read(variable);
  const std::vector<std::int64_t> size = shape(variable);
  const bool letters = type == NC_CHAR;
  if (size.size() != 1 && !(letters && size.size() == 2))
    fail(variable, fmt::format("shape {}, where one dimension{} is needed", describe(size),
                               letters ? ", or one more of letters," : ""));
  const CrashGuard guard(path_);
  constexpr std::int64_t most = std::int64_t{1} << 32;
  if (values_in(size, most) > most) fail(variable, fmt::format("shape {} does not fit into memory", describe(size)));
  std::vector<std::string> strings;
  if (letters) {
    const auto length = static_cast<std::size_t>(size.size() == 2 ? size[1] : 1);
    std::string all(static_cast<std::size_t>(size[0]) * length, '\0');
    if (!all.empty())
      if (const int status = nc_get_var_text(place.group, place.variable, all.data()); status != NC_NOERR)
        fail_to_read(variable, status);
    for (std::int64_t i = 0; i < size[0]; ++i)
      strings.push_back(trimmed(all.substr(static_cast<std::size_t>(i) * length, length)));
    return strings;
  }
  std::vector<char*> pointers(static_cast<std::size_t>(size[0]));
  if (pointers.empty()) return {};
  if (const int status = nc_get_var_string(place.group, place.variable, pointers.data()); status != NC_NOERR)
    fail_to_read(variable, status);
  for (const char* pointer : pointers) strings.emplace_back(pointer != nullptr ? pointer : "");
  nc_free_string(pointers.size(), pointers.data());
  return strings;
}

}  // namespace levda::experiments
