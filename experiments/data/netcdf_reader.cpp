#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netcdf.h>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>

#include "autodiff/error.h"
#include "experiments/data/classic_header.h"
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

namespace {

// What the handler writes: it must not allocate.
std::array<char, 4400> last_words{};
std::size_t last_length = 0;

void end_by_crash(int) {
  const ssize_t written = ::write(STDERR_FILENO, last_words.data(), last_length);
  ::_exit(written < 0 ? 3 : 2);
}

}  // namespace

CrashGuard::CrashGuard(const fs::path& path) {
  // A stack of its own for the handler: a crash may be an endless recursion.
  static std::array<char, 1 << 16> stack;
  stack_t own{};
  own.ss_sp = stack.data();
  own.ss_size = stack.size();
  ::sigaltstack(&own, nullptr);
  const auto text = fmt::format_to_n(last_words.data(), last_words.size() - 1,
                                     "levda: {}: damaged: the HDF5 library fails on it", path.string());
  *text.out = '\n';
  last_length = static_cast<std::size_t>(text.out - last_words.data()) + 1;
  struct sigaction action {};
  action.sa_handler = end_by_crash;
  action.sa_flags = SA_ONSTACK;
  for (std::size_t i = 0; i < signals.size(); ++i) ::sigaction(signals[i], &action, &before_[i]);
}

CrashGuard::~CrashGuard() {
  for (std::size_t i = 0; i < signals.size(); ++i) ::sigaction(signals[i], &before_[i], nullptr);
}

}  // namespace netcdf

using namespace netcdf;

namespace {

std::string field_of(const std::string& variable, const std::string& name) {
  return variable.empty() ? name : variable + ":" + name;
}

/// The first bytes of a file.
std::string beginning(const fs::path& path) {
  std::string bytes(12, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  return bytes;
}

/// Why HDF5 does not open a file: it wants a lock, or the file is damaged.
std::string why_not_open(const fs::path& path, const std::string& begin) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const int status = file < 0 ? 0 : ::flock(file, LOCK_SH | LOCK_NB);
  const int error = errno;
  if (file >= 0) ::close(file);
  constexpr const char* remedy = "with HDF5_USE_FILE_LOCKING=FALSE in the environment it is read all the same";
  if (status != 0 && (error == EWOULDBLOCK || error == EACCES))
    return fmt::format("is locked by another program, which may be writing to it; {}", remedy);
  if (status != 0) return fmt::format("lies on a file system without locks ({}); {}", std::strerror(error), remedy);
  const bool superblock_3 = begin.starts_with("\x89HDF") && begin.size() == 12 && begin[8] == 3;
  if (superblock_3 && (begin[11] & 1) != 0)
    return "is open for writing in another program, or was never closed (h5clear -s mends that)";
  return "not a NetCDF file, or truncated";
}

/// Attributes that only describe, and those that netCDF keeps for itself.
bool is_descriptive(std::string_view name) {
  constexpr std::array known{"long_name",     "standard_name", "comment",     "title",         "history",
                             "source",        "institution",   "references",  "Conventions",   "axis",
                             "positive",      "cell_methods",  "coordinates", "flag_values",   "flag_masks",
                             "flag_meanings", "valid_min",     "valid_max",   "valid_range",   "_FillValue",
                             "missing_value", "summary",       "keywords",    "DIMENSION_LIST"};
  return std::find(known.begin(), known.end(), name) != known.end() || name.starts_with("_NC") ||
         name.starts_with("_Netcdf4") || name.starts_with("_Coordinate") || name.starts_with("_ioda") ||
         name == "_Encoding" || name == "CLASS" || name == "NAME" || name == "REFERENCE_LIST";
}

std::vector<int> ids_of(int (*inquire)(int, int*, int*), int group) {
  int count = 0;
  if (inquire(group, &count, nullptr) != NC_NOERR) return {};
  std::vector<int> ids(static_cast<std::size_t>(count));
  if (count > 0 && inquire(group, &count, ids.data()) != NC_NOERR) return {};
  return ids;
}

void add_variables(int group, const std::string& before, std::vector<std::string>& names) {
  char name[NC_MAX_NAME + 1] = "";
  for (const int id : ids_of(nc_inq_varids, group))
    if (nc_inq_varname(group, id, name) == NC_NOERR) names.push_back(before + name);
  for (const int id : ids_of(nc_inq_grps, group))
    if (nc_inq_grpname(id, name) == NC_NOERR) add_variables(id, before + name + "/", names);
}

}  // namespace

NetcdfReader::NetcdfReader(fs::path path) : path_(std::move(path)) {
  std::error_code ignored;
  if (!fs::exists(path_, ignored)) fail("", "no such file");
  if (fs::is_directory(path_, ignored)) fail("", "is a folder, not a file");
  if (!fs::is_regular_file(path_, ignored)) fail("", "is a pipe or a device, where NetCDF needs a file");
  const std::string begin = beginning(path_);
  if (begin.starts_with("CDF"))
    if (const std::string fault = classic_fault(path_); !fault.empty()) fail("", fault);
  const int status = [&] {
    const CrashGuard guard(path_);
    const int opened = nc_open(path_.c_str(), NC_NOWRITE, &id_);
    // Only this reads what the file says about its variables.
    if (opened == NC_NOERR) add_variables(id_, "", names_);
    return opened;
  }();
  // Above zero it is an errno.
  if (status > 0) fail("", fmt::format("cannot be read: {}", std::strerror(status)));
  if (status != NC_NOERR) fail("", why_not_open(path_, begin));
}

