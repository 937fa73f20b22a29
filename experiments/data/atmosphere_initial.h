#pragma once

/// The atmosphere's initial state from a file, for example a reanalysis.

#include <filesystem>

#include "models/atmosphere.h"

namespace levda::experiments {

/// Variables u, v (m/s), h and orography (m) of a NetCDF file over latitude and longitude, in either order, beside
/// which there may be dimensions of length 1; coordinate variables lat or latitude, lon or longitude in degrees, in any
/// order and with any origin. A longitude that comes again 360 degrees on is dropped. scale_factor and the like are
/// applied. h is the departure from data's mean depth: see models::AtmosphereInitial. Throws InputError naming file and
/// variable, in a build without NetCDF too.
models::AtmosphereInitial read_atmosphere_initial(const std::filesystem::path& path);

}  // namespace levda::experiments
