#include "da/bounded_model.h"

#include <fmt/format.h>

#include <cmath>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "da/internal/groups.h"

namespace levda::da {

using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

namespace {

Var to_bounded(const Bounds& b, const Var& z) {
  const bool low = std::isfinite(b.lower);
  const bool high = std::isfinite(b.upper);
  if (low && high) return b.lower + (b.upper - b.lower) * sigmoid(z);
  if (low) return b.lower + exp(z);
  if (high) return b.upper - exp(z);
  return z;
}

/// Least distance of x from a bound, for values that sigmoid or exp have rounded to the bound, so that z is finite.
constexpr double nearest_share = 1e-15;
constexpr double nearest = 1e-300;

Var log_distance(const Var& distance, double least) {
  return log(maximum(distance, Var(Tensor::full({1}, least, distance.dtype(), distance.value().backend()))));
}

Var to_unbounded(const Bounds& b, const Var& x) {
  const bool low = std::isfinite(b.lower);
  const bool high = std::isfinite(b.upper);
  const double least = nearest_share * (b.upper - b.lower);
  if (low && high) return log_distance(x - b.lower, least) - log_distance(b.upper - x, least);
  if (low) return log_distance(x - b.lower, nearest);
  if (high) return log_distance(b.upper - x, nearest);
  return x;
}

bool is_free(const Bounds& b) { return !std::isfinite(b.lower) && !std::isfinite(b.upper); }

/// f(bounds, first, count) of neighbouring controls with the same bounds, side by side.
template <typename F>
Var by_bounds(const std::vector<Bounds>& bounds, const F& f) {
  Vars parts;
  for (std::size_t begin = 0; begin < bounds.size();) {
    std::size_t end = begin + 1;
    while (end < bounds.size() && bounds[end] == bounds[begin]) ++end;
    parts.push_back(f(bounds[begin], static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end - begin)));
    begin = end;
  }
  return autodiff::concat(parts, -1);
}

/// The inner operator after bounded(). Only the transform is differentiated here; the inner operator linearises itself,
/// so that it can evaluate a batch at once.
class BoundedOperator final : public ObservationOperator {
 public:
  BoundedOperator(const BoundedModel& model, std::unique_ptr<ObservationOperator> inner)
      : model_(model), inner_(std::move(inner)) {}

  std::int64_t size() const override { return inner_->size(); }
  Var operator()(const Var& z) const override { return (*inner_)(model_.bounded(z)); }
  Tensor predict(const Tensor& z) const override { return inner_->predict(model_.bounded(Var(z)).value()); }
  /// The transform acts on each control separately, so one sweep gives its slopes.
  Linearisation linearise(const Tensor& z, const Tensor& directions) const override {
    autodiff::Tape tape;
    const Var control = tape.variable(z);
    const Var x = model_.bounded(control);
    const Var slope = jvp(x, {control}, {Var(Tensor::full(z.shape(), 1, z.dtype()))});
    const Var along = Var(directions) * reshape(slope.detach(), leading(z, 1, {1, z.shape()[-1]}));
    return inner_->linearise(x.value(), along.value());
  }

 private:
  const BoundedModel& model_;
  std::unique_ptr<ObservationOperator> inner_;
};

}  // namespace

BoundedModel::BoundedModel(const ForwardModel& inner, std::vector<Bounds> bounds)
    : inner_(inner), bounds_(std::move(bounds)) {
  if (static_cast<std::int64_t>(bounds_.size()) != inner.controls())
    throw Error(fmt::format("bounds of {} controls for a model of {}", bounds_.size(), inner.controls()));
  for (std::size_t k = 0; k < bounds_.size(); ++k)
    if (!(bounds_[k].lower < bounds_[k].upper))
      throw Error(
          fmt::format("control {}: nothing lies between the bounds {} and {}", k, bounds_[k].lower, bounds_[k].upper));
}

Var BoundedModel::bounded(const Var& z) const {
  return by_bounds(bounds_, [&](const Bounds& b, std::int64_t first, std::int64_t count) {
    return to_bounded(b, slice(z, -1, first, count));
  });
}

Var BoundedModel::unbounded(const Var& x) const {
  return by_bounds(bounds_, [&](const Bounds& b, std::int64_t first, std::int64_t count) {
    return to_unbounded(b, slice(x, -1, first, count));
  });
}

Ensemble BoundedModel::bounded(const Ensemble& z) const { return Ensemble(bounded(Var(z.members())).value()); }

Ensemble BoundedModel::unbounded(const Ensemble& x) const {
  const std::vector<double> values = x.members().to_vector();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t k = i % bounds_.size();
    if (!(values[i] > bounds_[k].lower && values[i] < bounds_[k].upper))
      throw Error(fmt::format("control {} of a member is {}, not between {} and {}", k, values[i], bounds_[k].lower,
                              bounds_[k].upper));
  }
  return Ensemble(unbounded(Var(x.members())).value());
}

Var BoundedModel::advance(const Var& z, double duration) const {
  const Var before = bounded(z);
  const Var after = inner_.advance(before, duration);
  return by_bounds(bounds_, [&](const Bounds& b, std::int64_t first, std::int64_t count) {
    const Var x = slice(after, -1, first, count);
    if (is_free(b)) return x;
    // z -> x -> z is not exact, but the difference of two equal numbers is exactly 0.
    return slice(z, -1, first, count) + (to_unbounded(b, x) - to_unbounded(b, slice(before, -1, first, count)));
  });
}

std::unique_ptr<ObservationOperator> BoundedModel::observe(const Observations& observations) const {
  return std::make_unique<BoundedOperator>(*this, inner_.observe(observations));
}

}  // namespace levda::da
