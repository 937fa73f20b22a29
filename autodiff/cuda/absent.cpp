/// In place of the CUDA backend where it is not built.

#include "autodiff/backend.h"
#include "autodiff/error.h"

namespace levda::autodiff {

Backend& cuda() {
  throw Error("no CUDA in this build: configure it with -DLEVDA_CUDA=ON, which needs nvcc and cuBLAS");
}

}  // namespace levda::autodiff
