#pragma once

#include <string>

namespace levda::experiments {

/// Version of the program, for example "0.2.0".
std::string version();

/// The version whose results this one reproduces bit for bit. It is in the fingerprints of results, so results that the
/// program has already made stay valid after an upgrade; it changes when numbers change.
std::string results_version();

/// Name and number of cores of the processor, for provenance.
std::string machine();

/// The current time, UTC, ISO 8601.
std::string timestamp();

}  // namespace levda::experiments
