#include "da/forward_model.h"

#include "autodiff/derivatives.h"

namespace levda::da {

using autodiff::Tensor;
using autodiff::Var;

Tensor ObservationOperator::predict(const Tensor& v) const { return (*this)(Var(v)).value(); }

Linearisation ObservationOperator::linearise(const Tensor& v, const Tensor& directions) const {
  const std::int64_t n = v.size();
  const std::int64_t k = directions.shape()[0];
  autodiff::Tape tape;
  const Var x = tape.variable(v.reshaped({1, n}));
  const Var y = (*this)(x);
  const Var tangents = autodiff::jvp(y, {x}, {Var(directions.reshaped({k, 1, n}))});
  return {y.value().reshaped({size()}), tangents.value().reshaped({k, size()})};
}

}  // namespace levda::da
