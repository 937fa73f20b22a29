#include "nn/safetensors.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "autodiff/error.h"
#include "nn/atomic_file.h"
#include "tests/autodiff/compare.h"
#include "tests/autodiff/device.h"
#include "tests/nn/temporary_folder.h"

using namespace levda::autodiff;
using namespace levda::nn;
using levda::InputError;
using levda::testing::normal_tensor;
using levda::testing::same_bits;
using levda::testing::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

/// A file with the given header and a number of zero bytes.
std::string with_header(const std::string& header, std::size_t bytes) {
  std::string file(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(header.size() >> 8 * i & 0xff);
  return file + header + std::string(bytes, '\0');
}

/// The one tensor "w" with the given entry.
std::string with_entry(const std::string& entry, std::size_t bytes) {
  return with_header(R"({"w":)" + entry + "}", bytes);
}

}  // namespace

TEST_CASE("safetensors: what was written is read, bit for bit") {
  const TemporaryFolder folder;
  TensorFile file;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  file.metadata = {{"note", "line\nbreak, \"quotes\", é"}, {"empty", ""}};
  file.tensors = {{"float32", normal_tensor({3, 5}, 1, DType::float32)},
                  {"float64", normal_tensor({2, 1, 7}, 2)},
                  {"index", Tensor::indices(std::vector<std::int64_t>{-1, 1LL << 53, (1LL << 53) + 1})},
                  {"index2", Tensor::indices(std::vector<std::int64_t>{1, 2, 3, 4}).reshaped({2, 2})},
                  {"none", Tensor::zeros({0, 4})},
                  {"odd", normal_tensor({1}, 3, DType::float32)},  // what follows is not at a multiple of 8
                  {"scalar", Tensor::full({}, 2.5)},
                  {"special", Tensor::from(std::vector<double>{-0.0, nan, 1 / 0x0p0, 5e-324}, {4})},
                  {"view", normal_tensor({6, 2}, 4).rows(2, 4)}};
  write_safetensors(folder / "x.safetensors", file);
  const TensorFile back = read_safetensors(folder / "x.safetensors");
  CHECK(back.metadata == file.metadata);
  REQUIRE(back.tensors.size() == file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) {
    CAPTURE(name);
    REQUIRE(back.tensors.count(name) == 1);
    CHECK(same_bits(back.tensors.at(name), tensor));
  }
  CHECK(folder.entries() == 1);

  // The data begin at a multiple of 8 bytes, which readers that map the file rely on.
  const std::string bytes = read_text_file(folder / "x.safetensors");
  CHECK(static_cast<unsigned char>(bytes[0]) % 8 == 0);

  write_safetensors(folder / "none.safetensors", {});
  CHECK(read_safetensors(folder / "none.safetensors").tensors.empty());
}

// data/python.safetensors was written by the package safetensors 0.8.0:
//   import numpy as np; from safetensors.numpy import save_file
//   save_file({"weight": np.arange(6, dtype=np.float32).reshape(2, 3) / 8, "bias": np.array([0.1, -1e300,
//   np.pi]),
//              "count": np.array([-1, 2**53 + 1]), "scalar": np.array(2.5, np.float32),
//              "none": np.zeros((0, 4), np.float32)},
//             "python.safetensors", metadata={"units": "m/s", "note": "é \"quoted\""})
TEST_CASE("safetensors: reads what Python's package writes") {
  const TensorFile file = read_safetensors(fs::path(LEVDA_TEST_DATA) / "python.safetensors");
  CHECK(file.metadata == std::map<std::string, std::string>{{"units", "m/s"}, {"note", "é \"quoted\""}});
  REQUIRE(file.tensors.size() == 5);
  CHECK(same_bits(file.tensors.at("weight"),
                  Tensor::from(std::vector<float>{0, 0.125F, 0.25F, 0.375F, 0.5F, 0.625F}, {2, 3})));
  CHECK(same_bits(file.tensors.at("bias"), Tensor::from(std::vector<double>{0.1, -1e300, std::numbers::pi}, {3})));
  CHECK(same_bits(file.tensors.at("count"), Tensor::indices(std::vector<std::int64_t>{-1, (1LL << 53) + 1})));
  CHECK(same_bits(file.tensors.at("scalar"), Tensor::full({}, 2.5)));
  CHECK(same_bits(file.tensors.at("none"), Tensor::zeros({0, 4})));
}

