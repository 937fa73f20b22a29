#pragma once

/// Strong-constraint 4D-Var (Le Dimet & Talagrand 1986; Courtier, Thepaut & Hollingsworth 1994), its gradient from the
/// tape.

#include "da/levda.h"

namespace levda::da {

/// How J is minimised. Both find the same minimum when J has only one.
enum class FourDVarMinimiser : std::uint8_t {
  gauss_newton,  ///< exact Hessian of the linearised model, one forward sweep per control; Levenberg-Marquardt damping
  lbfgs          ///< gradient by one reverse sweep, strong Wolfe line search: for any number of controls
};

struct FourDVarSettings {
  std::shared_ptr<const ErrorCovariance> background;  ///< B of the control vector, the same in every window; null:
                                                      ///< the sample covariance of the window's prior ensemble
  double scale = 1;                                   ///< of B
  FourDVarMinimiser minimiser = FourDVarMinimiser::gauss_newton;
  std::int64_t iterations = 100;      ///< at most
  double tolerance = 1e-6;            ///< Gauss-Newton stops when the next step is not longer, in posterior standard
                                      ///< deviations; L-BFGS when |grad J| is below tolerance times max(1, |z|)
  std::int64_t exact_controls = 512;  ///< with a given B and more controls, a sample gives the posterior covariance
};

/// Control v at the start of a window, background vb with covariance B = C C', observations y with R, and the dynamics
/// without error:
///
///   v(z) = vb + C z,   J(z) = 1/2 z'z + 1/2 (y - G(v(z)))' R^-1 (y - G(v(z))),   H = I + C' G' R^-1 G C
///
/// vb is the prior ensemble's mean; the members' predictions are not used. The analysis is one control vector, v(z*),
/// and its covariance C H^-1 C' at the minimum. The posterior ensemble has the mean v(z*). Its anomalies are
/// - with the sample covariance: the prior's, transformed by H^-1/2 as in LEVDA (C is the anomalies);
/// - with a given B: C H^-1/2 times centred random numbers. If there are more members than controls, they are made
///   orthonormal, so that the sample covariance is C H^-1 C' to round-off. With more than exact_controls, H is computed
///   in the subspace of N centred draws from B.
/// Between windows the model advances v(z*), but not B: it is given, or sampled from the advanced ensemble.
class FourDVar final : public WindowMethod {
 public:
  /// Throws Error when a setting is out of range.
  explicit FourDVar(FourDVarSettings settings = {}, WindowSettings windows = {});
  std::string name() const override { return "fourdvar"; }

 protected:
  /// Diagnostics, per window: iterations, cost, cost_background (1/2 z'z), cost_observations, gradient_norm,
  /// degrees_of_freedom (trace of the influence matrix; with more than exact_controls, in the subspace). Throws Error
  /// when B has another size than the model's controls, for Gauss-Newton with more than exact_controls, and when J is
  /// not finite at vb.
  std::vector<Ensemble> analyse(const ObservationOperator& observe, std::span<const WindowProblem> problems,
                                bool first) const override;

 private:
  FourDVarSettings settings_;
};

/// J and its gradient in z by one reverse sweep: mean (n), z (n), values (m).
CostGradient four_d_var_cost(const autodiff::Tensor& mean, const ErrorCovariance& background,
                             const ObservationOperator& observe, const autodiff::Tensor& values,
                             const ErrorCovariance& covariance, std::span<const double> z);

}  // namespace levda::da
