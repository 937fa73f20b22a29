#pragma once

/// See parallel_for.h.

#include "oneapi/tbb/global_control.h"

namespace oneapi::tbb::info {

inline int default_concurrency() { return static_cast<int>(detail::default_threads()); }

}  // namespace oneapi::tbb::info
