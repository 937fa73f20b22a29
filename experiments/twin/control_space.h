#pragma once

/// What a method's control vectors stand for: the latent space of the surrogate, or the fields themselves.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "da/latent_control.h"
#include "da/solver_model.h"
#include "experiments/twin/twin.h"

namespace levda::experiments {

/// The same truths, the same trajectories and frames as members and the same observations serve methods in every space.
class ControlSpace {
 public:
  virtual ~ControlSpace() = default;
  virtual const da::ForwardModel& model() const = 0;
  /// Of the truth with this number; its members are those of draw_members.
  virtual da::Ensemble prior(const std::string& experiment, std::int64_t truth_index) const = 0;
  /// Other likely states for that truth, for starting points; none: there are none, or none are asked for.
  virtual std::optional<da::Ensemble> candidates(const std::string&, std::int64_t, std::int64_t) const { return {}; }
  /// Of the observations' errors, with the model's own error where the space has one.
  virtual std::unique_ptr<const da::ErrorCovariance> covariance(const ObservationFile& observations) const = 0;
  /// Error variance of the model per channel at frames, in training variances: what scores add to the members' own.
  /// Of a model whose errors depend on the parameters, at the ensemble's mean ones.
  virtual std::vector<double> model_error(const std::string& experiment, const da::Ensemble& ensemble) const = 0;
  /// Fields of all members at every score_stride-th node in training standard deviations of the channels,
  /// (N, points, c).
  virtual std::vector<float> fields(const da::Ensemble& ensemble) const = 0;
  /// Parameters of all members in physical units, (N, p).
  virtual std::vector<double> parameters(const da::Ensemble& ensemble) const = 0;
  /// Standard deviations of the controls' random walk from window to window, for parameters that move by `step` prior
  /// ranges; empty: no walk.
  virtual std::vector<double> walk(double) const { return {}; }
};

/// The latent space of a surrogate (da::LatentControl), for both experiments.
class LatentSpace final : public ControlSpace {
 public:
  /// Both must outlive it. Throws InputError.
  LatentSpace(const Config& config, const models::Surrogate& surrogate);

  /// The controls of an experiment: they differ in the frames at which it may begin.
  const da::LatentControl& of(const std::string& experiment) const { return experiment == "cold" ? cold_ : warm_; }

  const da::ForwardModel& model() const override { return warm_.model(); }
  da::Ensemble prior(const std::string& experiment, std::int64_t truth) const override;
  std::optional<da::Ensemble> candidates(const std::string& experiment, std::int64_t truth,
                                         std::int64_t count) const override;
  std::unique_ptr<const da::ErrorCovariance> covariance(const ObservationFile& observations) const override;
  std::vector<double> model_error(const std::string& experiment, const da::Ensemble& ensemble) const override;
  std::vector<float> fields(const da::Ensemble& ensemble) const override;
  std::vector<double> parameters(const da::Ensemble& ensemble) const override { return warm_.parameters(ensemble); }
  std::vector<double> walk(double step) const override { return warm_.walk(step); }

  /// [s; u], whatever the control vectors are.
  da::Ensemble natural(const da::Ensemble& ensemble) const { return warm_.natural(ensemble); }

 private:
  const Config& config_;
  const models::Surrogate& surrogate_;
  da::LatentControl cold_;
  da::LatentControl warm_;
  autodiff::Tensor points_;
};

/// Fields and parameters (da::SolverModel), with the solver that made the data set. R is the observations' own error
/// variance.
class FullSpace final : public ControlSpace {
 public:
  /// All must outlive it. Throws InputError when the data set was made by another configuration.
  FullSpace(const Config& config, const models::Surrogate& surrogate, const Dataset& data, const Moments& moments);

  const da::SolverModel& model() const override { return model_; }
  /// Throws InputError where there is nothing before frame 0 for a cold start.
  da::Ensemble prior(const std::string& experiment, std::int64_t truth_index) const override;
  std::unique_ptr<const da::ErrorCovariance> covariance(const ObservationFile& observations) const override;
  std::vector<double> model_error(const std::string& experiment, const da::Ensemble& ensemble) const override;
  std::vector<float> fields(const da::Ensemble& ensemble) const override;
  std::vector<double> parameters(const da::Ensemble& ensemble) const override;

 private:
  const Config& config_;
  const models::Surrogate& surrogate_;  // its standard deviations are the scores' unit
  const Dataset& data_;
  da::SolverModel model_;
};

/// Every stride-th node of a field (c, ny, nx), channels innermost, divided by the channels' standard deviations.
void scored_values(std::span<const float> field, const models::Grid& grid, std::int64_t stride,
                   const std::vector<double>& deviation, float* out);

}  // namespace levda::experiments
