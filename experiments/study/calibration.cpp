#include "experiments/study/calibration.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "autodiff/error.h"

namespace levda::experiments {

namespace {

constexpr int most_trials = 4;

/// Slopes of the logarithm of the floor's squared error over the parameters.
std::vector<double> trend_of(const Config& config, const models::Surrogate& s, const Dataset& data,
                             const std::string& experiment) {
  const Moments moments = field_moments(data);
  std::vector<double> logarithms;
  std::vector<double> parameters;
  for (const Truth& truth : validation_truths(config, data, experiment)) {
    const ObservationFile file = observe_truth(config, data, moments, truth, experiment);
    double sum = 0;
    for (const da::FieldScores& frame : Scorer(config, s, data, file).floor().frames) sum += frame.squared_error();
    logarithms.push_back(std::log(sum));
    const std::vector<double> u = s.normal_parameters(data.parameters_of(truth.member));
    parameters.insert(parameters.end(), u.begin(), u.begin() + s.about.parameters());
  }
  return significant_slopes(parameters, logarithms);
}

}  // namespace

std::vector<double> significant_slopes(std::span<const double> x, std::span<const double> y) {
  const auto rows = static_cast<Eigen::Index>(y.size());
  const auto columns = static_cast<Eigen::Index>(x.size() / y.size());
  std::vector<double> slopes(static_cast<std::size_t>(columns), 0.0);
  if (rows <= columns + 1) return slopes;
  Eigen::MatrixXd design = Eigen::MatrixXd::Ones(rows, columns + 1);
  for (Eigen::Index i = 0; i < rows; ++i)
    for (Eigen::Index k = 0; k < columns; ++k) design(i, k) = x[i * columns + k];
  const Eigen::Map<const Eigen::VectorXd> values(y.data(), rows);
  const Eigen::MatrixXd inverse = (design.transpose() * design).inverse();
  const Eigen::VectorXd found = inverse * (design.transpose() * values);
  const double variance = (values - design * found).squaredNorm() / static_cast<double>(rows - columns - 1);
  for (Eigen::Index k = 0; k < columns; ++k)
    if (std::abs(found(k)) > 2 * std::sqrt(variance * inverse(k, k))) slopes[k] = found(k);
  return slopes;
}

Calibration calibrate(const Config& config, const models::Surrogate& s, const Dataset& data,
                      const std::string& experiment, const CalibrationOptions& options) {
  Config trial_config = config;
  trial_config.assimilation.error_factor = 1;
  trial_config.assimilation.surrogate_factor = 1;
  Calibration result{.experiment = experiment, .trials = {}, .surrogate_trend = trend_of(config, s, data, experiment)};
  trial_config.assimilation.surrogate_trend = result.surrogate_trend;
  const auto z_rms = [](const CalibrationTrial& trial) { return trial.scores.param_z_rms.value; };
  for (int number = 0; number < most_trials; ++number) {
    double& factor = trial_config.assimilation.error_factor;
    const Study study = run_study(trial_config, s, data,
                                  {.methods = {"levda"},
                                   .experiment = experiment,
                                   .validation = true,
                                   .baselines = false,
                                   .stop = options.stop,
                                   .progress = options.progress,
                                   .name = fmt::format("calibrate, R x {:.3g}", factor)});
    const Summary summary = summarise(study);
    const MethodSummary& scores = summary.methods.front();
    if (scores.failures > 0) throw Error(scores.failure);
    result.truths = summary.truths;
    result.trials.push_back({factor, scores});
    const double z2 = z_rms(result.trials.back()) * z_rms(result.trials.back());
    const double error = std::sqrt(2 / static_cast<double>(summary.truths));
    if (!std::isfinite(z2) || z2 == 0 || std::abs(std::log(z2)) <= std::log(1 + error)) break;
    factor *= z2;
  }
  const auto distance = [&](const CalibrationTrial& t) { return std::abs(std::log(z_rms(t))); };
  const auto best = std::min_element(result.trials.begin(), result.trials.end(),
                                     [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
  result.error_factor = best->error_factor;
  // ssr^2 is linear in the factor: members' variance + factor x surrogate's, over the squared error.
  const FieldFigures& f = best->scores.analysis;
  const double members = f.ssr_without_model_error.value * f.ssr_without_model_error.value;
  result.surrogate_factor = std::max(0.0, (1 - members) / (f.ssr.value * f.ssr.value - members));
  return result;
}

std::string text_of(const Calibration& c) {
  ScoreTable table{.columns = {"R x", "rel. RMSE", "param. error", "param. z", "ssr", "ssr without R_sur"}, .rows = {}};
  for (const auto& [factor, m] : c.trials)
    table.rows.push_back({fmt::format("{:.4g}", factor), fmt::format("{:.4f}", m.analysis.rel_rmse.value),
                          fmt::format("{:.4f}", m.param_error.value), fmt::format("{:.2f}", m.param_z_rms.value),
                          fmt::format("{:.2f}", m.analysis.ssr.value),
                          fmt::format("{:.2f}", m.analysis.ssr_without_model_error.value)});
  return fmt::format(
      "{}, {} validation truths\n{}assimilation.error_factor = {:.3g}\nassimilation.surrogate_factor = {:.3g}\n"
      "assimilation.surrogate_trend = [{:.3g}]\n",
      c.experiment, c.truths, markdown_table(table), c.error_factor, c.surrogate_factor,
      fmt::join(c.surrogate_trend, ", "));
}

}  // namespace levda::experiments
