/// Any bytes as a TOML file of settings, and as the argument of --set.

#include "experiments/config/config.h"

#include "tests/fuzz/fuzz.h"

using namespace levda;
using namespace levda::experiments;

namespace {

/// What follows when the settings are taken.
void use(const Config& config) {
  try {
    check(config);
  } catch (const InputError& error) {
    testing::check_refusal("configuration: ", error);
  }
  fingerprint(config, {"seed", "data", "surrogate", "training", "observations", "assimilation"});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Config preset = load_preset("tsunami", "small");
  const testing::InputFile file(data, size);
  try {
    Config config = preset;
    apply_file(config, file.path());
    use(config);
  } catch (const InputError& error) {
    testing::check_refusal(file.path() + ": ", error);
  }
  try {
    Config config = preset;
    apply_setting(config, std::string(reinterpret_cast<const char*>(data), size));
    use(config);
  } catch (const InputError& error) {
    testing::check_refusal("--set: ", error);
  }
  return 0;
}
