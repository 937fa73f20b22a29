#include "da/four_d_en_var.h"

#include "da/internal/ensemble_space.h"

namespace levda::da {

using autodiff::Tensor;

FourDEnVar::FourDEnVar(const Inflation& inflation, WindowSettings windows)
    : WindowMethod(std::move(windows)), inflation_(inflation) {
  check(inflation);
}

std::vector<Ensemble> FourDEnVar::analyse(const ObservationOperator& observe, std::span<const WindowProblem> problems,
                                          bool) const {
  std::vector<Matrix> members;
  for (const WindowProblem& p : problems) members.push_back(matrix_of(p.prior.members()));
  const Tensor all = predict_all(observe, members);
  std::vector<Ensemble> posteriors(problems.size());
  in_parallel(problems.size(), [&](std::size_t k) {
    const WindowProblem& p = problems[k];
    const Predictions here = predictions_of(part(all, k), p);
    const Weights weights = weights_of(here.anomalies, here.innovation);
    const double background = 0.5 * weights.mean.squaredNorm();
    const Vector left = here.innovation - here.anomalies.transpose() * weights.mean;
    const double misfit = 0.5 * left.squaredNorm();
    report_impact(p, weights.transform, here.anomalies, left);
    p.diagnostics["cost"].push_back(background + misfit);
    p.diagnostics["cost_background"].push_back(background);
    p.diagnostics["cost_observations"].push_back(misfit);
    const Ensemble posterior(tensor_of(members_of(weights, matrix_of(p.prior.anomalies()), vector_of(p.prior.mean()))));
    posteriors[k] = inflated(p.prior, posterior, inflation_, p.random);
  });
  return posteriors;
}

}  // namespace levda::da
