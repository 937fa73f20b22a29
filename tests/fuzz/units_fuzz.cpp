/// Any two lines as units of times, which are converted to each other.

#include "experiments/data/units.h"
#include "tests/fuzz/fuzz.h"

using namespace levda;

/// UDUNITS-2 loses a few bytes in its scanner when a text is no unit.
extern "C" const char* __lsan_default_suppressions() { return "leak:libudunits2"; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::size_t end = text.find('\n');
  if (end == std::string::npos) return 0;
  const std::string from = text.substr(0, end);
  const std::string to = text.substr(end + 1);
  experiments::conversion(from, to);
  try {
    experiments::time_conversion(experiments::time_unit(from, ""), experiments::time_unit(to, "noleap"));
    experiments::time_conversion(experiments::time_unit(from, ""), experiments::time_unit(to, ""));
  } catch (const Error&) {
  }
  return 0;
}
