#include "da/forward_model.h"

#include <oneapi/tbb/parallel_for.h>

#include "autodiff/derivatives.h"

namespace levda::da {

using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

namespace {

/// f(k) for all k < count, in parallel.
template <typename F>
void for_each(std::int64_t count, const F& f) {
  oneapi::tbb::parallel_for(std::int64_t{0}, count, f, oneapi::tbb::simple_partitioner());
}

/// The part of outermost index k.
Tensor part(const Tensor& x, std::int64_t k) { return x.rows(k, k + 1).reshaped(x.shape().part(1, x.shape().rank())); }

}  // namespace

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

Tensor ObservationOperator::predict_each(const Tensor& v) const {
  Vars predictions(static_cast<std::size_t>(v.shape()[0]));
  for_each(v.shape()[0], [&](std::int64_t k) { predictions[k] = predict(part(v, k)); });
  return stack(predictions, 0).value();
}

Linearisation ObservationOperator::linearise_each(const Tensor& v, const Tensor& directions) const {
  Vars values(static_cast<std::size_t>(v.shape()[0]));
  Vars tangents(values.size());
  for_each(v.shape()[0], [&](std::int64_t k) {
    const Linearisation one = linearise(part(v, k), part(directions, k));
    values[k] = one.value;
    tangents[k] = one.tangents;
  });
  return {stack(values, 0).value(), stack(tangents, 0).value()};
}

Tensor ForwardModel::advance_each(const Tensor& v, double seconds) const {
  Vars later(static_cast<std::size_t>(v.shape()[0]));
  for_each(v.shape()[0], [&](std::int64_t k) { later[k] = advance(part(v, k), seconds); });
  return stack(later, 0).value();
}

}  // namespace levda::da
