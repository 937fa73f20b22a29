#pragma once

#include <string>

namespace levda::experiments {

/// Version of the program, "0.1.0".
std::string version();

/// Name of the processor and how many threads may run on it, for provenance.
std::string machine();

/// Now, UTC, ISO 8601.
std::string timestamp();

}  // namespace levda::experiments
