#include "da/etkf.h"

#include "da/internal/ensemble_space.h"

namespace levda::da {

Etkf::Etkf(const Inflation& inflation) : inflation_(inflation) { check(inflation); }

Ensemble Etkf::analyse(const ObservationOperator& observe, const WindowProblem& problem) const {
  const Predictions predictions = predictions_of(observe, problem);
  const Ensemble& prior = problem.prior;
  const Weights weights = weights_of(predictions.anomalies, predictions.innovation);
  const Ensemble posterior(tensor_of(members_of(weights, matrix_of(prior.anomalies()), vector_of(prior.mean()))));
  return inflated(prior, posterior, inflation_, problem.random);
}

}  // namespace levda::da
