#pragma once

/// A solver that goes on from any state.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace levda::models {

struct Propagator {
  /// A state in place, (c, ny, nx) in physical units as the data set has it, by some of the solver's steps; `time` is
  /// where it lies, in the data set's unit and on its clock. What becomes of a state that is not finite, or that the
  /// solver cannot carry, is not finite. May be called by many threads at once. Throws Error when the parameters (p),
  /// physical units, are refused.
  std::function<void(std::span<double> state, double time, std::int64_t steps, std::span<const double> parameters)>
      advance;
  std::vector<double> least;  ///< (p): a parameter is refused unless it is above that
  bool clock = false;         ///< whether the time matters
};

}  // namespace levda::models
