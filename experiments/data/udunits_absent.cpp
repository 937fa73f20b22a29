/// Replaces udunits.cpp in a build without UDUNITS-2 (LEVDA_UDUNITS).

#include "experiments/data/units.h"

namespace levda::experiments {

bool has_udunits() { return false; }

std::optional<Conversion> udunits_conversion(const std::string&, const std::string&) { return std::nullopt; }

}  // namespace levda::experiments
