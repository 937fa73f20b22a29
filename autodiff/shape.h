#pragma once

/// Shapes of row-major tensors and the broadcasting rule.

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace levda::autodiff {

/// Extents of a row-major array, outermost axis first; rank 0 is a scalar. The extents are stored inline, because every
/// tensor copies its shape.
class Shape {
 public:
  static constexpr int max_rank = 6;

  Shape() = default;
  /// Throws Error when there are more than max_rank axes or an extent is negative.
  Shape(std::initializer_list<std::int64_t> extents)
      : Shape(std::span<const std::int64_t>(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const std::int64_t> extents);

  int rank() const { return rank_; }
  /// Extent of an axis; negative axes count from the end (-1 is the innermost). Throws Error when out of range.
  std::int64_t operator[](int axis) const { return extents_[position(axis)]; }
  /// Number of elements. Throws Error when they, or their bytes, cannot be counted in 64 bits.
  std::int64_t size() const;
  /// Number of elements in the axes [first, last), 0 <= first <= last <= rank(). Throws Error for other axes.
  std::int64_t size(int first, int last) const;

  /// This shape with another extent of one axis. Throws Error when it is negative or there is no such axis.
  Shape with(int axis, std::int64_t extent) const;
  /// This shape with the axes of `outer` in front.
  Shape prepend(const Shape& outer) const;
  /// The axes [first, last). Throws Error when out of range.
  Shape part(int first, int last) const;

  /// Non-negative position of an axis. Throws Error when out of range.
  int position(int axis) const;
  /// For messages, for example "(2, 3)".
  std::string text() const;

  friend bool operator==(const Shape& a, const Shape& b);
  const std::int64_t* begin() const { return extents_.data(); }
  const std::int64_t* end() const { return extents_.data() + rank_; }

 private:
  void check_range(int first, int last) const;

  std::array<std::int64_t, max_rank> extents_{};
  int rank_ = 0;
};

/// True if an array of shape `from` can be repeated to `to`: axes aligned at the end, extents equal or 1.
bool broadcasts_to(const Shape& from, const Shape& to);

/// The shape that two operands are repeated to, aligned at the end as in NumPy.
/// Throws Error "[op] cannot broadcast (..) and (..)".
Shape broadcast(const char* op, const Shape& a, const Shape& b);

}  // namespace levda::autodiff
