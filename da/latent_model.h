#pragma once

/// A surrogate as a forward model: control vectors [s; u], latent state and normalised parameters.

#include "da/forward_model.h"
#include "models/surrogate.h"

namespace levda::da {

/// A time after a latent state is reached by whole latent steps and one shorter Euler step; the decoder evaluates any
/// place. Values are in physical units. Computes in the type of the control vectors, float32 or float64. The surrogate
/// must outlive it. Constants are evaluated on the device of the surrogate's weights, and the results are on the CPU;
/// operations on a tape are computed on the device of the control vectors. `most` limits the decoder rows, with those
/// of tangents, that a device that prefers large batches evaluates at once.
class LatentModel final : public ForwardModel {
 public:
  explicit LatentModel(const models::Surrogate& surrogate, std::int64_t most = models::rows_at_once);

  std::int64_t controls() const override;
  autodiff::Var advance(const autodiff::Var& v, double duration) const override;
  autodiff::Tensor forecast(const autodiff::Tensor& v, double duration) const override;
  /// Serves every observation operator. Throws Error when a place lies outside the grid by more than a cell.
  std::unique_ptr<ObservationOperator> observe(const Observations& observations) const override;

 private:
  const models::Surrogate& surrogate_;
  std::int64_t most_;
};

}  // namespace levda::da
