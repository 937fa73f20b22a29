#pragma once

#include <cstdio>
#include <cstdlib>

namespace levda::cuda_on_cpu {

/// Prints a line and ends the program: for undefined behaviour on a device, and for features that the stand-in lacks.
[[noreturn]] inline void fail(const char* message) {
  std::fprintf(stderr, "cuda_on_cpu: %s\n", message);
  std::abort();
}

}  // namespace levda::cuda_on_cpu
