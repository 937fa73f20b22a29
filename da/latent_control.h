#pragma once

/// Assimilation with a trained surrogate: prior ensembles, R, and results in physical units, for every method:
///
///     const da::LatentControl control(surrogate, {.last_start = 20, .frames = 20});
///     const da::Ensemble prior = control.prior(20, autodiff::Random(1));
///     const auto r = control.covariance(observations);
///     const da::Analysis analysis = da::Levda().assimilate({prior, control.model(), observations, *r, times});
///     const da::FieldMoments now = control.moments(analysis.ensembles[0], control.grid_points());

#include <memory>
#include <optional>
#include <vector>

#include "autodiff/choices.h"
#include "autodiff/random.h"
#include "da/bounded_model.h"
#include "da/error_covariance.h"
#include "da/latent_model.h"

namespace levda::da {

/// Values that parameters may take.
enum class ParameterRange : std::uint8_t {
  free,     ///< any
  bounded,  ///< the prior range and 5% of it on either side: members at its edges lie at z = -3 and 3 (da::Bounds)
  positive  ///< above 0; the prior range must begin above 0
};

/// By default the assimilation begins at frame 0 of the data set.
struct LatentSettings {
  std::int64_t first_start = 0;  ///< the earliest frame of the data set at which the assimilation may begin; -1: the
                                 ///< latent state 0, one frame before frame 0
  std::int64_t last_start = 0;   ///< the latest frame at which it may begin
  std::int64_t frames = 0;       ///< number of frames from the start that may be observed; 0: up to the last one
  ParameterRange parameters = ParameterRange::free;
  double error_factor = 1;  ///< of R; above 1 because errors of a surrogate are correlated in space and time
};

/// A state of a training trajectory.
struct MemberOrigin {
  std::int64_t member = 0;  ///< the trajectory
  std::int64_t frame = 0;   ///< -1: one frame before the first
};

/// Draws states at random frames in [first_start, last_start]; trajectories repeat only after all have been drawn.
std::vector<MemberOrigin> draw_origins(std::int64_t trajectories, std::int64_t count, std::int64_t first_start,
                                       std::int64_t last_start, autodiff::Random random);

/// Error variance of a surrogate per channel, in training variances: the mean over the frames that may be observed.
struct SurrogateVariance {
  std::vector<double> at_frames;
  std::vector<double> between;  ///< at times between frames

  /// The variance of channel c, `frames` frame intervals after the control vector.
  double at(double frames, std::int64_t c) const;
};

/// Mean and standard deviation over members, physical units, each (c, points).
struct FieldMoments {
  std::vector<float> mean;
  std::vector<float> spread;
};

/// Control vectors are [s; u], latent state and normalised parameters, or [s; z] with bounded or positive parameters.
/// All functions take and return control vectors of this kind. A posterior that model().forecast has advanced is the
/// prior of the next assimilation.
class LatentControl {
 public:
  /// The surrogate must outlive it. Throws InputError for starts or frames that the data set does not have, an error
  /// factor that is not positive, and positive parameters whose prior range does not begin above 0.
  explicit LatentControl(const models::Surrogate& surrogate, LatentSettings settings = {});
  LatentControl(const LatentControl&) = delete;
  LatentControl& operator=(const LatentControl&) = delete;

  const ForwardModel& model() const;
  /// Members are states of distinct training trajectories at random start frames, with their parameters. Throws
  /// InputError when there are fewer trajectories.
  Ensemble prior(std::int64_t members, autodiff::Random random) const;
  /// Likely states for LevdaSettings::candidates, drawn like members, but in any number. If there is only one start
  /// frame, each trajectory gives at most one.
  Ensemble candidates(std::int64_t count, autodiff::Random random) const;
  /// R of all observations: the covariance `errors` of their errors (by default independent, from error_std), plus the
  /// variance that errors of the surrogate add (Footprints::error_variance), all times the error factor.
  std::unique_ptr<const ErrorCovariance> covariance(const Observations& observations) const;
  std::unique_ptr<const ErrorCovariance> covariance(const Observations& observations,
                                                    const ErrorCovariance& errors) const;
  /// WindowSettings::walk for parameters that move by `step` prior ranges from window to window.
  std::vector<double> walk(double step) const;
  const SurrogateVariance& surrogate_variance() const { return variance_; }

  /// [s; u] of control vectors.
  Ensemble natural(const Ensemble& ensemble) const;
  /// Parameters of all members in physical units, (N, p).
  std::vector<double> parameters(const Ensemble& ensemble) const;
  /// Network coordinates (points, 2) of physical places, or of every stride-th node of the grid. A staggered channel
  /// has its value at its offset from the place.
  autodiff::Tensor points(std::span<const double> x, std::span<const double> y) const;
  autodiff::Tensor grid_points(std::int64_t stride = 1) const;
  /// Fields of all members at points in physical units, (N, points, c).
  std::vector<float> fields(const Ensemble& ensemble, const autodiff::Tensor& points) const;
  FieldMoments moments(const Ensemble& ensemble, const autodiff::Tensor& points) const;

 private:
  const models::Surrogate& surrogate_;
  LatentSettings settings_;
  LatentModel model_;
  std::optional<BoundedModel> bounded_;
  SurrogateVariance variance_;
};

/// Parameters of members [s; u] in physical units, (N, p).
std::vector<double> physical_parameters(const models::Surrogate& surrogate, const Ensemble& ensemble);

/// Fields of latent states (rows, d) in training standard deviations of the channels: (rows, points, c).
std::vector<float> decode_fields(const models::Surrogate& surrogate, const autodiff::Tensor& states,
                                 const autodiff::Tensor& points);
/// Fields of members [s; u], in the same form.
std::vector<float> decode_ensemble(const models::Surrogate& surrogate, const Ensemble& ensemble,
                                   const autodiff::Tensor& points);

/// Moments of members [s; u] at points, or of fields (N, points, c) from decode_ensemble.
FieldMoments field_moments(const models::Surrogate& surrogate, const Ensemble& ensemble,
                           const autodiff::Tensor& points);
FieldMoments field_moments(const models::Surrogate& surrogate, std::span<const float> fields, std::int64_t members);

}  // namespace levda::da

namespace levda {

template <>
inline constexpr std::array choices<da::ParameterRange>{Choice{da::ParameterRange::free, "free"},
                                                        Choice{da::ParameterRange::bounded, "bounded"},
                                                        Choice{da::ParameterRange::positive, "positive"}};

}  // namespace levda
