#pragma once

/// A solver that starts from any state.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace levda::models {

struct Propagator {
  /// Advances a state (c, ny, nx) in place by some of the solver's steps. The state has the physical units of the data
  /// set; `time` is its time, in the unit and on the clock of the data set. A state that is not finite, or that the
  /// solver cannot advance, becomes not finite. May be called by many threads at once. Throws Error when the solver
  /// refuses the parameters (p), physical units.
  std::function<void(std::span<double> state, double time, std::int64_t steps, std::span<const double> parameters)>
      advance;
  std::vector<double> least;  ///< (p): the solver refuses a parameter that is not above this
  bool clock = false;         ///< whether the result depends on the time
};

}  // namespace levda::models
