#pragma once

/// Settings and counters of the stand-in for CUDA, for tests. Settings hold for the process; the order is
/// to be set while no other thread of the host uses the device.

#include <cstddef>
#include <cstdint>

#include "cuda_runtime.h"

namespace levda::cuda_on_cpu {

/// In which order the blocks of a grid run, and the threads of a block between two barriers. Results that differ
/// between orders show a race: a missing barrier, or blocks that write to the same place.
enum class Order : std::uint8_t { forward, reverse, shuffled };
void set_order(Order order, std::uint64_t seed = 0);

/// Without devices every call that needs one answers with `without`: cudaErrorNoDevice or, as on a machine without a
/// driver, cudaErrorInsufficientDriver.
void set_device_count(int count, cudaError_t without = cudaErrorNoDevice);

/// Bytes of device memory there are; at most the arena, which is also the default (8 GiB).
void set_memory_limit(std::size_t bytes);

/// A fault as a kernel's wrong address makes it: every call answers with it until it is set to cudaSuccess.
void set_fault(cudaError_t error);

/// No algorithm is found for the epilogue that adds a bias.
void refuse_bias_epilogue(bool refuse);

struct Counts {
  std::int64_t launches = 0;        ///< kernels that host code launched, whether they ran or were captured
  std::int64_t kernels_run = 0;     ///< kernels that ran, also from graphs
  std::int64_t products_run = 0;    ///< cublasLtMatmul that ran, also from graphs
  std::int64_t graph_launches = 0;  ///< cudaGraphLaunch
  std::int64_t allocations = 0;     ///< cudaMalloc that succeeded
  std::size_t live_bytes = 0;       ///< asked for by cudaMalloc and not freed
  std::size_t live_pinned_bytes = 0;
  std::int64_t live_objects = 0;  ///< streams, events, graphs, executable graphs, handles and descriptors of cuBLASLt
};
Counts counts();

}  // namespace levda::cuda_on_cpu