// The reverse. LEVDA_TEST_KEEP=ours.safetensors keeps the file, and then
//   python3 -c 'from safetensors import safe_open; f = safe_open("ours.safetensors", "np");
//   print(f.metadata(),
//               {k: (f.get_tensor(k).dtype, f.get_tensor(k).tolist()) for k in f.keys()})'
// shows {'units': 'm/s'} and weight float32 [[0.5, 1.5]], bias float64 [0.1], count int64 [7].
TEST_CASE("safetensors: the bytes written are those of the format") {
  const TemporaryFolder folder;
  const char* keep = std::getenv("LEVDA_TEST_KEEP");
  const fs::path path = keep != nullptr ? fs::path(keep) : folder / "ours.safetensors";
  write_safetensors(path, {.metadata = {{"units", "m/s"}},
                           .tensors = {{"weight", Tensor::from(std::vector<float>{0.5F, 1.5F}, {1, 2})},
                                       {"bias", Tensor::from(std::vector<double>{0.1}, {1})},
                                       {"count", Tensor::indices(std::vector<std::int64_t>{7})}}});
  std::string header = R"({"__metadata__":{"units":"m/s"},"bias":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},)"
                       R"("count":{"dtype":"I64","shape":[1],"data_offsets":[8,16]},)"
                       R"("weight":{"dtype":"F32","shape":[1,2],"data_offsets":[16,24]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::string data("\x9a\x99\x99\x99\x99\x99\xb9\x3f\x07\0\0\0\0\0\0\0\0\0\0\x3f\0\0\xc0\x3f", 24);
  CHECK(read_text_file(path) == with_header(header, 0) + data);
}

TEST_CASE("safetensors: bad files are refused with the file and the field") {
  const TemporaryFolder folder;
  const std::string path = (folder / "bad.safetensors").string();
  const auto refused = [&](const std::string& bytes, const std::string& message) {
    write_text_file(path, bytes);
    CHECK_THROWS_WITH_AS(read_safetensors(path), (path + ": " + message).c_str(), InputError);
  };
  CHECK_THROWS_WITH_AS(read_safetensors(path), (path + ": no such file").c_str(), InputError);
  CHECK_THROWS_WITH_AS(read_safetensors(folder.path()), (folder.path().string() + ": is a folder, not a file").c_str(),
                       InputError);

  // The file as a whole.
  refused("", "not a safetensors file: shorter than its header");
  refused("1234567", "not a safetensors file: shorter than its header");
  const std::string good = with_entry(R"({"dtype":"F32","shape":[2,3],"data_offsets":[0,24]})", 24);
  write_text_file(path, good);
  CHECK(read_safetensors(path).tensors.at("w").shape() == Shape{2, 3});
  refused(good.substr(0, 30),
          fmt::format("not a safetensors file, or truncated: a header of {} bytes in a file of 30", good.size() - 32));
  for (const char fill : {'\x7f', '\xff'})  // 2^63 and 2^64 bytes: sums with it overflow
    refused(std::string(8, fill) + "{}",
            fmt::format("not a safetensors file, or truncated: a header of {} bytes in a file of 10",
                        fill == '\xff' ? ~std::uint64_t{0} : 0x7f7f7f7f7f7f7f7fULL));
  refused(with_header("", 0), "not a safetensors file: the header is not JSON");
  refused(with_header("{\"w\":", 24), "not a safetensors file: the header is not JSON");
  refused(with_header("[1, 2]", 24), "not a safetensors file: the header is not JSON");
  refused(with_header("\x89HDF\r\n\x1a\n", 24), "not a safetensors file: the header is not JSON");

  // One tensor.
  refused(good.substr(0, good.size() - 1), "w: truncated: bytes 0 to 24 of 23");
  refused(with_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[24,32]})", 31),
          "w: truncated: bytes 24 to 32 of 31");
  refused(with_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})", 24), "w: truncated: bytes 8 to 0 of 24");
  refused(with_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,0]})", 24),
          "w: truncated: bytes 18446744073709551608 to 0 of 24");
  refused(with_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,12]})", 24),
          "w: 12 bytes for a tensor of 8 bytes");
  refused(with_entry(R"({"dtype":"F64","shape":[2],"data_offsets":[0,8]})", 24), "w: 8 bytes for a tensor of 16 bytes");
  refused(with_entry(R"({"dtype":"BF16","shape":[2],"data_offsets":[0,4]})", 24),
          "w: type BF16 is not one of F32, F64, I64");
  refused(with_entry(R"({"dtype":"F32","shape":[1000000],"data_offsets":[0,8]})", 24),
          "w: a shape larger than the file");
  refused(with_entry(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]})", 24),
          "w: a shape larger than the file");
  refused(with_entry(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})", 24),
          "w: a shape that is not of whole numbers");
  refused(with_entry(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})", 24),
          "w: a shape that is not of whole numbers");
  refused(with_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,"8"]})", 24),
          "w: data_offsets that are not whole numbers");
  refused(with_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[-8,0]})", 24),
          "w: data_offsets that are not whole numbers");
  refused(with_entry(R"({"dtype":"F32","shape":[1,1,1,1,1,1,2],"data_offsets":[0,8]})", 24), "w: more than 6 axes");
  for (const char* entry : {R"({"shape":[2],"data_offsets":[0,8]})", R"({"dtype":"F32","data_offsets":[0,8]})",
                            R"({"dtype":"F32","shape":[2]})", R"({"dtype":"F32","shape":[2],"data_offsets":[0]})",
                            R"({"dtype":7,"shape":[2],"data_offsets":[0,8]})",
                            R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})", "[]", "null"})
    refused(with_entry(entry, 24), "w: the header entry lacks dtype, shape or data_offsets");

  // Metadata.
  refused(with_header(R"({"__metadata__":[]})", 0), "__metadata__: not an object");
  refused(with_header(R"({"__metadata__":{"units":7}})", 0), "__metadata__.units: not a string");
}

