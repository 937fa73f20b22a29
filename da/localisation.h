#pragma once

/// Localisation: limits the reach of observations, because small ensembles do not know far correlations.

#include <cstdint>
#include <functional>

#include "da/observations.h"

namespace levda::da {

/// Distance of a control from an observation, >= 0, in the unit of the half-width; called from several threads.
using Distance =
    std::function<double(std::int64_t control, const Observations& observations, std::int64_t observation)>;

/// The correlation function of Gaspari & Cohn (1999, eq. 4.10): 1 at distance 0, 5/24 at the half-width, 0 from twice
/// the half-width on. DAPPER's localisation radius is the half-width / 1.82.
double gaspari_cohn(double distance, double half_width);

}  // namespace levda::da
