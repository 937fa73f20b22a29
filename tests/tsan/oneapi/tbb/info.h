#pragma once

/// See parallel_for.h.

#include "oneapi/tbb/global_control.h"

namespace oneapi::tbb::info {

inline int default_concurrency() { return static_cast<int>(global_control::limit()); }

}  // namespace oneapi::tbb::info
