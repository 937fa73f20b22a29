#include "experiments/study/calibration.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "experiments/config/interrupted.h"
#include "experiments/twin/assimilation.h"
#include "experiments/twin/scorer.h"
#include "experiments/twin/spaces.h"
#include "nn/progress.h"

namespace levda::experiments {

namespace {

constexpr int most_trials = 4;

std::vector<double> trend_of(const Config& config, const models::Surrogate& s, const Dataset& data,
                             const std::vector<ObservationFile>& observations) {
  std::vector<double> logarithms;
  std::vector<double> parameters;
  for (const ObservationFile& file : observations) {
    double sum = 0;
    for (const da::FieldScores& frame : Scorer(config, s, data, file).floor().frames) sum += frame.squared_error();
    logarithms.push_back(std::log(sum));
    const std::vector<double> u = s.normal_parameters(data.parameters_of(file.truth.value().member));
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
  const std::vector<Truth> truths = validation_truths(config, data, experiment);
  const Moments moments = field_moments(data);
  std::vector<ObservationFile> observations;
  for (const Truth& truth : truths) observations.push_back(observe_truth(config, data, moments, truth, experiment));

  Calibration result{.experiment = experiment,
                     .truths = static_cast<std::int64_t>(truths.size()),
                     .trials = {},
                     .surrogate_trend = trend_of(config, s, data, observations)};
  trial_config.assimilation.surrogate_trend = result.surrogate_trend;
  for (int number = 0; number < most_trials; ++number) {
    Config natural = trial_config;  // analyses hold [s; u], whatever the control vectors were
    natural.assimilation.parameters = ParameterBounds::free;
    const LatentSpace space(natural, s);
    CalibrationTrial trial{.error_factor = trial_config.assimilation.error_factor};
    da::FieldScores pooled;
    double z_squares = 0;
    double parameters = 0;
    nn::Progress progress(fmt::format("calibrate, R x {:.3g}", trial.error_factor), result.truths, options.progress);
    for (std::size_t i = 0; i < truths.size(); ++i) {
      const LatentAnalysis analysis = assimilate(trial_config, s, {&observations[i], 1}).front();
      const MethodScores scores =
          Scorer(trial_config, s, data, observations[i])
              .score([&](std::int64_t t) { return analysis.fields[static_cast<std::size_t>(t)]; },
                     space.model_error(experiment, analysis.ensembles.back()),
                     space.parameters(analysis.ensembles.back()));
      da::FieldScores own;
      for (const da::FieldScores& frame : scores.frames) own += frame;
      trial.rel_rmse += own.relative_rmse() / static_cast<double>(truths.size());
      pooled += own;
      for (const da::ParameterScore& p : scores.parameters) {
        trial.param_error += p.error;
        z_squares += p.z * p.z;
        parameters += 1;
      }
      progress.update(static_cast<std::int64_t>(i) + 1, experiment);
      if (options.stop && options.stop()) throw Interrupted("stopped; a calibration begins anew");
    }
    trial.param_error /= parameters;
    trial.param_z_rms = std::sqrt(z_squares / parameters);
    trial.ssr = pooled.spread_skill();
    trial.ssr_without_surrogate_error = pooled.spread_skill_without_surrogate_error();
    result.trials.push_back(trial);
    const double z2 = trial.param_z_rms * trial.param_z_rms;
    const double error = std::sqrt(2 / static_cast<double>(truths.size()));
    if (!std::isfinite(z2) || z2 == 0 || std::abs(std::log(z2)) <= std::log(1 + error)) break;
    trial_config.assimilation.error_factor *= z2;
  }
  const auto distance = [](const CalibrationTrial& t) { return std::abs(std::log(t.param_z_rms)); };
  const auto best = std::min_element(result.trials.begin(), result.trials.end(),
                                     [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
  result.error_factor = best->error_factor;
  // ssr^2 is linear in the factor: members' variance + factor x surrogate's, over the squared error.
  const double members = best->ssr_without_surrogate_error * best->ssr_without_surrogate_error;
  result.surrogate_factor = std::max(0.0, (1 - members) / (best->ssr * best->ssr - members));
  return result;
}

std::string text_of(const Calibration& c) {
  std::string text = fmt::format("{}, {} validation truths\n{:>10} {:>10} {:>12} {:>9} {:>6} {:>18}\n", c.experiment,
                                 c.truths, "R x", "rel. RMSE", "param. error", "param. z", "ssr", "ssr without R_sur");
  for (const CalibrationTrial& t : c.trials)
    text += fmt::format("{:>10.4g} {:>10.4f} {:>12.4f} {:>9.2f} {:>6.2f} {:>18.2f}\n", t.error_factor, t.rel_rmse,
                        t.param_error, t.param_z_rms, t.ssr, t.ssr_without_surrogate_error);
  text += fmt::format("assimilation.error_factor = {:.3g}\nassimilation.surrogate_factor = {:.3g}\n", c.error_factor,
                      c.surrogate_factor);
  return text + fmt::format("assimilation.surrogate_trend = [{:.3g}]\n", fmt::join(c.surrogate_trend, ", "));
}

}  // namespace levda::experiments
