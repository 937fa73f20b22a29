#pragma once

#include "cuda_runtime.h"

namespace levda::cuda_on_cpu {

/// What the runtime keeps for every thread of the host.
inline thread_local cudaError_t last_error = cudaSuccess;
inline thread_local cudaStreamCaptureMode thread_capture_mode = cudaStreamCaptureModeGlobal;

}  // namespace levda::cuda_on_cpu
