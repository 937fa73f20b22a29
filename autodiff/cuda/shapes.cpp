#include "autodiff/cuda/shapes.h"

#include <algorithm>
#include <bit>

namespace levda::autodiff::gpu {

unsigned blocks_for(std::int64_t n) {
  constexpr std::int64_t most = 2112;  // 16 for each of 132 multiprocessors
  return static_cast<unsigned>(std::clamp<std::int64_t>((n + block_threads - 1) / block_threads, 1, most));
}

namespace {

/// A walk over the axes of x that y keeps (or loses).
FlatWalk<1> axes_of(const Walk<2>& both, bool kept) {
  Shape extents;
  std::array<std::int64_t, Shape::max_rank> strides{};
  for (int axis = 0; axis < both.rank; ++axis) {
    if ((both.strides[1][axis] != 0) != kept || both.extents[axis] == 1) continue;
    strides[extents.rank()] = both.strides[0][axis];
    extents = Shape({both.extents[axis]}).prepend(extents);
  }
  return FlatWalk<1>(Walk<1>(extents, {strides.data()}));
}

}  // namespace

Reduction::Reduction(const Shape& x, const Shape& y)
    : kept(axes_of(broadcast_walk(x, x, y), true)), reduced(axes_of(broadcast_walk(x, x, y), false)) {
  const Walk<2> both = broadcast_walk(x, x, y);
  along_kept = both.inner_stride(1) != 0;
  // If the last axis is kept, neighbouring threads take neighbouring results; else a block takes one result.
  width = along_kept
              ? static_cast<int>(std::min<std::int64_t>(
                    block_threads, std::bit_ceil(static_cast<std::uint64_t>(std::max<std::int64_t>(kept.size, 1)))))
              : 1;
  const std::int64_t threads_of_one = block_threads / width;
  // Every thread should have several elements to add, and the device several blocks to run.
  constexpr std::int64_t least_elements = 8;
  constexpr std::int64_t wanted_blocks = 1024;
  const std::int64_t blocks = (kept.size + width - 1) / std::max(width, 1);
  const std::int64_t most = std::max<std::int64_t>(1, reduced.size / (threads_of_one * least_elements));
  chunks = std::clamp<std::int64_t>(wanted_blocks / std::max<std::int64_t>(blocks, 1), 1, most);
  chunk = (reduced.size + chunks - 1) / chunks;
  if (chunk > 0) chunks = std::max<std::int64_t>(1, (reduced.size + chunk - 1) / chunk);
}

}  // namespace levda::autodiff::gpu
