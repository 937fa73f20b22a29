#include "nn/safetensors.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "autodiff/error.h"
#include "nn/atomic_file.h"

namespace levda::nn {

using autodiff::DType;
using autodiff::Shape;
using autodiff::Tensor;
using Json = nlohmann::ordered_json;

static_assert(std::endian::native == std::endian::little, "the format's numbers are read as they lie in memory");

namespace {

struct TypeName {
  DType dtype;
  const char* name;
};
constexpr std::array<TypeName, 3> type_names{{{DType::float32, "F32"}, {DType::float64, "F64"}, {DType::int64, "I64"}}};

/// The bytes of a tensor on the host.
std::vector<char> bytes_of(const Tensor& x) {
  std::vector<char> bytes(static_cast<std::size_t>(x.size()) * autodiff::bytes_of(x.dtype()));
  const auto download = [&](const void* from) { x.backend().download(bytes.data(), from, bytes.size()); };
  switch (x.dtype()) {
    case DType::float32: download(x.data<float>()); break;
    case DType::float64: download(x.data<double>()); break;
    case DType::int64: download(x.data<std::int64_t>()); break;
  }
  return bytes;
}

Tensor tensor_of(DType dtype, const Shape& shape, const char* bytes) {
  // Through aligned vectors, because offsets in the file need not be multiples of the element size.
  const auto load = [&]<typename T>(T) {
    std::vector<T> values(static_cast<std::size_t>(shape.size()));
    if (!values.empty()) std::memcpy(values.data(), bytes, values.size() * sizeof(T));
    return values;
  };
  switch (dtype) {
    case DType::float32: return Tensor::from(std::span<const float>(load(float{})), shape);
    case DType::float64: return Tensor::from(std::span<const double>(load(double{})), shape);
    case DType::int64: break;
  }
  return Tensor::indices(load(std::int64_t{})).reshaped(shape);
}

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : path_(path), bytes_(read_text_file(path)) {}

  TensorFile read() {
    std::uint64_t length = 0;
    if (bytes_.size() < sizeof(length)) fail("", "not a safetensors file: shorter than its header");
    std::memcpy(&length, bytes_.data(), sizeof(length));
    if (length > bytes_.size() - sizeof(length))
      fail("", fmt::format("not a safetensors file, or truncated: a header of {} bytes in a file of {}", length,
                           bytes_.size()));
    const auto begin = bytes_.begin() + sizeof(length);
    data_ = sizeof(length) + length;
    const Json header = Json::parse(begin, begin + static_cast<std::ptrdiff_t>(length), nullptr, false);
    if (!header.is_object()) fail("", "not a safetensors file: the header is not JSON");
    TensorFile file;
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__")
        read_metadata(entry, file);
      else
        file.tensors.emplace(name, read_tensor(name, entry));
    }
    return file;
  }

 private:
  [[noreturn]] void fail(const std::string& field, const std::string& message) const {
    throw InputError(path_.string(), field, message);
  }

  void read_metadata(const Json& entry, TensorFile& file) const {
    if (!entry.is_object()) fail("__metadata__", "not an object");
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) fail("__metadata__." + key, "not a string");
      file.metadata.emplace(key, value.get<std::string>());
    }
  }

  Tensor read_tensor(const std::string& name, const Json& entry) const {
    if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() || !entry.contains("shape") ||
        !entry["shape"].is_array() || !entry.contains("data_offsets") || !entry["data_offsets"].is_array() ||
        entry["data_offsets"].size() != 2)
      fail(name, "the header entry lacks dtype, shape or data_offsets");
    const std::string type = entry["dtype"].get<std::string>();
    const TypeName* known = nullptr;
    for (const TypeName& candidate : type_names)
      if (type == candidate.name) known = &candidate;
    if (known == nullptr) fail(name, fmt::format("type {} is not one of F32, F64, I64", type));
    std::vector<std::int64_t> extents;
    std::uint64_t size = autodiff::bytes_of(known->dtype);
    for (const Json& extent : entry["shape"]) {
      if (!extent.is_number_unsigned()) fail(name, "a shape that is not of whole numbers");
      const auto value = extent.get<std::uint64_t>();
      constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();
      if (value > largest || (value != 0 && size > bytes_.size() / value)) fail(name, "a shape larger than the file");
      size *= value;
      extents.push_back(static_cast<std::int64_t>(value));
    }
    if (extents.size() > Shape::max_rank) fail(name, fmt::format("more than {} axes", Shape::max_rank));
    for (const Json& offset : entry["data_offsets"])
      if (!offset.is_number_unsigned()) fail(name, "data_offsets that are not whole numbers");
    const auto first = entry["data_offsets"][0].get<std::uint64_t>();
    const auto end = entry["data_offsets"][1].get<std::uint64_t>();
    if (first > end || end > bytes_.size() - data_)
      fail(name, fmt::format("truncated: bytes {} to {} of {}", first, end, bytes_.size() - data_));
    if (end - first != size) fail(name, fmt::format("{} bytes for a tensor of {} bytes", end - first, size));
    return tensor_of(known->dtype, Shape(extents), bytes_.data() + data_ + first);
  }

  std::filesystem::path path_;
  std::string bytes_;
  std::size_t data_ = 0;
};

}  // namespace

TensorFile read_safetensors(const std::filesystem::path& path) { return Reader(path).read(); }

void write_safetensors(const std::filesystem::path& path, const TensorFile& file) {
  Json header = Json::object();
  if (!file.metadata.empty()) header["__metadata__"] = file.metadata;
  std::uint64_t offset = 0;
  for (const auto& [name, tensor] : file.tensors) {
    const std::uint64_t end = offset + static_cast<std::uint64_t>(tensor.size()) * autodiff::bytes_of(tensor.dtype());
    const TypeName* type = &type_names[0];
    while (type->dtype != tensor.dtype()) ++type;
    header[name] = {{"dtype", type->name},
                    {"shape", std::vector<std::int64_t>(tensor.shape().begin(), tensor.shape().end())},
                    {"data_offsets", {offset, end}}};
    offset = end;
  }
  // Metadata that is not UTF-8 (the name of a processor, a path) must not prevent the file from being written.
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data begins at a multiple of 8 bytes
  const std::uint64_t length = text.size();

  AtomicFile target(path);
  std::ofstream out(target.path(), std::ios::binary);
  out.write(reinterpret_cast<const char*>(&length), sizeof(length));
  out << text;
  for (const auto& [name, tensor] : file.tensors) {
    const std::vector<char> bytes = bytes_of(tensor);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  out.close();
  if (!out) throw InputError(path.string(), "", "cannot be written: " + std::string(std::strerror(errno)));
  target.commit();
}

}  // namespace levda::nn
