#pragma once

/// How work is cut into blocks and threads. This is arithmetic on shapes and needs no device.

#include <cstdint>

#include "autodiff/internal/walk.h"

#ifdef __CUDACC__
#define LEVDA_GPU_HOST_DEVICE __host__ __device__
#else
#define LEVDA_GPU_HOST_DEVICE
#endif

namespace levda::autodiff::gpu {

/// Threads per block of all kernels.
constexpr int block_threads = 256;

/// Blocks of a loop over n elements in which every thread advances by the size of the grid: enough for the largest
/// devices, and at least 1.
unsigned blocks_for(std::int64_t n);

/// A walk over `size` elements in the form that kernels take. The offset of an operand is the sum of index x stride.
template <int operands>
struct FlatWalk {
  std::int64_t size = 1;
  int rank = 0;
  std::int64_t extents[Shape::max_rank] = {};
  std::int64_t strides[operands][Shape::max_rank] = {};

  explicit FlatWalk(const Walk<operands>& walk) : rank(walk.rank) {
    for (int axis = 0; axis < rank; ++axis) {
      extents[axis] = walk.extents[axis];
      size *= walk.extents[axis];
      for (int o = 0; o < operands; ++o) strides[o][axis] = walk.strides[o][axis];
    }
  }

  /// The offsets of element i in row-major order.
  LEVDA_GPU_HOST_DEVICE void locate(std::int64_t i, std::int64_t (&offset)[operands]) const {
    for (int o = 0; o < operands; ++o) offset[o] = 0;
    const bool narrow = size <= 0x7fffffff;  // 32-bit division is several times faster
    for (int axis = rank - 1; axis > 0; --axis) {
      std::int64_t index;
      if (narrow) {
        const auto whole = static_cast<std::uint32_t>(i);
        const auto extent = static_cast<std::uint32_t>(extents[axis]);
        index = whole % extent;
        i = whole / extent;
      } else {
        index = i % extents[axis];
        i /= extents[axis];
      }
      for (int o = 0; o < operands; ++o) offset[o] += index * strides[o][axis];
    }
    for (int o = 0; o < operands; ++o) offset[o] += i * strides[o][0];
  }
};

/// A reduction of x over some axes: `kept` results of `reduced` elements each. It has two stages: the elements of every
/// result are cut into `chunks`, whose partial results are reduced afterwards. The cuts depend on the shapes alone, so
/// the rounding of the results does too.
struct Reduction {
  FlatWalk<1> kept;     // offset of a result's first element
  FlatWalk<1> reduced;  // offset of its elements from there
  bool along_kept;      // neighbours in memory belong to different results
  /// A block's threads as a table: `width` results at once, block_threads / width threads for each.
  int width;
  std::int64_t chunks;
  std::int64_t chunk;  // elements per chunk; the last chunk may have fewer

  /// For y whose shape broadcasts to that of x.
  Reduction(const Shape& x, const Shape& y);
};

}  // namespace levda::autodiff::gpu