NetcdfReader::~NetcdfReader() {
  const CrashGuard guard(path_);
  nc_close(id_);
}

void NetcdfReader::fail(const std::string& field, const std::string& message) const {
  throw InputError(path_.string(), field, message);
}

void NetcdfReader::check(int status, const std::string& field) const {
  if (status != NC_NOERR) fail(field, describe(status));
}

NetcdfReader::Place NetcdfReader::find(const std::string& variable) const {
  Place found{.group = id_, .variable = NC_GLOBAL};
  std::size_t begin = 0;
  for (std::size_t end = variable.find('/'); end != std::string::npos; end = variable.find('/', begin)) {
    check(nc_inq_grp_ncid(found.group, variable.substr(begin, end - begin).c_str(), &found.group), variable);
    begin = end + 1;
  }
  if (!variable.empty()) check(nc_inq_varid(found.group, variable.substr(begin).c_str(), &found.variable), variable);
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
  return std::find(names_.begin(), names_.end(), name) != names_.end();
}

bool NetcdfReader::has_group(const std::string& name) const {
  return std::any_of(names_.begin(), names_.end(),
                     [&](const std::string& variable) { return variable.starts_with(name + "/"); });
}

std::vector<std::string> NetcdfReader::attributes(const std::string& variable) const {
  const Place place = find(variable);
  const CrashGuard guard(path_);
  int count = 0;
  check(nc_inq_varnatts(place.group, place.variable, &count), variable);
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) {
    char name[NC_MAX_NAME + 1] = "";
    check(nc_inq_attname(place.group, place.variable, i, name), variable);
    names.emplace_back(name);
  }
  return names;
}

std::vector<std::string> NetcdfReader::unread() const {
  std::vector<std::string> names;
  const auto is_one = [&](const std::string& variable, const std::string& name) {
    nc_type type = NC_NAT;
    const Place place = find(variable);
    return name == "units" && nc_inq_atttype(place.group, place.variable, "units", &type) == NC_NOERR &&
           type == NC_CHAR && text(variable, "units") == "1";
  };
  const auto add_attributes = [&](const std::string& variable) {
    for (const std::string& name : attributes(variable))
      if (!is_descriptive(name) && !read_.contains(field_of(variable, name)) && !is_one(variable, name))
        names.push_back(field_of(variable, name));
  };
  for (const std::string& variable : variables())
    if (!read_.contains(variable)) names.push_back(variable);
  for (const std::string& variable : variables())
    if (read_.contains(variable)) add_attributes(variable);
  add_attributes("");
  return names;
}

std::vector<std::int64_t> NetcdfReader::shape(const std::string& variable) const {
  std::vector<std::int64_t> shape;
  const Place place = find(variable);
  check(inquire_shape(place.group, place.variable, shape), variable);
  return shape;
}

std::vector<std::string> NetcdfReader::dimensions(const std::string& variable) const {
  std::vector<int> ids(shape(variable).size());
  const Place place = find(variable);
  check(nc_inq_vardimid(place.group, place.variable, ids.data()), variable);
  std::vector<std::string> names;
  for (const int id : ids) {
    char name[NC_MAX_NAME + 1] = "";
    check(nc_inq_dimname(place.group, id, name), variable);
    names.emplace_back(name);
  }
  return names;
}

void NetcdfReader::require_shape(const std::string& variable, const std::vector<std::int64_t>& expected) const {
  const std::vector<std::int64_t> found = shape(variable);
  if (found != expected)
    fail(variable, fmt::format("shape {}, where {} is needed", describe(found), describe(expected)));
}

bool NetcdfReader::has_attribute(const std::string& variable, const std::string& name) const {
  int found = 0;
  const Place place = find(variable);
  const CrashGuard guard(path_);  // attributes are read from the file when the first one is asked for
  return nc_inq_attid(place.group, place.variable, name.c_str(), &found) == NC_NOERR;
}

std::string NetcdfReader::text(const std::string& variable, const std::string& name) const {
  const auto [group, owner] = find(variable);
  const std::string field = field_of(variable, name);
  note_read(field);
  const CrashGuard guard(path_);
  nc_type type = NC_NAT;
  std::size_t size = 0;
  check(nc_inq_att(group, owner, name.c_str(), &type, &size), field);
  std::string text(size, '\0');
  if (type == NC_STRING && size == 1) {
    char* pointer = nullptr;
    check(nc_get_att_string(group, owner, name.c_str(), &pointer), field);
    text = pointer != nullptr ? pointer : "";
    nc_free_string(1, &pointer);
  } else {
    if (type != NC_CHAR) fail(field, "is not text");
    check(nc_get_att_text(group, owner, name.c_str(), text.data()), field);
  }
  return text.substr(0, text.find('\0'));
}

std::vector<double> NetcdfReader::numbers(const std::string& variable, const std::string& name) const {
  const auto [group, owner] = find(variable);
  const std::string field = field_of(variable, name);
  note_read(field);
  nc_type type = NC_NAT;
  std::size_t size = 0;
  check(nc_inq_att(group, owner, name.c_str(), &type, &size), field);
  if (!is_number(type)) fail(field, "is not a number");
  const CrashGuard guard(path_);
  std::vector<double> values(size);
  check(nc_get_att_double(group, owner, name.c_str(), values.data()), field);
  return values;
}

double NetcdfReader::number(const std::string& variable, const std::string& name) const {
  const std::vector<double> values = numbers(variable, name);
  if (values.size() != 1) fail(field_of(variable, name), fmt::format("{} numbers, where one is needed", values.size()));
  return values[0];
}

}  // namespace levda::experiments
