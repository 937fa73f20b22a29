#include "da/forward_model.h"

#include "autodiff/derivatives.h"
#include "autodiff/internal/isolation.h"
#include "da/internal/groups.h"

namespace levda::da {

using autodiff::Tensor;
using autodiff::Var;

Tensor ObservationOperator::predict(const Tensor& v) const {
  return by_groups(v, [this](const Tensor& rows) { return (*this)(Var(rows)).value(); });
}

Linearisation ObservationOperator::linearise(const Tensor& v, const Tensor& directions) const {
  return by_points(v, directions, [this](const Tensor& point, const Tensor& along) {
    const std::int64_t n = point.size();
    const std::int64_t k = along.shape()[0];
    const autodiff::Isolation own_tapes_only("linearise");
    autodiff::Tape tape;
    const Var x = tape.variable(point.reshaped({1, n}));
    const Var y = (*this)(x);
    const Var tangents = autodiff::jvp(y, {x}, {Var(along.reshaped({k, 1, n}))});
    return Linearisation{y.value().reshaped({size()}), tangents.value().reshaped({k, size()})};
  });
}

Tensor ForwardModel::forecast(const Tensor& v, double duration) const {
  return by_groups(v, [&](const Tensor& rows) { return advance(Var(rows), duration).value(); });
}

}  // namespace levda::da
