#pragma once

/// The iterative ensemble Kalman smoother (Sakov, Oliver & Bertino 2012; Bocquet & Sakov 2012, 2014).

#include "da/inflation.h"
#include "da/method.h"

namespace levda::da {

/// How Y = (dG/dv) A at an iterate v(w) is computed. Both run the model N times without derivatives.
enum class Sensitivities : std::uint8_t {
  transform,  ///< members v(w) + sqrt(N - 1) A T with the previous iterate's T, as wide as the posterior; Y is their
              ///< centred predictions times T^-1
  bundle      ///< finite differences: members v(w) + epsilon sqrt(N - 1) A; Y is their centred predictions / epsilon
};

struct IenksSettings {
  Sensitivities sensitivities = Sensitivities::transform;
  std::int64_t iterations = 10;  ///< at most
  double tolerance = 1e-3;       ///< stops after a step of w that is not longer, in prior standard deviations
  double epsilon = 1e-4;         ///< of the bundle
  Inflation inflation;           ///< of the posterior
};

/// Gauss-Newton in w for LEVDA's J (da/levda.h), G the mean prediction of the members about the iterate:
///
///   w <- H^-1 Y' R^-1 (y - G + Y w),   H = I + Y' R^-1 Y,   T = H^-1/2, symmetric
///
/// When the model's result is not finite after a step, the step is halved. The posterior has the mean vb + A w and the
/// anomalies A T. One iteration of the transform is the ETKF's analysis with the observations of the whole window.
class Ienks final : public WindowMethod {
 public:
  /// Throws Error when a setting is out of range.
  explicit Ienks(IenksSettings settings = {}, WindowSettings windows = {});
  std::string name() const override { return "ienks"; }

 protected:
  /// Diagnostics, per window: iterations, step (length of the last), cost (J before it), degrees_of_freedom (trace of
  /// the influence matrix). Throws Error when the model is not finite at the prior.
  std::vector<Ensemble> analyse(const ObservationOperator& observe, std::span<const WindowProblem> problems,
                                bool first) const override;

 private:
  IenksSettings settings_;
};

}  // namespace levda::da
