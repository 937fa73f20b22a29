#pragma once

#include <cstdio>
#include <cstdlib>

namespace levda::cuda_on_cpu {

/// What is undefined on a device, and what the stand-in itself cannot do: a line, and the end.
[[noreturn]] inline void fail(const char* message) {
  std::fprintf(stderr, "cuda_on_cpu: %s\n", message);
  std::abort();
}

}  // namespace levda::cuda_on_cpu
