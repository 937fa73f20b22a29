/// Checkpoints of a training that cannot be, refused with the file and the field.

#include <doctest/doctest.h>

#include <functional>

#include "autodiff/error.h"
#include "nn/safetensors.h"
#include "tests/experiments/training/tiny_training.h"
#include "tests/nn/temporary_folder.h"

using levda::InputError;
using levda::autodiff::DType;
using levda::autodiff::Tensor;
using levda::nn::TensorFile;
using levda::testing::TemporaryFolder;
using levda::testing::TinyTraining;

TEST_CASE("checkpoint: what cannot be is refused with the file and the field") {
  const TemporaryFolder folder;
  const TinyTraining tiny;
  const auto path = folder / "checkpoint";
  REQUIRE(tiny.stopped(path));
  const TensorFile good = levda::nn::read_safetensors(path);
  CHECK(good.metadata.at("steps") == "1");
  CHECK_NOTHROW(tiny.train(path));
  const auto refused = [&](const std::string& message, const std::function<void(TensorFile&)>& change) {
    TensorFile file = good;
    change(file);
    levda::nn::write_safetensors(path, file);
    CHECK_THROWS_WITH_AS(tiny.train(path), (path.string() + ": " + message).c_str(), InputError);
  };
  // A step before the first would read batches from before the data.
  for (const char* steps : {"-3", "", "2x", "1e1", "99999999999999999999"})
    refused("steps: \"" + std::string(steps) + "\" is not a number from 0 on",
            [&](TensorFile& f) { f.metadata["steps"] = steps; });
  for (const char* seconds : {"-1", "nan", "inf", "soon"})
    refused("seconds: \"" + std::string(seconds) + "\" is not a number from 0 on",
            [&](TensorFile& f) { f.metadata["seconds"] = seconds; });
  refused(
      "format: \"levda-checkpoint-0\" of another version, where \"levda-checkpoint-1\" is needed; remove it, or "
      "train in another folder",
      [](TensorFile& f) { f.metadata["format"] = "levda-checkpoint-0"; });
  refused("steps: missing from the metadata", [](TensorFile& f) { f.metadata.erase("steps"); });
  refused("[weights] weights.decoder.out.bias is missing",
          [](TensorFile& f) { f.tensors.erase("weights.decoder.out.bias"); });
  refused("[weights] weights.decoder.out.bias is float64 (3), not float32 (3)",
          [](TensorFile& f) { f.tensors["weights.decoder.out.bias"] = Tensor::full({3}, 0, DType::float64); });
}
