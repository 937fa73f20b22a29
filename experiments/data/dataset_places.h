#pragma once

/// Where and when the values of a data set in a NetCDF file lie.

#include <optional>
#include <string>
#include <vector>

#include "experiments/data/dataset_values.h"

namespace levda::experiments {

/// What the axes of a grid say.
struct Places {
  models::Grid grid;
  bool turn_x = false;  ///< the file's axis decreases
  bool turn_y = false;
};

/// Reads x and y, of a grid or a list of points, offsets and geometry; sets the units of places, and which were not
/// said. Longitudes may go across Greenwich or the date line, in either convention; an axis that jumps otherwise is
/// refused, like a geometry other than the plane for a list of points. shape: of field. Throws InputError.
Places read_places(const DatasetFile& file, const std::vector<std::int64_t>& shape, bool listed,
                   models::Description& about);

/// Reads time: unit, reference, calendar, first time and frame interval. Throws InputError.
void read_times(const DatasetFile& file, std::int64_t frames, models::Description& about);

}  // namespace levda::experiments
