#pragma once

/// Observations as text, one value per line.

#include <string>
#include <string_view>

#include "da/observations.h"
#include "models/grid.h"

namespace levda::experiments {

/// Lines of comma-separated fields, the first of them naming the columns in any order: time, x, y, channel (name or
/// position), value, error_std, and as wanted qc (0 where it is left out), op (value), extent_x and extent_y (0). y may
/// be left out where the domain has no extent along it. Fields may stand in double quotes; empty lines and those that
/// begin with # are passed over; other columns too. Throws InputError naming `source`, the column and the line
/// (1-based): a column missing or twice, too few or too many fields, a number that is none, an unknown channel. What
/// values mean is not looked at: da::check does.
da::Observations parse_observations_csv(std::string_view text, const std::string& source,
                                        const models::Description& about);

}  // namespace levda::experiments
