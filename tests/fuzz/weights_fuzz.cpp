/// Any bytes as the weights of a surrogate. The seed is made when the target starts.

#include "tests/experiments/training/tiny_training.h"
#include "tests/fuzz/fuzz.h"
#include "tests/nn/temporary_folder.h"

using namespace levda;

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  const testing::TinyTraining tiny;
  const testing::TemporaryFolder folder;
  if (const std::filesystem::path seeds = testing::seed_folder(*argc, *argv); !seeds.empty())
    models::save_surrogate(seeds / "seed", tiny.train(folder / "checkpoint"));
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const testing::InputFile file(data, size);
  try {
    models::load_surrogate(file.path());
  } catch (const InputError& error) {
    testing::check_refusal(file.path() + ": ", error);
  }
  return 0;
}
