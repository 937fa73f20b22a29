/// Any bytes as a NetCDF file of a classic kind: its header is checked before netCDF-C sees the file, and all of it is
/// read. HDF5 has fuzzers of its own.

#include "experiments/data/netcdf_file.h"
#include "tests/fuzz/fuzz.h"

using namespace levda;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3 || std::string_view(reinterpret_cast<const char*>(data), 3) != "CDF") return 0;
  const testing::InputFile input(data, size);
  try {
    const experiments::NetcdfReader file(input.path());
    for (const std::string& name : file.variables()) {
      if (file.holds_strings(name))
        file.read_strings(name);
      else
        file.read_unpacked<double>(name);
    }
    file.unread();
  } catch (const InputError& error) {
    testing::check_refusal(input.path() + ": ", error);
  }
  return 0;
}
