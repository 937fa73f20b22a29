#pragma once

/// The devices of this build and machine.

#include <string>
#include <vector>

#include "autodiff/backend.h"
#include "autodiff/error.h"

namespace levda::testing {

/// Empty, or why there is no GPU.
inline std::string why_no_gpu() {
  try {
    autodiff::cuda();
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

/// The CPU, and the GPU (or what stands in for it) where there is one.
inline std::vector<autodiff::Backend*> devices() {
  std::vector<autodiff::Backend*> all{&autodiff::cpu()};
  if (why_no_gpu().empty()) all.push_back(&autodiff::cuda());
  return all;
}

}  // namespace levda::testing
