/// Any bytes as a safetensors file. What is read must be the same when it is written and read again.

#include "nn/safetensors.h"

#include <cstring>

#include "tests/fuzz/fuzz.h"
#include "tests/nn/temporary_folder.h"

using namespace levda;

namespace {

bool same(const nn::TensorFile& a, const nn::TensorFile& b) {
  if (a.metadata != b.metadata || a.tensors.size() != b.tensors.size()) return false;
  for (const auto& [name, x] : a.tensors) {
    const auto entry = b.tensors.find(name);
    if (entry == b.tensors.end()) return false;
    const autodiff::Tensor& y = entry->second;
    if (!(x.shape() == y.shape()) || x.dtype() != y.dtype()) return false;
    const auto bytes = static_cast<std::size_t>(x.size()) * autodiff::bytes_of(x.dtype());
    if (bytes > 0 && std::memcmp(x.storage()->data(), y.storage()->data(), bytes) != 0) return false;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const testing::TemporaryFolder folder;
  const testing::InputFile file(data, size);
  nn::TensorFile read;
  try {
    read = nn::read_safetensors(file.path());
  } catch (const InputError& error) {
    testing::check_refusal(file.path() + ": ", error);
    return 0;
  }
  const std::filesystem::path copy = folder / "copy";
  nn::write_safetensors(copy, read);
  if (!same(read, nn::read_safetensors(copy))) std::abort();
  return 0;
}
