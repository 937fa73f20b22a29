#pragma once

/// EnSF, the ensemble score filter (Bao, Zhang & Zhang, arXiv 2309.00983; Comput. Methods Appl. Mech. Eng. 432, 2024).
///
/// At each time of observations a reverse-time diffusion (da/reverse_sde.h) draws every member from the posterior. Its
/// score has two parts: that of the forecast ensemble {x_j}, and that of the observations, damped while the sample is
/// still noise:
///   -sum_j w_j (x - alpha x_j) / t + (1 - t) H'(x)' R^-1 (y - H(x)),
///   w_j proportional to exp(-|x - alpha x_j|^2 / (2 t)) over a batch of members.
/// It begins with N(0, I), so control vectors should be of order 1.

#include "da/filter.h"
#include "da/inflation.h"
#include "da/reverse_sde.h"

namespace levda::da {

/// The defaults are published: epsilon 0.05, 100 steps, batches of one member (the member that the sample replaces),
/// damping 1 - t. The authors used 250 members in the Lorenz-96 system of a million variables, all of them observed as
/// arctan(x) with an error of 0.05. The steps are explicit. They are stable up to H' R^-1 H = 1.3 x steps in the
/// control's units, that is, for a directly observed value, an error of 0.09 at 100 steps. With more precise
/// observations samples oscillate, then blow up; more steps help.
struct EnsfSettings {
  Diffusion diffusion{.epsilon = 0.05, .steps = 100};
  std::int64_t batch = 1;  ///< number of members in the score, drawn at each step; 1: the sample's member; 0: all
  double scaling = 1;      ///< of the controls while they diffuse; divides the noise of the samples
  Inflation inflation;     ///< of the posterior; relaxation to the prior spread as in arXiv 2404.00844. Published: none
};

class Ensf final : public FilterMethod {
 public:
  /// Throws Error when a setting is out of range.
  explicit Ensf(EnsfSettings settings);
  std::string name() const override { return "ensf"; }

 protected:
  /// Throws Error when the observation operator has no derivatives, or the steps are too long for the observations'
  /// errors. Members are drawn in parallel, each with separate random numbers. With batches of one member, controls on
  /// which no observation depends are drawn at once: their samples are x_j + N(0, noise^2), with noise 0.1 / scaling at
  /// 100 steps.
  Ensemble analyse(const ObservationOperator& observe, const WindowProblem& problem) const override;

 private:
  EnsfSettings settings_;
};

}  // namespace levda::da
