#pragma once

#include "cuda_runtime.h"

namespace levda::cuda_on_cpu {

/// The last error, kept by the runtime for every thread of the host.
inline thread_local cudaError_t last_error = cudaSuccess;
inline thread_local cudaStreamCaptureMode thread_capture_mode = cudaStreamCaptureModeGlobal;

}  // namespace levda::cuda_on_cpu
