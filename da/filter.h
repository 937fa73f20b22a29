#pragma once

/// Filters: methods that see observations one time after the other, and never a later one.

#include "da/method.h"

namespace levda::da {

/// Carries the ensemble from one time of observations to the next and corrects it there. The ensemble at an analysis
/// time knows the observations up to it.
class FilterMethod : public Method {
 public:
  Analysis assimilate(const Problem& problem) const final;

 protected:
  /// The posterior where the observations lie: all of them at one time, the ensemble's own.
  virtual Ensemble analyse(const ObservationOperator& observe, const WindowProblem& problem) const = 0;
};

}  // namespace levda::da
