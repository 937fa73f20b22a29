#pragma once

/// The space of a method's control vectors: the latent space of the surrogate, or full states of the solver.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "da/latent_control.h"
#include "da/solver_model.h"
#include "experiments/twin/twin.h"

namespace levda::experiments {

/// Methods in all spaces get the same truths, members from the same trajectories and frames, and the same observations.
class ControlSpace {
 public:
  virtual ~ControlSpace() = default;
  virtual const da::ForwardModel& model() const = 0;
  /// The prior ensemble for the truth with this number, from the origins of draw_members.
  virtual da::Ensemble prior(const std::string& experiment, std::int64_t truth_index) const = 0;
  /// Likely states for that truth, as candidates for starting points; nullopt if the space has none or count is 0.
  virtual std::optional<da::Ensemble> candidates(const std::string&, std::int64_t, std::int64_t) const { return {}; }
  /// R: errors of the observations and, in the latent space, of the surrogate.
  virtual std::unique_ptr<const da::ErrorCovariance> covariance(const ObservationFile& observations) const = 0;
  /// Error variance of the model per channel at frames, in training variances, which scores add to the members'
  /// variance. If it depends on the parameters, it is evaluated at their ensemble mean.
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

  /// [s; u] of control vectors.
  da::Ensemble natural(const da::Ensemble& ensemble) const { return warm_.natural(ensemble); }

 private:
  const Config& config_;
  const models::Surrogate& surrogate_;
  da::LatentControl cold_;
  da::LatentControl warm_;
  autodiff::Tensor points_;
};

/// Fields and parameters (da::SolverModel), with the solver that made the data set. R has only the observations'
/// errors.
class FullSpace final : public ControlSpace {
 public:
  /// All must outlive it. Throws InputError when the data set was made by another configuration.
  FullSpace(const Config& config, const models::Surrogate& surrogate, const Dataset& data, const Moments& moments);

  const da::SolverModel& model() const override { return model_; }
  /// Throws InputError when a cold start needs a state before frame 0 and there is none.
  da::Ensemble prior(const std::string& experiment, std::int64_t truth_index) const override;
  std::unique_ptr<const da::ErrorCovariance> covariance(const ObservationFile& observations) const override;
  std::vector<double> model_error(const std::string& experiment, const da::Ensemble& ensemble) const override;
  std::vector<float> fields(const da::Ensemble& ensemble) const override;
  std::vector<double> parameters(const da::Ensemble& ensemble) const override;

 private:
  const Config& config_;
  const models::Surrogate& surrogate_;  // scores are in its standard deviations
  const Dataset& data_;
  da::SolverModel model_;
};

/// Every stride-th node of a field (c, ny, nx), channels innermost, divided by the channels' standard deviations.
void scored_values(std::span<const float> field, const models::Grid& grid, std::int64_t stride,
                   const std::vector<double>& deviation, float* out);

}  // namespace levda::experiments
