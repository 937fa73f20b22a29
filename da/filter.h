#pragma once

/// Filters: methods that assimilate the observations of one time after the other and never see later ones.

#include "da/method.h"

namespace levda::da {

/// Carries the ensemble from one time of observations to the next and corrects it there. The ensemble at an analysis
/// time depends on the observations up to that time.
class FilterMethod : public Method {
 public:
  Analysis assimilate(const Problem& problem) const final;

 protected:
  /// The posterior at the time of the observations; the prior in `problem` lies at the same time.
  virtual Ensemble analyse(const ObservationOperator& observe, const WindowProblem& problem) const = 0;
};

}  // namespace levda::da
