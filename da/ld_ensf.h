#pragma once

/// LD-EnSF (Xiao et al., arXiv 2411.19305): an ensemble score filter in the latent space of a surrogate. An encoder
/// turns observations into latent states.

#include <map>
#include <vector>

#include "da/method.h"
#include "da/reverse_sde.h"
#include "models/encoder.h"

namespace levda::da {

/// Published values: epsilon is 0.01 for the Kolmogorov flow and the atmosphere and 0.5 for the tsunami; the others are
/// the defaults.
struct LdEnsfSettings {
  Diffusion diffusion{.epsilon = 0.01, .steps = 100};
  double error = 0.1;    ///< standard deviation of the encoded controls, scaled
  double scaling = 100;  ///< of the controls while they diffuse
};

/// An analysis turns a member into forecast x member + observation x encoding + N(0, noise^2), in the controls' units.
/// The gain depends only on the settings, not on the quality of the forecast and of the encoding.
Gain gain(const LdEnsfSettings& settings);

/// Control vectors are kappa = [s; u] of the surrogate. At each observed frame the encoder, which remembers the
/// previous frames, estimates kappa; every member becomes a sample
///   kappa <- reverse diffusion (scaling x kappa, scaling x encoded) / scaling
/// (da/reverse_sde.h, sample_linear). It is a filter: an analysis depends on the observations up to its time. R is not
/// used.
class LdEnsf final : public Method {
 public:
  /// The encoder must outlive it; `about` is the surrogate's. Throws Error when a setting is out of range or the
  /// encoder does not fit.
  LdEnsf(const models::TrainedEncoder& encoder, const models::Description& about, LdEnsfSettings settings);

  std::string name() const override { return "ld_ensf"; }
  /// Diagnostics: gain_forecast, gain_observation, gain_noise. The observations to be assimilated must be all channels
  /// at all of the encoder's sensors, once each, at its frames; otherwise throws Error naming the difference.
  Analysis assimilate(const Problem& problem) const override;

 private:
  std::map<std::int64_t, std::vector<double>> sequence_of(const Observations& observations) const;

  const models::TrainedEncoder& encoder_;
  models::Grid grid_;
  double interval_;
  LdEnsfSettings settings_;
};

}  // namespace levda::da
