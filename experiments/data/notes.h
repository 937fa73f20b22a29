#pragma once

/// Lines about a file that is good but holds something that its owner may not expect.

#include <string>

namespace levda::experiments {

/// Writes "note: SOURCE: MESSAGE" to stderr, once for each text.
void note(const std::string& source, const std::string& message);

/// Whether a name that is not known looks like one of quality flags: QC, PreQC, qc_flag, quality, ..
bool looks_like_flags(const std::string& name);

/// The name in lower case.
std::string lower_case(std::string name);

}  // namespace levda::experiments
