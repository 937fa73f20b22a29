#include "autodiff/shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "autodiff/error.h"

namespace levda::autodiff {

Shape::Shape(std::span<const std::int64_t> extents) : rank_(static_cast<int>(extents.size())) {
  if (extents.size() > max_rank) throw Error(fmt::format("a shape has {} axes, more than {}", rank_, max_rank));
  for (const std::int64_t extent : extents)
    if (extent < 0) throw Error(fmt::format("shape with a negative extent {}", extent));
  std::copy(extents.begin(), extents.end(), extents_.begin());
}

std::int64_t Shape::size() const { return size(0, rank_); }

std::int64_t Shape::size(int first, int last) const {
  check_range(first, last);
  // Wider than needed by a factor of 8, so that the number of bytes does not overflow either.
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / 8;
  std::int64_t product = 1;
  for (int axis = first; axis < last; ++axis)
    if (__builtin_mul_overflow(product, extents_[axis], &product) || product > most) {
      if (std::find(begin() + first, begin() + last, 0) != begin() + last) return 0;
      throw Error(fmt::format("shape {} has more elements than can be counted", text()));
    }
  return product;
}

void Shape::check_range(int first, int last) const {
  if (first < 0 || first > last || last > rank_)
    throw Error(fmt::format("axes {} to {} are outside shape {}", first, last, text()));
}

int Shape::position(int axis) const {
  const int position = axis < 0 ? axis + rank_ : axis;
  if (position < 0 || position >= rank_) throw Error(fmt::format("axis {} is outside shape {}", axis, text()));
  return position;
}

Shape Shape::with(int axis, std::int64_t extent) const {
  if (extent < 0) throw Error(fmt::format("shape with a negative extent {}", extent));
  Shape shape = *this;
  shape.extents_[position(axis)] = extent;
  return shape;
}

Shape Shape::prepend(const Shape& outer) const {
  if (outer.rank_ + rank_ > max_rank)
    throw Error(fmt::format("shapes {} and {} together have more than {} axes", outer.text(), text(), max_rank));
  Shape shape = outer;
  std::copy(begin(), end(), shape.extents_.begin() + outer.rank_);
  shape.rank_ += rank_;
  return shape;
}

Shape Shape::part(int first, int last) const {
  check_range(first, last);
  return Shape(std::span<const std::int64_t>(begin() + first, begin() + last));
}

std::string Shape::text() const { return fmt::format("({})", fmt::join(begin(), end(), ", ")); }

bool operator==(const Shape& a, const Shape& b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

bool broadcasts_to(const Shape& from, const Shape& to) {
  if (from.rank() > to.rank()) return false;
  for (int axis = 1; axis <= from.rank(); ++axis)
    if (from[-axis] != to[-axis] && from[-axis] != 1) return false;
  return true;
}

Shape broadcast(const char* op, const Shape& a, const Shape& b) {
  Shape shape = a.rank() >= b.rank() ? a : b;
  const Shape& other = a.rank() >= b.rank() ? b : a;
  for (int axis = 1; axis <= other.rank(); ++axis) {
    if (shape[-axis] == 1) shape = shape.with(-axis, other[-axis]);
    if (other[-axis] != 1 && other[-axis] != shape[-axis])
      throw Error(fmt::format("[{}] cannot broadcast {} and {}", op, a.text(), b.text()));
  }
  return shape;
}

}  // namespace levda::autodiff
