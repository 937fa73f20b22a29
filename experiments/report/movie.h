#pragma once

/// Truth, analysis and error in motion: a figure of the report with a time slider, drawn by the page itself.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "experiments/report/colours.h"
#include "experiments/report/report.h"

namespace levda::experiments {

inline constexpr std::uint8_t missing_step = 127;

/// Steps of a palette: 0 .. 126 over a range, values beyond it at its ends, 127 for values that are not finite.
std::vector<std::uint8_t> palette_steps(const Fields& fields, const Range& range);

/// Frames of steps, (frames, ny, nx), without loss: each step is predicted from its left, lower and lower left
/// neighbours (LOCO-I's median; 0 before the first column, the lower one in it, the left one in the first row). The
/// difference, modulo 256 in -128 .. 127, is folded to d >= 0 (0, -1, 1, -2, ..) and written as a Rice code: d >> shift
/// ones, a zero, the `shift` low bits of d. Highest bit of each byte first.
struct CompactSteps {
  int shift = 0;  ///< chosen to need the fewest bits
  std::vector<std::uint8_t> code;
};
CompactSteps compact(std::span<const std::uint8_t> steps, std::int64_t nx, std::int64_t ny);

/// RFC 4648, with padding.
std::string base64(std::span<const std::uint8_t> bytes);

/// The figure, hidden until movie_script() has run; frames: one element per channel, all on one grid. prior_mean
/// and spread are not used.
std::string movie_figure(const std::vector<FieldMaps>& frames, const std::string& caption);

/// The JavaScript that runs all movies of a page.
std::string movie_script();

}  // namespace levda::experiments
