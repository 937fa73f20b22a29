#pragma once

/// Runs the threads of a grid on one thread of the host.

#include <cstdint>
#include <functional>

#include "stand_in.h"

namespace levda::cuda_on_cpu {

/// Calls `thread` once for every thread of the grid, with `place` set. A thread that meets a barrier waits on its fiber
/// while others go on, each on a fiber of its own; one that returns leaves its fiber to the next thread, so that
/// kernels without barriers run on a single one. Aborts with a message when some threads of a block wait at a barrier
/// and others have returned or wait at another one. Not thread-safe: under the device's mutex.
void run_grid(dim3 grid, dim3 block, const std::function<void()>& thread);

}  // namespace levda::cuda_on_cpu
