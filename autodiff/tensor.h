#pragma once

/// Row-major arrays of numbers on a device. A Tensor is a value handle: copies share the storage.

#include <atomic>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <span>
#include <vector>

#include "autodiff/backend.h"
#include "autodiff/shape.h"

namespace levda::autodiff {

/// A counted block of device memory.
class Storage {
 public:
  Storage(Backend& backend, std::size_t bytes) : backend_(backend), bytes_(bytes), data_(backend.allocate(bytes)) {}
  ~Storage() { backend_.release(data_, bytes_); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  Backend& backend() const { return backend_; }
  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  /// Grows when any tensor of this block is written to: with set(), or through the pointer of a data() that is not
  /// const.
  std::uint64_t version() const { return version_.load(std::memory_order_relaxed); }
  void touch() { version_.fetch_add(1, std::memory_order_relaxed); }

 private:
  Backend& backend_;
  std::size_t bytes_;
  void* data_;
  std::atomic<std::uint64_t> version_{0};
};

/// A copy of a Tensor shares its storage, as in NumPy: set() through one handle shows in the other. clone() copies the
/// numbers. Every function but shape(), size() and dtype() throws Error on an empty handle.
class Tensor {
 public:
  /// No array; operator bool is false.
  Tensor() = default;

  /// An array with undefined contents.
  static Tensor empty(const Shape& shape, DType dtype = DType::float32, Backend& backend = cpu());
  static Tensor full(const Shape& shape, double value, DType dtype = DType::float32, Backend& backend = cpu());
  static Tensor zeros(const Shape& shape, DType dtype = DType::float32, Backend& backend = cpu()) {
    return full(shape, 0, dtype, backend);
  }
  /// One number in every element, in the shape, type and on the device of another tensor.
  static Tensor full_like(const Tensor& like, double value) {
    return full(like.shape(), value, like.dtype(), like.backend());
  }
  static Tensor zeros_like(const Tensor& like) { return full_like(like, 0); }
  /// A copy of host values, converted to dtype. Throws Error when their number is not shape.size().
  static Tensor from(std::span<const float> values, const Shape& shape, DType dtype = DType::float32,
                     Backend& backend = cpu());
  static Tensor from(std::span<const double> values, const Shape& shape, DType dtype = DType::float64,
                     Backend& backend = cpu());
  /// Indices for gather and scatter_add, int64 of shape (count).
  static Tensor indices(std::span<const std::int64_t> values, Backend& backend = cpu());

  explicit operator bool() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  std::int64_t size() const { return shape_.size(); }
  DType dtype() const { return dtype_; }
  Backend& backend() const {
    require();
    return storage_->backend();
  }
  Device device() const { return backend().device(); }

  /// Device pointer to the first element. Throws Error when T is not the tensor's type. The first form is for writing
  /// and counts as a change of the tensor (Storage::version); read through a const handle.
  template <typename T>
  T* data();
  template <typename T>
  const T* data() const;

  /// Host copy in row-major order; float32 becomes double.
  std::vector<double> to_vector() const;
  /// Host copy in row-major order; float64 is rounded to float.
  std::vector<float> to_floats() const;
  /// The only element. Throws Error when there is not exactly one.
  double item() const;

  /// View of rows [begin, end) of the outermost axis; it shares the storage. Throws Error when out of range.
  Tensor rows(std::int64_t begin, std::int64_t end) const;
  /// View with another shape. Throws Error when its size differs.
  Tensor reshaped(const Shape& shape) const;
  /// The same; an extent of -1, which may stand once, becomes what the size leaves for it.
  Tensor reshaped(std::initializer_list<std::int64_t> extents) const;
  /// A copy in another floating-point type; this tensor if it has that type already.
  Tensor to(DType dtype) const;
  /// A copy on another device, through the host; this tensor if it is there already.
  Tensor to(Backend& backend) const;
  /// Overwrites the elements from the host. Throws Error when the number of values is not size() or T is another type.
  template <typename T>
  void set(std::span<const T> values);
  Tensor clone() const;
  /// True if no other tensor shares the storage, so that it may be overwritten.
  bool unique() const { return storage_.use_count() == 1; }
  /// The block of memory that this tensor is a view of; null for no array.
  const Storage* storage() const { return storage_.get(); }

 private:
  Tensor(std::shared_ptr<Storage> storage, const Shape& shape, DType dtype, std::int64_t offset)
      : storage_(std::move(storage)), shape_(shape), dtype_(dtype), offset_(offset) {}
  void* address() const { return static_cast<std::byte*>(storage_->data()) + offset_ * bytes_of(dtype_); }
  void require() const {
    if (storage_ == nullptr) no_array();
  }
  [[noreturn]] static void no_array();
  void check_type(DType wanted) const;
  void check_count(std::size_t count) const;

  std::shared_ptr<Storage> storage_;
  Shape shape_;
  DType dtype_ = DType::float32;
  std::int64_t offset_ = 0;  // in elements
};

template <typename T>
struct dtype_of;
template <>
struct dtype_of<float> {
  static constexpr DType value = DType::float32;
};
template <>
struct dtype_of<double> {
  static constexpr DType value = DType::float64;
};
template <>
struct dtype_of<std::int64_t> {
  static constexpr DType value = DType::int64;
};

template <typename T>
T* Tensor::data() {
  check_type(dtype_of<T>::value);
  storage_->touch();
  return static_cast<T*>(address());
}

template <typename T>
const T* Tensor::data() const {
  check_type(dtype_of<T>::value);
  return static_cast<const T*>(address());
}

template <typename T>
void Tensor::set(std::span<const T> values) {
  check_type(dtype_of<T>::value);
  check_count(values.size());
  storage_->touch();
  backend().upload(address(), values.data(), values.size_bytes());
}

/// The shape that extents stand for, one of which may be -1: what `size` leaves for it. Throws Error that begins with
/// "[op]" when none fits.
Shape resolved(const char* op, std::int64_t size, std::initializer_list<std::int64_t> extents);

/// Type, shape and numbers for people, as "float32 (2, 2) [[1, 2], [3, 4]]"; of long axes the first and last 3.
std::string text(const Tensor& x);
std::ostream& operator<<(std::ostream& out, const Tensor& x);
std::ostream& operator<<(std::ostream& out, const Shape& shape);

}  // namespace levda::autodiff
