#include "da/internal/transform_control.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "nn/lbfgs.h"

namespace levda::da {

using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

namespace {

constexpr double increment_weight = 0.1;

}  // namespace

TransformControl::TransformControl(const ObservationOperator& observe, const WindowProblem& problem,
                                   std::int64_t parameters)
    : observe_(observe),
      problem_(problem),
      size_(problem.prior.size()),
      states_(problem.prior.controls() - parameters),
      parameters_(parameters) {
  if (parameters_ < 0 || states_ < 1)
    throw Error(fmt::format("levda: {} parameters among {} controls", parameters_, problem.prior.controls()));
  mean_ = slice(Var(problem.prior.mean()), 0, 0, states_).value();
  anomalies_ = slice(Var(problem.prior.anomalies()), 1, 0, states_).value();
  own_ = slice(Var(problem.prior.members()), 1, states_, parameters_).value();
  // Observations that are left out do not count.
  const std::vector<double> variance = problem.covariance->variance();
  const std::vector<double>& time = problem.observations.time;
  std::map<double, double> count;
  for (std::size_t i = 0; i < time.size(); ++i)
    if (std::isfinite(variance[i])) count[time[i]] += 1;
  std::vector<double> weights;
  for (std::size_t i = 0; i < time.size(); ++i)
    weights.push_back(std::isfinite(variance[i]) ? 1 / (count[time[i]] * static_cast<double>(size_)) : 0);
  weights_ = Tensor::from(std::span<const double>(weights), {static_cast<std::int64_t>(weights.size())});
}

std::vector<double> TransformControl::start() const {
  std::vector<double> x(static_cast<std::size_t>(size_ * (size_ + parameters_)), 0.0);
  for (std::int64_t k = 0; k < size_; ++k) x[k * (size_ + 1)] = std::sqrt(static_cast<double>(size_ - 1));
  return x;
}

Var TransformControl::members(const Var& transform, const Var& increment) const {
  const Var states = Var(mean_) + matmul(transform, Var(anomalies_));
  return parameters_ > 0 ? autodiff::concat({states, Var(own_) + increment}, 1) : states;
}

double TransformControl::cost(std::span<const double> x, std::span<double> gradient) const {
  const auto square_size = static_cast<std::size_t>(size_ * size_);
  std::vector<Tensor> inputs{Tensor::from(x.first(square_size), {size_, size_})};
  if (parameters_ > 0) inputs.push_back(Tensor::from(x.subspan(square_size), {size_, parameters_}));
  const Tensor identity = Tensor::from(std::span<const double>(start()).first(square_size), {size_, size_});
  const auto both = autodiff::value_and_grad(
      [&](const Vars& inputs_on_tape) {
        const Var& transform = inputs_on_tape[0];
        Var background = mean(square(transform - Var(identity)));
        Var increment;
        if (parameters_ > 0) {
          increment = inputs_on_tape[1];
          background = background + increment_weight * mean(square(increment));
        }
        const Var misfit = problem_.covariance->whiten(Var(problem_.values) - observe_(members(transform, increment)));
        return background + sum(square(misfit) * Var(weights_));
      },
      inputs);
  auto out = gradient.begin();
  for (const Tensor& part : both.gradients) {
    const std::vector<double> values = part.to_vector();
    out = std::copy(values.begin(), values.end(), out);
  }
  return both.value;
}

double TransformControl::background(std::span<const double> x) const {
  const std::vector<double> from = start();
  const auto square_size = static_cast<std::size_t>(size_ * size_);
  double transform = 0;
  double increment = 0;
  for (std::size_t i = 0; i < x.size(); ++i) (i < square_size ? transform : increment) += std::pow(x[i] - from[i], 2);
  return transform / static_cast<double>(square_size) +
         increment_weight * increment / std::max(1.0, static_cast<double>(x.size() - square_size));
}

Ensemble TransformControl::ensemble(std::span<const double> x) const {
  const auto square_size = static_cast<std::size_t>(size_ * size_);
  const Var transform(Tensor::from(x.first(square_size), {size_, size_}));
  const Var increment = parameters_ > 0 ? Var(Tensor::from(x.subspan(square_size), {size_, parameters_})) : transform;
  return Ensemble(members(transform, increment).value());
}

Ensemble analyse_by_transform(const ObservationOperator& observe, const WindowProblem& problem, std::int64_t parameters,
                              std::int64_t iterations) {
  const TransformControl control(observe, problem, parameters);
  const auto f = [&](std::span<const double> x, std::span<double> gradient) { return control.cost(x, gradient); };
  const auto accepted = [&](std::span<const double> x, double value, std::span<const double> gradient) {
    if (problem.report == nullptr) return;
    const double background = control.background(x);
    double norm = 0;
    for (const double slope : gradient) norm += slope * slope;
    problem.report->iterations.push_back({.cost_background = background,
                                          .cost_observations = value - background,
                                          .gradient_norm = std::sqrt(norm),
                                          .gradient_difference = std::numeric_limits<double>::quiet_NaN()});
  };
  const nn::LbfgsResult result =
      nn::minimise_lbfgs(f, control.start(), {.iterations = iterations, .accepted = accepted});
  const double background = control.background(result.x);
  problem.diagnostics["iterations"].push_back(static_cast<double>(result.iterations));
  problem.diagnostics["cost"].push_back(result.value);
  problem.diagnostics["cost_background"].push_back(background);
  problem.diagnostics["cost_observations"].push_back(result.value - background);
  problem.diagnostics["gradient_norm"].push_back(result.gradient_norm);
  return control.ensemble(result.x);
}

}  // namespace levda::da