TEST_CASE("safetensors: a file that cannot be written leaves the old one") {
  const TemporaryFolder folder;
  const std::string folder_name = folder.path().string();
  CHECK_THROWS_WITH_AS(write_safetensors(folder.path(), {}), (folder_name + ": is a folder").c_str(), InputError);
  write_text_file(folder / "file", "x");
  CHECK_THROWS_AS(write_safetensors(folder / "file" / "y.safetensors", {}), InputError);
  CHECK(read_text_file(folder / "file") == "x");
}

TEST_CASE("safetensors: extents beyond all numbers, and metadata that is not UTF-8") {
  const TemporaryFolder folder;
  const std::string header = R"({"w":{"dtype":"F32","shape":[0,9223372036854775808],"data_offsets":[0,0]}})";
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size());
  write_text_file(folder / "x", file + header);
  const std::string expected = (folder / "x").string() + ": w: a shape larger than the file";
  CHECK_THROWS_WITH_AS(read_safetensors(folder / "x"), expected.c_str(), levda::InputError);
  write_safetensors(folder / "y", {.metadata = {{"machine", "caf\xe9"}}, .tensors = {}});
  CHECK(read_safetensors(folder / "y").metadata.at("machine") == "caf\xef\xbf\xbd");
}

TEST_CASE("safetensors: tensors of every device are written with the same bytes") {
  const TemporaryFolder folder;
  const Tensor index = Tensor::indices(std::vector<std::int64_t>{-1, 1LL << 53});
  std::string first;
  for (Backend* device : levda::testing::devices()) {
    TensorFile file;
    file.tensors = {{"float32", normal_tensor({3, 5}, 1, DType::float32).to(*device)},
                    {"float64", normal_tensor({2, 7}, 2).to(*device)},
                    {"index", index.to(*device)},
                    {"view", normal_tensor({6, 2}, 4).to(*device).rows(2, 4)}};
    write_safetensors(folder / "x.safetensors", file);
    const std::string bytes = read_text_file(folder / "x.safetensors");
    if (first.empty()) first = bytes;
    CHECK(bytes == first);
  }
}
