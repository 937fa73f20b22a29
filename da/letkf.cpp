#include "da/letkf.h"

#include <fmt/format.h>

#include <cmath>
#include <map>

#include "autodiff/error.h"
#include "da/internal/ensemble_space.h"

namespace levda::da {

namespace {

/// Eigen's name for "all rows" depends on its version.
Matrix columns_of(const Matrix& x, const std::vector<std::int64_t>& columns) {
  Matrix some(x.rows(), static_cast<std::int64_t>(columns.size()));
  for (std::size_t k = 0; k < columns.size(); ++k) some.col(static_cast<std::int64_t>(k)) = x.col(columns[k]);
  return some;
}

/// Observations that count at a place, with the square roots of their weights.
struct Nearby {
  std::vector<std::int64_t> positions;
  Vector root;
};

Nearby nearby(const LetkfSettings& s, std::int64_t control, const Observations& o) {
  Nearby near;
  std::vector<double> root;
  for (std::int64_t i = 0; i < o.size(); ++i) {
    const double distance = s.distance ? s.distance(control, o, i) : 0;
    if (!(distance >= 0)) throw Error(fmt::format("letkf: control {} at a distance of {}", control, distance));
    const double weight = gaspari_cohn(distance, s.half_width);
    if (!(weight > 0)) continue;
    near.positions.push_back(i);
    root.push_back(std::sqrt(weight));
  }
  near.root = Eigen::Map<const Vector>(root.data(), static_cast<std::int64_t>(root.size()));
  return near;
}

}  // namespace

Letkf::Letkf(LetkfSettings settings) : settings_(std::move(settings)) {
  check(settings_.inflation);
  if (!(settings_.half_width > 0)) throw Error(fmt::format("letkf: a half-width of {}", settings_.half_width));
  if (!settings_.distance && std::isfinite(settings_.half_width)) throw Error("letkf: a half-width without a distance");
  std::map<std::int64_t, std::size_t> index;
  for (std::size_t k = 0; k < settings_.places.size(); ++k) {
    const auto control = static_cast<std::int64_t>(k);
    if (settings_.places[k] < 0) {
      global_.push_back(control);
      continue;
    }
    const auto [place, is_new] = index.try_emplace(settings_.places[k], local_.size());
    if (is_new) local_.emplace_back();
    local_[place->second].push_back(control);
  }
}

Ensemble Letkf::analyse(const ObservationOperator& observe, const WindowProblem& problem) const {
  if (dynamic_cast<const DiagonalCovariance*>(problem.covariance.get()) == nullptr)
    throw Error("letkf: a diagonal error covariance is needed, to weigh each observation by itself");
  const Ensemble& prior = problem.prior;
  const std::int64_t n = prior.controls();
  if (!settings_.places.empty() && static_cast<std::int64_t>(settings_.places.size()) != n)
    throw Error(fmt::format("letkf: places of {} controls for {}", settings_.places.size(), n));
  const Predictions predictions = predictions_of(observe, problem);
  const Matrix anomalies = matrix_of(prior.anomalies());
  const Vector mean = vector_of(prior.mean());
  Matrix members = matrix_of(prior.members());

  const auto update = [&](const std::vector<std::int64_t>& controls, const Weights& weights) {
    const Matrix updated = members_of(weights, columns_of(anomalies, controls), mean(controls));
    for (std::size_t k = 0; k < controls.size(); ++k)
      members.col(controls[k]) = updated.col(static_cast<std::int64_t>(k));
  };
  const auto update_locally = [&](const std::vector<std::int64_t>& controls) {
    const Nearby near = nearby(settings_, controls.front(), problem.observations);
    if (near.positions.empty()) return;
    const Matrix s = columns_of(predictions.anomalies, near.positions) * near.root.asDiagonal();
    update(controls, weights_of(s, near.root.cwiseProduct(predictions.innovation(near.positions))));
  };
  if (!global_.empty()) update(global_, weights_of(predictions.anomalies, predictions.innovation));
  if (settings_.places.empty())
    in_parallel(static_cast<std::size_t>(n), [&](std::size_t k) { update_locally({static_cast<std::int64_t>(k)}); });
  else
    in_parallel(local_.size(), [&](std::size_t k) { update_locally(local_[k]); });
  return inflated(prior, Ensemble(tensor_of(members)), settings_.inflation, problem.random);
}

}  // namespace levda::da
