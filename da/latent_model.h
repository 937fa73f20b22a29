#pragma once

/// A surrogate as a forward model: control vectors [s; u], latent state and normalised parameters.

#include "da/forward_model.h"
#include "models/surrogate.h"

namespace levda::da {

/// Time t after a latent state is whole latent steps and one shorter Euler step; places are decoded at any x. Values
/// are in physical units. Works in float64 for float64 control vectors. The surrogate must outlive it, and its weights
/// stay where they are: that device computes what is not on a tape, and results come back to the CPU; what is on a tape
/// is computed where the control vectors lie. `most` bounds the decoder rows that a device of one lane evaluates at
/// once, those of tangents counted too.
class LatentModel final : public ForwardModel {
 public:
  explicit LatentModel(const models::Surrogate& surrogate, std::int64_t most = models::rows_at_once);

  std::int64_t controls() const override;
  autodiff::Var advance(const autodiff::Var& v, double duration) const override;
  autodiff::Tensor forecast(const autodiff::Tensor& v, double duration) const override;
  /// With any observation operator. Throws Error when a place lies outside the grid by more than a cell.
  std::unique_ptr<ObservationOperator> observe(const Observations& observations) const override;

 private:
  const models::Surrogate& surrogate_;
  std::int64_t most_;
};

}  // namespace levda::da
