#include "autodiff/tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "autodiff/error.h"

namespace levda::autodiff {

const char* name(DType dtype) {
  switch (dtype) {
    case DType::float32: return "float32";
    case DType::float64: return "float64";
    case DType::int64: return "int64";
  }
  return "?";
}

const char* name(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }

const char* name(MatmulPrecision precision) {
  switch (precision) {
    case MatmulPrecision::float32: return "float32";
    case MatmulPrecision::tf32: return "tf32";
    case MatmulPrecision::bf16: return "bf16";
  }
  return "?";
}

Backend& backend_of(Device device) { return device == Device::cpu ? cpu() : cuda(); }

std::size_t bytes_of(DType dtype) { return dtype == DType::float32 ? 4 : 8; }

namespace {

template <typename T>
Tensor upload(std::span<const T> values, const Shape& shape, Backend& backend) {
  Tensor y = Tensor::empty(shape, dtype_of<T>::value, backend);
  y.set(values);
  return y;
}

}  // namespace

Tensor Tensor::empty(const Shape& shape, DType dtype, Backend& backend) {
  // Shape::size refuses sizes whose bytes would overflow.
  const auto bytes = static_cast<std::size_t>(shape.size()) * bytes_of(dtype);
  return Tensor(std::make_shared<Storage>(backend, bytes), shape, dtype, 0);
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Backend& backend) {
  Tensor y = empty(shape, dtype, backend);
  backend.fill(y, value);
  return y;
}

Tensor Tensor::from(std::span<const float> values, const Shape& shape, DType dtype, Backend& backend) {
  return upload(values, shape, backend).to(dtype);
}

Tensor Tensor::from(std::span<const double> values, const Shape& shape, DType dtype, Backend& backend) {
  return upload(values, shape, backend).to(dtype);
}

Tensor Tensor::indices(std::span<const std::int64_t> values, Backend& backend) {
  return upload(values, {static_cast<std::int64_t>(values.size())}, backend);
}

std::vector<double> Tensor::to_vector() const {
  const Tensor x = to(DType::float64);
  std::vector<double> values(static_cast<std::size_t>(size()));
  backend().download(values.data(), x.data<double>(), values.size() * sizeof(double));
  return values;
}

std::vector<float> Tensor::to_floats() const {
  const Tensor x = to(DType::float32);
  std::vector<float> values(static_cast<std::size_t>(size()));
  backend().download(values.data(), x.data<float>(), values.size() * sizeof(float));
  return values;
}

double Tensor::item() const {
  if (size() != 1) throw Error(fmt::format("item() needs one element, but the shape is {}", shape_.text()));
  return to_vector()[0];
}

Tensor Tensor::rows(std::int64_t begin, std::int64_t end) const {
  require();
  if (shape_.rank() == 0 || begin < 0 || begin > end || end > shape_[0])
    throw Error(fmt::format("rows {} to {} are outside a tensor of shape {}", begin, end, shape_.text()));
  return Tensor(storage_, shape_.with(0, end - begin), dtype_, offset_ + begin * shape_.size(1, shape_.rank()));
}

Tensor Tensor::reshaped(std::initializer_list<std::int64_t> extents) const {
  return reshaped(resolved("reshape", size(), extents));
}

Tensor Tensor::reshaped(const Shape& shape) const {
  require();
  if (shape.size() != size()) throw Error(fmt::format("cannot reshape {} to {}", shape_.text(), shape.text()));
  return Tensor(storage_, shape, dtype_, offset_);
}

Tensor Tensor::to(DType dtype) const {
  require();
  if (dtype == dtype_) return *this;
  if (dtype == DType::int64 || dtype_ == DType::int64)
    throw Error(fmt::format("cannot convert {} to {}", name(dtype_), name(dtype)));
  Tensor y = empty(shape_, dtype, backend());
  backend().convert(*this, y);
  return y;
}

Tensor Tensor::to(Backend& target) const {
  if (&target == &backend()) return *this;
  std::vector<std::byte> bytes(static_cast<std::size_t>(size()) * bytes_of(dtype_));
  backend().download(bytes.data(), address(), bytes.size());
  Tensor y = empty(shape_, dtype_, target);
  target.upload(y.address(), bytes.data(), bytes.size());
  return y;
}

Tensor Tensor::clone() const {
  Tensor y = empty(shape_, dtype_, backend());
  Strided all;  // one axis, unit stride
  all.strides[0] = 1;
  backend().copy({size()}, *this, all, y, all);
  return y;
}

void Tensor::no_array() { throw Error("a tensor without an array is used"); }

void Tensor::check_count(std::size_t count) const {
  if (static_cast<std::int64_t>(count) != size())
    throw Error(fmt::format("{} values for a tensor of shape {}", count, shape_.text()));
}

void Tensor::check_type(DType wanted) const {
  require();
  if (wanted != dtype_) throw Error(fmt::format("{} access to a {} tensor", name(wanted), name(dtype_)));
}

Shape resolved(const char* op, std::int64_t size, std::initializer_list<std::int64_t> extents) {
  const std::span<const std::int64_t> list(extents.begin(), extents.size());
  const auto open = std::find(list.begin(), list.end(), -1);
  if (open == list.end()) return Shape(list);
  std::vector<std::int64_t> filled(list.begin(), list.end());
  std::int64_t& free = filled[static_cast<std::size_t>(open - list.begin())];
  free = 1;
  const std::int64_t rest = Shape(filled).size();
  if (rest == 0 || size % rest != 0)
    throw Error(fmt::format("[{}] no extent -1 in ({}) gives {} elements", op, fmt::join(list, ", "), size));
  free = size / rest;
  return Shape(filled);
}

namespace {

/// The part of the numbers from `offset` on that belongs to the axes from `axis` on.
void print(std::string& to, const std::vector<double>& values, const Shape& shape, int axis, std::int64_t offset) {
  if (axis == shape.rank()) {
    to += fmt::format("{:.6g}", values[static_cast<std::size_t>(offset)]);
    return;
  }
  constexpr std::int64_t shown = 3;  // at each end of a long axis
  const std::int64_t extent = shape[axis];
  const std::int64_t stride = shape.size(axis + 1, shape.rank());
  to += '[';
  for (std::int64_t i = 0; i < extent; ++i) {
    if (i > 0) to += ", ";
    if (extent > 2 * shown + 1 && i == shown) {
      to += "..";
      i = extent - shown - 1;
    } else {
      print(to, values, shape, axis + 1, offset + i * stride);
    }
  }
  to += ']';
}

}  // namespace

std::string text(const Tensor& x) {
  if (!x) return "no array";
  std::string numbers;
  if (x.dtype() == DType::int64) {
    std::vector<std::int64_t> values(static_cast<std::size_t>(x.size()));
    x.backend().download(values.data(), x.data<std::int64_t>(), values.size() * sizeof(std::int64_t));
    print(numbers, {values.begin(), values.end()}, x.shape(), 0, 0);
  } else {
    print(numbers, x.to_vector(), x.shape(), 0, 0);
  }
  return fmt::format("{} {} {}", name(x.dtype()), x.shape().text(), numbers);
}

std::ostream& operator<<(std::ostream& out, const Tensor& x) { return out << text(x); }
std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.text(); }

}  // namespace levda::autodiff
