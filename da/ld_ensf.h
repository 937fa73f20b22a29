#pragma once

/// LD-EnSF (Xiao et al., arXiv 2411.19305): an ensemble score filter in the latent space of a surrogate, on
/// observations that an encoder turned into latent states.

#include <map>
#include <vector>

#include "da/method.h"
#include "da/reverse_sde.h"
#include "models/encoder.h"

namespace levda::da {

/// As published: epsilon 0.01 for the Kolmogorov flow and the atmosphere, 0.5 for the tsunami; all else as it stands.
struct LdEnsfSettings {
  Diffusion diffusion{.epsilon = 0.01, .steps = 100};
  double error = 0.1;    ///< of what is encoded, scaled
  double scaling = 100;  ///< of the controls while they diffuse
};

/// What an analysis makes of a member: forecast x member + observation x encoding + N(0, noise^2), in the controls'
/// own units. It follows from the settings alone, and does not know how good forecast and encoding are.
Gain gain(const LdEnsfSettings& settings);

/// Control vectors are kappa = [s; u] of the surrogate. At each observed frame the encoder, which remembers
/// those before, gives an estimate of kappa; every member becomes a sample
///   kappa <- reverse diffusion (scaling x kappa, scaling x encoded) / scaling
/// (da/reverse_sde.h, sample_linear). A filter: an analysis knows the observations up to its time. The covariance of
/// the observations, with the surrogate's error in it, is not used.
class LdEnsf final : public Method {
 public:
  /// The encoder must outlive it; `about` is the surrogate's. Throws Error when a setting makes no sense, or the
  /// encoder does not fit.
  LdEnsf(const models::TrainedEncoder& encoder, const models::Description& about, LdEnsfSettings settings);

  std::string name() const override { return "ld_ensf"; }
  /// Diagnostics: gain_forecast, gain_observation, gain_noise. Throws Error, naming what differs, unless the
  /// observations to be assimilated are all channels at all of the encoder's sensors, once each, at its frames.
  Analysis assimilate(const Problem& problem) const override;

 private:
  std::map<std::int64_t, std::vector<double>> sequence_of(const Observations& observations) const;

  const models::TrainedEncoder& encoder_;
  models::Grid grid_;
  double interval_;
  LdEnsfSettings settings_;
};

}  // namespace levda::da
