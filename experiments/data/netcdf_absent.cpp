/// Replaces netcdf_reader.cpp and netcdf_writer.cpp in a build without netCDF-C: every file is refused.

#include <cstdlib>

#include "autodiff/error.h"
#include "experiments/data/netcdf_file.h"

namespace levda::experiments {

namespace fs = std::filesystem;
using Extents = std::span<const std::int64_t>;
using Strings = std::vector<std::string>;

bool has_netcdf() { return false; }

void require_netcdf(const std::string& what) {
  throw InputError(what, "", "NetCDF is needed, which this build of levda is without (LEVDA_NETCDF)");
}

NetcdfWriter::NetcdfWriter(fs::path final_path) : path_(std::move(final_path)), file_(path_) {
  require_netcdf(path_.string());
}

NetcdfReader::NetcdfReader(fs::path path) : path_(std::move(path)) { require_netcdf(path_.string()); }

// There are no objects of these classes, so nothing below is ever called.

NetcdfWriter::~NetcdfWriter() = default;
void NetcdfWriter::dimension(const std::string&, std::int64_t) { std::abort(); }
void NetcdfWriter::variable(const std::string&, Type, const Strings&, const Attributes&, const Storage&) {
  std::abort();
}
void NetcdfWriter::attribute(const std::string&, const AttributeValue&) { std::abort(); }
void NetcdfWriter::write(const std::string&, const Values&) { std::abort(); }
void NetcdfWriter::write_slab(const std::string&, Extents, Extents, const Values&) { std::abort(); }
void NetcdfWriter::write_strings(const std::string&, const std::string&, const Strings&) { std::abort(); }
void NetcdfWriter::commit() { std::abort(); }

NetcdfReader::~NetcdfReader() = default;
bool NetcdfReader::has_dimension(const std::string&) const { std::abort(); }
std::int64_t NetcdfReader::dimension(const std::string&) const { std::abort(); }
bool NetcdfReader::has_variable(const std::string&) const { std::abort(); }
bool NetcdfReader::has_group(const std::string&) const { std::abort(); }
Strings NetcdfReader::unread() const { std::abort(); }
std::vector<std::int64_t> NetcdfReader::read_whole(const std::string&) const { std::abort(); }
std::vector<std::int64_t> NetcdfReader::shape(const std::string&) const { std::abort(); }
Strings NetcdfReader::dimensions(const std::string&) const { std::abort(); }
void NetcdfReader::require_shape(const std::string&, const std::vector<std::int64_t>&) const { std::abort(); }
bool NetcdfReader::holds_strings(const std::string&) const { std::abort(); }
Strings NetcdfReader::read_strings(const std::string&) const { std::abort(); }
std::vector<double> NetcdfReader::numbers(const std::string&, const std::string&) const { std::abort(); }
bool NetcdfReader::has_attribute(const std::string&, const std::string&) const { std::abort(); }
std::string NetcdfReader::text(const std::string&, const std::string&) const { std::abort(); }
double NetcdfReader::number(const std::string&, const std::string&) const { std::abort(); }

template <class T>
std::vector<T> NetcdfReader::read(const std::string&) const {
  std::abort();
}
template <class T>
std::vector<T> NetcdfReader::read_unpacked(const std::string&) const {
  std::abort();
}
template <class T>
std::vector<T> NetcdfReader::read_unpacked_slab(const std::string&, Extents, Extents) const {
  std::abort();
}

template std::vector<float> NetcdfReader::read(const std::string&) const;
template std::vector<double> NetcdfReader::read(const std::string&) const;
template std::vector<std::int32_t> NetcdfReader::read(const std::string&) const;
template std::vector<std::int64_t> NetcdfReader::read(const std::string&) const;
template std::vector<float> NetcdfReader::read_unpacked(const std::string&) const;
template std::vector<double> NetcdfReader::read_unpacked(const std::string&) const;
template std::vector<float> NetcdfReader::read_unpacked_slab(const std::string&, Extents, Extents) const;

}  // namespace levda::experiments
