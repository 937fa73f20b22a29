#pragma once

/// LEVDA: latent ensemble-variational smoothing (Si & Chen, arXiv 2602.19406).
///
/// Control v in R^n at the start of a window, prior ensemble with mean vb and anomalies A (n x N), observations y with
/// error covariance R, G the dynamics, decoder and observation operator in one:
///
///   v(w) = vb + A w,   J(w) = 1/2 w'w + 1/2 (y - G(v(w)))' R^-1 (y - G(v(w)))
///   grad J = w - Y' R^-1 (y - G(v(w))),   H = I + Y' R^-1 Y,   Y = (dG/dv) A by forward sweeps, exact
///
/// Gauss-Newton steps with Levenberg-Marquardt damping minimise J. It has many local minima when the prior is wide and
/// the signal narrow (a travelling wave). Therefore there are several starts: w = 0, the members with the smallest
/// misfit and, if there are candidates, as many of these, moved to the nearest point of the ensemble's subspace and at
/// least a prior standard deviation apart. Annealing multiplies R by decreasing factors, and each minimum is the start
/// of the next minimisation. After each factor the minima that are clearly worse than the best, or the same as a better
/// one, are dropped; in the end the lowest J wins. All minimisations of all starts of all problems of a call advance in
/// rounds, and one call of the model evaluates a round. Only L-BFGS calls the model separately. The posterior ensemble
/// is vb + A w* and anomalies A T with T = H(w*)^-1/2, symmetric (Bishop et al. 2001; Hunt et al. 2007), so that the
/// mean is kept.

#include "autodiff/choices.h"
#include "da/inflation.h"
#include "da/method.h"

namespace levda::da {

/// How J is minimised. All find the same minimum when J has only one.
enum class Minimiser : std::uint8_t {
  gauss_newton,  ///< exact Y at every iterate; Levenberg-Marquardt damping
  lbfgs,         ///< exact gradient by one reverse sweep of the tape; strong Wolfe line search
  ensemble  ///< classical 4DEnVar: Y from the members' predictions, centred on their mean; J is then quadratic in w,
            ///< and one step solves it. Derivatives of the model serve gradient_difference only; no annealing, no
            ///< starts
};

/// The variable of the minimisation.
enum class Control : std::uint8_t {
  weights,   ///< w, as above
  transform  ///< as in the authors' flood program: a full N x N transform A0 of the states' anomalies and an increment
             ///< du of each member's parameters, by L-BFGS from A0 = sqrt(N - 1) I, du = 0, the prior members: J = sum
             ///< over times of the mean, over members and observations, of the squared whitened misfit
             ///<     + mean (A0 - sqrt(N - 1) I)^2 + 0.1 mean du^2.
             ///< Overlapping windows count observations several times. The authors use length 5, shift 1, 50
             ///< iterations
};

/// Precision of the model in minimisations with inflated R. The last minimisation, with R itself, is always float64.
enum class Precision : std::uint8_t {
  mixed,   ///< float32 with Gauss-Newton, if the model computes in it; its round-off is far below the inflated errors
  float64  ///< float64 throughout
};

struct LevdaSettings {
  Control control = Control::weights;
  Minimiser minimiser = Minimiser::gauss_newton;
  std::int64_t starts = 4;  ///< best members, and candidates, tried besides w = 0; first window only
  /// Likely control vectors at time 0, among which further starting points are sought. One ensemble for each problem of
  /// a call, or one for all; empty: none.
  std::vector<Ensemble> candidates = {};
  std::vector<double> annealing{100, 10, 1};  ///< factors of R; the last is 1. First window only
  std::int64_t iterations = 40;               ///< at most, per minimisation
  double tolerance = 1e-6;                    ///< stops after a step that lowers J by less than this share of 1 + J
  double coarse_tolerance = 1e-2;             ///< its value while the factor of R is not 1
  double keep_ratio = 4;                      ///< minima with a cost above keep_ratio times the lowest are dropped
  Precision precision = Precision::mixed;
  std::int64_t parameters = 0;  ///< number of parameters, the last controls; Control::transform treats them separately
  Inflation inflation = {};     ///< of every window's posterior
};

class Levda final : public WindowMethod {
 public:
  /// Throws Error when a setting is out of range.
  explicit Levda(LevdaSettings settings = {}, WindowSettings windows = {});
  std::string name() const override { return "levda"; }

 protected:
  /// Diagnostics, per window: iterations (of all starts), best_start (0: the mean), cost, cost_background (1/2 w'w),
  /// cost_observations, gradient_norm, degrees_of_freedom (trace of the influence matrix), gradient_difference (the
  /// norm of the exact gradient less the ensemble gradient, with Y of the members' predictions, at the minimum).
  std::vector<Ensemble> analyse(const ObservationOperator& observe, std::span<const WindowProblem> problems,
                                bool first) const override;
  bool counts_once() const override { return settings_.control == Control::weights; }

 private:
  LevdaSettings settings_;
};

/// J, with R multiplied by `factor`, and its gradient in w by one reverse sweep: w (N), values (m).
struct CostGradient {
  double cost = 0;
  std::vector<double> gradient;
};
CostGradient cost_and_gradient(const Ensemble& prior, const ObservationOperator& observe,
                               const autodiff::Tensor& values, const ErrorCovariance& covariance,
                               std::span<const double> w, double factor = 1);

}  // namespace levda::da

namespace levda {

template <>
inline constexpr std::array choices<da::Minimiser>{Choice{da::Minimiser::gauss_newton, "gauss_newton"},
                                                   Choice{da::Minimiser::lbfgs, "lbfgs"},
                                                   Choice{da::Minimiser::ensemble, "ensemble"}};
template <>
inline constexpr std::array choices<da::Control>{Choice{da::Control::weights, "weights"},
                                                 Choice{da::Control::transform, "transform"}};
template <>
inline constexpr std::array choices<da::Precision>{Choice{da::Precision::mixed, "mixed"},
                                                   Choice{da::Precision::float64, "float64"}};

}  // namespace levda
