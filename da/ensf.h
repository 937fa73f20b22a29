#pragma once

/// EnSF, the ensemble score filter (Bao, Zhang & Zhang, arXiv 2309.00983; Comput. Methods Appl. Mech. Eng. 432, 2024).
///
/// At each time of observations every member is drawn anew from the posterior by a reverse-time diffusion
/// (da/reverse_sde.h), whose score is that of the forecast ensemble {x_j} and of the observations, damped where the
/// sample is still noise:
///   -sum_j w_j (x - alpha x_j) / t + (1 - t) H'(x)' R^-1 (y - H(x)),
///   w_j proportional to exp(-|x - alpha x_j|^2 / (2 t)) over a batch of members.
/// It works on control vectors as they are and begins with N(0, I): they should be of order 1.

#include "da/filter.h"
#include "da/inflation.h"
#include "da/reverse_sde.h"

namespace levda::da {

/// As published: epsilon 0.05, 100 steps, batches of one member (the one that the sample takes the place of), damping
/// 1 - t; 250 members in the Lorenz-96 system of a million variables, all of them observed as arctan(x), with an error
/// of 0.05. The steps are explicit: they bear H' R^-1 H up to 1.3 x steps in the control's units, a value observed by
/// itself with an error of 0.09 at 100 steps. With more precise ones samples oscillate, then blow up: more steps help.
struct EnsfSettings {
  Diffusion diffusion{.epsilon = 0.05, .steps = 100};
  std::int64_t batch = 1;  ///< members in the score: 1 is each sample's own, 0 all, else so many, drawn at each step
  double scaling = 1;      ///< of the controls while they diffuse: the noise of a sample is one part in that
  Inflation inflation;  ///< of the posterior; relaxation to the prior spread as in arXiv 2404.00844. None as published
};

class Ensf final : public FilterMethod {
 public:
  /// Throws Error when a setting makes no sense.
  explicit Ensf(EnsfSettings settings);
  std::string name() const override { return "ensf"; }

 protected:
  /// Throws Error when the observation operator has no derivatives, or the steps are too long for the observations'
  /// errors. Members are drawn in parallel, each with random numbers of its own. With batches of one member, controls
  /// on which no observation depends are drawn at once: their samples are x_j + N(0, noise^2), noise 0.1 at 100 steps
  /// over scaling.
  Ensemble analyse(const ObservationOperator& observe, const WindowProblem& problem) const override;

 private:
  EnsfSettings settings_;
};

}  // namespace levda::da
