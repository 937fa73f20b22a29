/// Any bytes as the checkpoint of a training, which then goes on from it. The seed is made when the target starts: it
/// holds the configuration as text, which changes with every new key.

#include <oneapi/tbb/global_control.h>

#include <memory>

#include "tests/experiments/training/tiny_training.h"
#include "tests/fuzz/fuzz.h"

using namespace levda;

namespace {

std::unique_ptr<testing::TinyTraining> tiny;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  static const oneapi::tbb::global_control one(oneapi::tbb::global_control::max_allowed_parallelism, 1);
  tiny = std::make_unique<testing::TinyTraining>();
  if (const std::filesystem::path seeds = testing::seed_folder(*argc, *argv); !seeds.empty())
    tiny->stopped(seeds / "seed");  // after a step, with a checkpoint
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const testing::InputFile file(data, size);
  try {
    tiny->train(file.path());
  } catch (const InputError& error) {
    testing::check_refusal(file.path() + ": ", error);
  } catch (const Error& error) {  // weights so large that the first step overflows
    testing::check_refusal("training step ", error);
  }
  return 0;
}
