#pragma once

/// Initial states of the atmosphere that a user gives on a grid of longitudes and latitudes.

#include "models/atmosphere.h"

namespace levda::models {

/// Throws Error: fields of other sizes or not finite, axes that do not ascend or leave gaps.
void check_initial(const AtmosphereInitial& initial);

/// A field at the nodes of a Gaussian grid with these latitudes, in radians. Beyond the last rows those across the pole
/// go on, half a turn away; there the components of a wind change sign.
std::vector<double> interpolated(const AtmosphereInitial& initial, const std::vector<double>& field, bool wind,
                                 const std::vector<double>& latitudes);

}  // namespace levda::models
