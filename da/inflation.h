#pragma once

/// Inflation of analysis ensembles, because small ensembles underestimate their spread.

#include "autodiff/random.h"
#include "da/ensemble.h"

namespace levda::da {

struct Inflation {
  double factor = 1;      ///< of all anomalies, > 0
  double relaxation = 0;  ///< towards the prior spread (RTPS; Whitaker & Hamill 2012), in [0, 1]: the anomalies of a
                          ///< control are multiplied by 1 + relaxation (prior spread - spread) / spread
  bool rotate = false;    ///< afterwards the members are mixed by a random rotation that keeps mean and covariance

  friend bool operator==(const Inflation&, const Inflation&) = default;
};

/// Throws Error naming a setting that is out of range.
void check(const Inflation& inflation);

/// The inflated posterior, with the same mean. Only the rotation uses `random`.
Ensemble inflated(const Ensemble& prior, const Ensemble& posterior, const Inflation& inflation,
                  autodiff::Random& random);

}  // namespace levda::da
