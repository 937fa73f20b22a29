/// Any bytes as observations in CSV, and what the smoother's check says of those that can be read.

#include "experiments/data/observation_csv.h"
#include "tests/fuzz/fuzz.h"

using namespace levda;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const models::Description about = [] {
    models::Description d;
    d.channel_names = {"u", "v", "eta"};
    d.grid = {.nx = 3, .ny = 3, .dx = 1, .dy = 1, .offset_x = {0, 0, 0}, .offset_y = {0, 0, 0}, .x = {}, .y = {}};
    return d;
  }();
  try {
    const da::Observations o =
        experiments::parse_observations_csv({reinterpret_cast<const char*>(data), size}, "o.csv", about);
    da::check(o, "o.csv", 1e6, about.channels());
  } catch (const InputError& error) {
    testing::check_refusal("o.csv: ", error);
  }
  return 0;
}
