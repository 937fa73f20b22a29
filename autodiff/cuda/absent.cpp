/// Replaces the CUDA backend in a build without it.

#include "autodiff/backend.h"
#include "autodiff/error.h"

namespace levda::autodiff {

Backend& cuda() {
  throw Error("no CUDA in this build: configure it with -DLEVDA_CUDA=ON, which needs nvcc and cuBLAS");
}

}  // namespace levda::autodiff
