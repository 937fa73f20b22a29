#include "da/ienks.h"

#include <fmt/format.h>

#include <cmath>

#include "autodiff/error.h"
#include "da/internal/decompositions.h"
#include "da/internal/ensemble_space.h"

namespace levda::da {

using autodiff::Tensor;

namespace {

/// The iteration of one problem. It does not call the model: it gives the members to evaluate and takes the results.
class Iterate {
 public:
  Iterate(const WindowProblem& problem, const IenksSettings& settings)
      : problem_(problem),
        settings_(settings),
        mean_(vector_of(problem.prior.mean())),
        anomalies_(matrix_of(problem.prior.anomalies())),
        posterior_{Vector::Zero(anomalies_.rows()), Matrix::Identity(anomalies_.rows(), anomalies_.rows())},
        before_(posterior_.mean) {}

  bool done() const { return done_; }

  Matrix members() const { return members_of({posterior_.mean, about_iterate()}, anomalies_, mean_); }

  /// Predictions (N, m) of members().
  void answer(const Tensor& predictions) {
    const Predictions here = predictions_of(predictions, problem_);
    if (!here.anomalies.allFinite() || !here.innovation.allFinite()) {
      constexpr int most = 20;
      if (iterations_ == 0 || ++halvings_ > most)
        throw Error(fmt::format("ienks: the model is not finite after {} iterations", iterations_));
      posterior_.mean = 0.5 * (before_ + posterior_.mean).eval();
      return;
    }
    halvings_ = 0;
    sensitivity_ = solve_positive(about_iterate(), here.anomalies);
    before_ = posterior_.mean;
    cost_ = 0.5 * before_.squaredNorm() + 0.5 * here.innovation.squaredNorm();
    if (problem_.report != nullptr)
      problem_.report->iterations.push_back({.cost_background = 0.5 * before_.squaredNorm(),
                                             .cost_observations = 0.5 * here.innovation.squaredNorm(),
                                             .gradient_norm = (before_ - sensitivity_ * here.innovation).norm()});
    const Vector linear = here.innovation + sensitivity_.transpose() * before_;
    posterior_ = weights_of(sensitivity_, linear);
    innovation_ = linear - sensitivity_.transpose() * posterior_.mean;
    step_ = (posterior_.mean - before_).norm();
    done_ = ++iterations_ == settings_.iterations || step_ <= settings_.tolerance;
  }

  Ensemble result() const {
    Diagnostics& diagnostics = problem_.diagnostics;
    diagnostics["iterations"].push_back(static_cast<double>(iterations_));
    diagnostics["step"].push_back(step_);
    diagnostics["cost"].push_back(cost_);
    diagnostics["degrees_of_freedom"].push_back(static_cast<double>(anomalies_.rows()) -
                                                posterior_.transform.squaredNorm());  // N - tr(H^-1)
    report_impact(problem_, posterior_.transform, sensitivity_, innovation_);
    const Ensemble posterior(tensor_of(members_of(posterior_, anomalies_, mean_)));
    return inflated(problem_.prior, posterior, settings_.inflation, problem_.random);
  }

 private:
  /// The anomalies of the members about the iterate, as multiples of the prior's.
  Matrix about_iterate() const {
    const std::int64_t n = anomalies_.rows();
    return settings_.sensitivities == Sensitivities::bundle ? Matrix(settings_.epsilon * Matrix::Identity(n, n))
                                                            : posterior_.transform;
  }

  const WindowProblem& problem_;
  const IenksSettings& settings_;
  Vector mean_;
  Matrix anomalies_;
  Weights posterior_;
  Vector before_;       // the weights before the last step
  Matrix sensitivity_;  // S of the last iterate, (N, m)
  Vector innovation_;   // after the step, linearised with S
  std::int64_t iterations_ = 0;
  int halvings_ = 0;
  double step_ = 0;
  double cost_ = 0;
  bool done_ = false;
};

}  // namespace

Ienks::Ienks(IenksSettings settings, WindowSettings windows) : WindowMethod(std::move(windows)), settings_(settings) {
  if (settings_.iterations < 1) throw Error(fmt::format("ienks: {} iterations", settings_.iterations));
  if (!(settings_.tolerance >= 0)) throw Error(fmt::format("ienks: a tolerance of {}", settings_.tolerance));
  if (!(settings_.epsilon > 0)) throw Error(fmt::format("ienks: an epsilon of {}", settings_.epsilon));
  check(settings_.inflation);
}

std::vector<Ensemble> Ienks::analyse(const ObservationOperator& observe, std::span<const WindowProblem> problems,
                                     bool) const {
  std::vector<Iterate> iterates;
  iterates.reserve(problems.size());
  for (const WindowProblem& problem : problems) iterates.emplace_back(problem, settings_);
  for (;;) {  // in rounds: one call of the model serves all open iterations
    std::vector<Iterate*> going;
    std::vector<Matrix> members;
    for (Iterate& iterate : iterates) {
      if (iterate.done()) continue;
      going.push_back(&iterate);
      members.push_back(iterate.members());
    }
    if (going.empty()) break;
    const Tensor predictions = predict_all(observe, members);
    in_parallel(going.size(), [&](std::size_t k) { going[k]->answer(part(predictions, k)); });
  }
  std::vector<Ensemble> posteriors;
  for (const Iterate& iterate : iterates) posteriors.push_back(iterate.result());
  return posteriors;
}

}  // namespace levda::da
