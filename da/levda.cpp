#include "da/levda.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "da/internal/decompositions.h"
#include "da/internal/gauss_newton.h"
#include "da/internal/transform_control.h"
#include "nn/lbfgs.h"

namespace levda::da {

using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

namespace {

/// Minimises with the exact gradient; one linearisation at the end gives the Hessian.
void minimise_by_gradient(const ObservationOperator& observe, const Objective& objective, const Local& members,
                          Minimum& best, double factor, std::int64_t iterations, double tolerance) {
  const WindowProblem& p = objective.problem();
  const auto f = [&](std::span<const double> w, std::span<double> gradient) {
    const CostGradient here = cost_and_gradient(p.prior, observe, p.values, *p.covariance, w, factor);
    std::copy(here.gradient.begin(), here.gradient.end(), gradient.begin());
    return here.cost;
  };
  const auto accepted = [&](std::span<const double> x, double value, std::span<const double> exact) {
    const Vector w = Eigen::Map<const Vector>(x.data(), best.w.size());
    const Vector gradient = Eigen::Map<const Vector>(exact.data(), best.w.size());
    const Point here{&objective, &w};
    innovations(observe, {&here, 1}, DType::float64, [&](std::size_t, const Vector& innovation) {
      const Vector ensemble = w - members.sensitivity * innovation / factor;
      best.trace.push_back({.factor = factor,
                            .cost_background = 0.5 * w.squaredNorm(),
                            .cost_observations = value - 0.5 * w.squaredNorm(),
                            .gradient_norm = gradient.norm(),
                            .gradient_difference = (gradient - ensemble).norm()});
    });
  };
  const nn::LbfgsResult result = nn::minimise_lbfgs(
      f, std::vector<double>(best.w.begin(), best.w.end()),
      {.iterations = iterations, .gradient_tolerance = 1e-10, .value_tolerance = tolerance, .accepted = accepted});
  best.w = Eigen::Map<const Vector>(result.x.data(), best.w.size());
  best.cost = result.value;
  best.gradient_norm = result.gradient_norm;
  best.iterations = result.iterations;
  const Point end{&objective, &best.w};
  linearisations(observe, {&end, 1}, DType::float64, [&](std::size_t, const Local& local) {
    const Matrix& y = local.sensitivity;
    best.hessian = Matrix::Identity(y.rows(), y.rows()) + y * y.transpose() / factor;
  });
}

/// The minimum of the quadratic J with Y of the members' predictions: (I + Y' R^-1 Y) w = Y' R^-1 (y - mean
/// prediction).
Minimum minimise_by_ensemble(const Local& local) {
  const std::int64_t n = local.sensitivity.rows();
  Minimum minimum{.w = {}, .iterations = 1, .hessian = {}};
  minimum.hessian = Matrix::Identity(n, n) + local.sensitivity * local.sensitivity.transpose();
  minimum.w = weights_of(local.sensitivity, local.innovation).mean;
  minimum.cost = cost(minimum.w, local.innovation - local.sensitivity.transpose() * minimum.w, 1);
  return minimum;
}

/// Sorts by cost and drops minima that are not worth a further minimisation: those with a cost above `ratio` times the
/// lowest, and those within the posterior uncertainty of a better one, (w - w')' H (w - w') < 1.
void keep_promising(std::vector<Minimum>& minima, double ratio) {
  std::stable_sort(minima.begin(), minima.end(), [](const Minimum& a, const Minimum& b) { return a.cost < b.cost; });
  std::vector<Minimum> kept;
  for (Minimum& minimum : minima) {
    const bool hopeless = !kept.empty() && !(minimum.cost <= ratio * kept.front().cost);
    const bool known = std::any_of(kept.begin(), kept.end(), [&](const Minimum& better) {
      const Vector difference = minimum.w - better.w;
      return difference.dot(better.hessian * difference) < 1;
    });
    if (!hopeless && !known) kept.push_back(std::move(minimum));
  }
  minima = std::move(kept);
}

/// Positions in order of the misfit; misfits that are not finite come last.
std::vector<std::int64_t> increasing(const Vector& all) {
  const Vector misfits = all.unaryExpr(
      [](double misfit) { return std::isfinite(misfit) ? misfit : std::numeric_limits<double>::infinity(); });
  std::vector<std::int64_t> order(static_cast<std::size_t>(misfits.size()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return misfits[a] < misfits[b]; });
  return order;
}

/// Adds the candidates with the smallest misfit, as the shortest w whose control vector is nearest to the candidate. In
/// the part of w that moves the control vector, each must differ from all other starts by (w - w')^2 >= 1.
void add_candidates(const ObservationOperator& observe, const Objective& objective, const Tensor& candidates,
                    std::int64_t count, DType model, std::vector<Minimum>& starts) {
  const Vector misfits = objective.misfits(observe.predict(candidates.to(model)));
  const Matrix anomalies = matrix_of(objective.problem().prior.anomalies());  // (N, n)
  const SymmetricEigen eigen = symmetric_eigen(anomalies * anomalies.transpose());
  const double least = 1e-10 * eigen.values.maxCoeff();
  const Vector inverse = (eigen.values.array() > least).select(eigen.values.array().inverse(), 0.0);
  const Matrix distances = matrix_of(candidates).rowwise() - vector_of(objective.problem().prior.mean()).transpose();
  const std::size_t enough = starts.size() + static_cast<std::size_t>(count);
  for (const std::int64_t k : increasing(misfits)) {
    if (starts.size() == enough || !std::isfinite(misfits[k])) return;
    const Vector along = anomalies * distances.row(k).transpose();
    const Vector w = eigen.vectors * inverse.cwiseProduct(eigen.vectors.transpose() * along);
    const bool near = std::any_of(starts.begin(), starts.end(), [&](const Minimum& other) {
      const Vector difference = eigen.vectors.transpose() * (w - other.w);
      return (inverse.array() > 0).select(difference, 0.0).squaredNorm() < 1;
    });
    if (!near) starts.push_back({.start = starts.size(), .w = w});
  }
}

/// Starting points of every problem: w = 0, then the members with the smallest misfit, w_i = sqrt(N - 1) (e_i - 1/N),
/// then candidates.
std::vector<std::vector<Minimum>> starting_points(const ObservationOperator& observe,
                                                  std::span<const Objective> objectives, std::int64_t count,
                                                  std::span<const Ensemble> candidates, DType model) {
  const std::int64_t n = objectives.front().members();
  std::vector<std::vector<Minimum>> starts(objectives.size(), {{.w = Vector::Zero(n)}});
  if (count < 1) return starts;
  const Tensor predictions = predict_members(observe, objectives, model);
  in_parallel(objectives.size(), [&](std::size_t i) {
    const Vector misfits = objectives[i].misfits(part(predictions, i));
    const std::vector<std::int64_t> order = increasing(misfits);
    for (std::int64_t k = 0; k < std::min(count, n); ++k) {
      Vector w = Vector::Constant(n, -1 / static_cast<double>(n));
      w[order[k]] += 1;
      starts[i].push_back({.start = starts[i].size(), .w = std::sqrt(static_cast<double>(n - 1)) * w});
    }
  });
  for (std::size_t i = 0; i < objectives.size() && !candidates.empty(); ++i) {
    const std::size_t index = candidates.size() == 1 ? 0 : objectives[i].problem().index;
    if (index >= candidates.size())
      throw Error(fmt::format("levda: candidates of {} problems, none of problem {}", candidates.size(), index));
    add_candidates(observe, objectives[i], candidates[index].members(), count, model, starts[i]);
  }
  return starts;
}

/// The posterior at the minimum, with diagnostics and report. `exact` is the linearisation there, `ensemble` has the
/// members' Y, of which best.hessian is made if by_ensemble.
Ensemble posterior(const Objective& objective, Minimum& best, const Local& exact, const Local& ensemble,
                   bool by_ensemble) {
  const SymmetricEigen eigen = symmetric_eigen(best.hessian);
  const Matrix transform = eigen.inverse_root();
  const Ensemble& prior = objective.problem().prior;

  Diagnostics& diagnostics = objective.problem().diagnostics;
  diagnostics["best_start"].push_back(static_cast<double>(best.start));
  diagnostics["cost"].push_back(best.cost);
  diagnostics["cost_background"].push_back(0.5 * best.w.squaredNorm());
  diagnostics["cost_observations"].push_back(best.cost - 0.5 * best.w.squaredNorm());
  diagnostics["gradient_norm"].push_back(best.gradient_norm);
  const Matrix difference = exact.sensitivity - ensemble.sensitivity;
  diagnostics["gradient_difference"].push_back((difference * exact.innovation).norm());
  diagnostics["degrees_of_freedom"].push_back((1 - eigen.values.array().inverse()).sum());  // tr(Y H^-1 Y' R^-1)
  if (by_ensemble)
    report_impact(objective.problem(), transform, ensemble.sensitivity,
                  ensemble.innovation - ensemble.sensitivity.transpose() * best.w);
  else
    report_impact(objective.problem(), transform, exact.sensitivity, exact.innovation);
  if (WindowReport* const report = objective.problem().report) report->iterations = std::move(best.trace);
  return Ensemble(tensor_of(members_of({best.w, transform}, matrix_of(prior.anomalies()), vector_of(prior.mean()))));
}

/// Whether a model computes in float32, too: a user's model with constants of float64 does not.
bool computes_in_float32(const ObservationOperator& observe, const Tensor& control) {
  try {
    (void)observe.predict(control.reshaped({1, control.size()}).to(DType::float32));
    return true;
  } catch (const Error&) {
    return false;  // any other error comes again in float64
  }
}

}  // namespace

Levda::Levda(LevdaSettings settings, WindowSettings windows)
    : WindowMethod(std::move(windows)), settings_(std::move(settings)) {
  if (settings_.starts < 0 || settings_.iterations < 1 || settings_.annealing.empty() ||
      settings_.annealing.back() != 1)
    throw Error("levda: starts >= 0, iterations >= 1 and annealing factors that end with 1 are needed");
  check(settings_.inflation);
  if (!settings_.candidates.empty() &&
      (settings_.control == Control::transform || settings_.minimiser == Minimiser::ensemble))
    throw Error("levda: candidates, but starting points are for weights and minimisers with derivatives only");
  if (!(settings_.keep_ratio >= 1)) throw Error("levda: keep_ratio >= 1 is needed");
  for (const double factor : settings_.annealing)
    if (!(factor >= 1)) throw Error(fmt::format("levda: annealing factor {} is below 1", factor));
}

std::vector<Ensemble> Levda::analyse(const ObservationOperator& observe, std::span<const WindowProblem> problems,
                                     bool first) const {
  if (settings_.control == Control::transform) {
    std::vector<Ensemble> posteriors(problems.size());
    in_parallel(problems.size(), [&](std::size_t i) {
      posteriors[i] = inflated(problems[i].prior,
                               analyse_by_transform(observe, problems[i], settings_.parameters, settings_.iterations),
                               settings_.inflation, problems[i].random);
    });
    return posteriors;
  }
  const std::vector<Objective> objectives(problems.begin(), problems.end());
  const bool by_ensemble = settings_.minimiser == Minimiser::ensemble;
  const bool searching = first && !by_ensemble;
  DType coarse_type = settings_.precision == Precision::mixed ? DType::float32 : DType::float64;
  if (searching && coarse_type == DType::float32 && !computes_in_float32(observe, problems[0].prior.mean()))
    coarse_type = DType::float64;
  std::vector<std::vector<Minimum>> minima =
      starting_points(observe, objectives, searching ? settings_.starts : 0, settings_.candidates, coarse_type);
  const Tensor predictions = predict_members(observe, objectives, DType::float64);
  std::vector<Local> members(problems.size());
  in_parallel(problems.size(), [&](std::size_t i) { members[i] = objectives[i].of_members(part(predictions, i)); });
  std::vector<std::int64_t> iterations(problems.size(), 0);
  for (const double factor : searching ? settings_.annealing : std::vector<double>{1}) {
    const bool coarse = factor != 1;
    const DType model = coarse ? coarse_type : DType::float64;
    const double tolerance = coarse ? settings_.coarse_tolerance : settings_.tolerance;
    if (settings_.minimiser == Minimiser::gauss_newton) {
      std::vector<GaussNewton> minimisations;
      for (std::size_t i = 0; i < problems.size(); ++i)
        for (Minimum& minimum : minima[i])
          minimisations.emplace_back(objectives[i], members[i], minimum, factor, settings_.iterations, tolerance);
      minimise(observe, minimisations, model);
    } else {
      in_parallel(problems.size(), [&](std::size_t i) {
        in_parallel(minima[i].size(), [&](std::size_t k) {
          if (by_ensemble)
            minima[i][k] = minimise_by_ensemble(members[i]);
          else
            minimise_by_gradient(observe, objectives[i], members[i], minima[i][k], factor, settings_.iterations,
                                 tolerance);
        });
      });
    }
    for (std::size_t i = 0; i < problems.size(); ++i) {
      for (const Minimum& minimum : minima[i]) iterations[i] += minimum.iterations;
      keep_promising(minima[i], settings_.keep_ratio);
    }
  }

  std::vector<Point> best;
  for (std::size_t i = 0; i < problems.size(); ++i) {
    if (!std::isfinite(minima[i].front().cost)) throw Error("levda: the cost is not finite at any starting point");
    best.push_back({&objectives[i], &minima[i].front().w});
  }
  std::vector<Ensemble> posteriors(problems.size());
  linearisations(observe, best, DType::float64, [&](std::size_t i, const Local& exact) {
    problems[i].diagnostics["iterations"].push_back(static_cast<double>(iterations[i]));
    posteriors[i] =
        inflated(problems[i].prior, posterior(objectives[i], minima[i].front(), exact, members[i], by_ensemble),
                 settings_.inflation, problems[i].random);
  });
  return posteriors;
}

CostGradient cost_and_gradient(const Ensemble& prior, const ObservationOperator& observe, const Tensor& values,
                               const ErrorCovariance& covariance, std::span<const double> w, double factor) {
  const Tensor weights = Tensor::from(w, {1, prior.size()});
  const auto result = autodiff::value_and_grad(
      [&](const autodiff::Vars& x) {
        const Var v = Var(prior.mean()) + matmul(x[0], Var(prior.anomalies()));
        const Var innovation = Var(values) - observe(v);
        return 0.5 * dot(x[0], x[0]) + (0.5 / factor) * dot(innovation, covariance.solve(innovation));
      },
      std::span(&weights, 1));
  return {result.value, result.gradients[0].to_vector()};
}

}  // namespace levda::da
