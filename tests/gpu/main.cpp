/// Tests of the CUDA backend: on a GPU, or with its sources on the CPU (tests/cuda_on_cpu). Without either they are
/// skipped, and say why.

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "autodiff/backend.h"
#include "autodiff/error.h"
#ifdef LEVDA_CUDA_STAND_IN
#include "tests/cuda_on_cpu/stand_in.h"
#endif

int main(int argc, char** argv) {
#ifdef LEVDA_CUDA_STAND_IN
  // Another order of threads and blocks must give the same results.
  using namespace levda::cuda_on_cpu;
  const char* order = std::getenv("LEVDA_THREAD_ORDER");
  if (order != nullptr && std::strcmp(order, "reverse") == 0) set_order(Order::reverse);
  if (order != nullptr && std::strcmp(order, "shuffled") == 0) set_order(Order::shuffled, 1);
#endif
  try {
    std::printf("device: %s\n", levda::autodiff::cuda().description().c_str());
  } catch (const levda::Error& error) {
    std::printf("skipped: %s\n", error.what());
    return 77;
  }
  return doctest::Context(argc, argv).run();
}
