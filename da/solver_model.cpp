#include "da/solver_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "autodiff/error.h"
#include "da/internal/groups.h"
#include "da/observation_operators.h"
#include "models/interpolation.h"

namespace levda::da {

using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;

namespace {

/// Whole solver steps, and a fraction of one more.
struct Split {
  std::int64_t steps;
  double fraction;
};

Split split(double time, double step) {
  constexpr double resolution = 1e-6;  // of a step
  const double steps = time / step;
  const double whole = std::floor(steps + resolution);
  const double rest = steps - whole;
  return {static_cast<std::int64_t>(whole), rest > resolution ? rest : 0};
}

}  // namespace

/// A control vector in physical units.
struct SolverModel::Member {
  std::vector<double> fields;
  std::vector<double> parameters;
  double time;
};

SolverModel::SolverModel(models::Description about, models::Propagator propagator, std::int64_t steps_per_frame,
                         std::vector<double> mean, std::vector<double> deviation)
    : about_(std::move(about)),
      propagator_(std::move(propagator)),
      step_(about_.frame_interval / static_cast<double>(steps_per_frame)),
      mean_(std::move(mean)),
      deviation_(std::move(deviation)) {
  if (about_.grid.listed()) throw Error("solver: the states are on a list of points, not on a grid");
  if (steps_per_frame < 1 || !(step_ > 0)) throw Error(fmt::format("solver: {} steps per frame", steps_per_frame));
  const auto channels = static_cast<std::size_t>(about_.channels());
  if (mean_.size() != channels || deviation_.size() != channels)
    throw Error(
        fmt::format("solver: {} means and {} deviations for {} channels", mean_.size(), deviation_.size(), channels));
  if (static_cast<std::int64_t>(propagator_.least.size()) != about_.parameters())
    throw Error(
        fmt::format("solver: of {} parameters, the data have {}", propagator_.least.size(), about_.parameters()));
  for (const double value : deviation_)
    if (!(value > 0)) throw Error(fmt::format("solver: a channel with a standard deviation of {}", value));
}

double SolverModel::clock_range() const {
  return static_cast<double>(std::max<std::int64_t>(about_.frames - 1, 1)) * about_.frame_interval;
}

std::vector<double> SolverModel::control(std::span<const float> state, std::span<const double> parameters,
                                         double time) const {
  const std::int64_t cells = about_.grid.cells();
  if (static_cast<std::int64_t>(state.size()) != field_size() ||
      static_cast<std::int64_t>(parameters.size()) != about_.parameters())
    throw Error(fmt::format("solver: a state of {} values and {} parameters, where {} and {} are needed", state.size(),
                            parameters.size(), field_size(), about_.parameters()));
  std::vector<double> v;
  v.reserve(static_cast<std::size_t>(controls()));
  for (std::int64_t i = 0; i < field_size(); ++i) v.push_back((state[i] - mean_[i / cells]) / deviation_[i / cells]);
  for (std::size_t k = 0; k < parameters.size(); ++k)
    v.push_back(2 * (parameters[k] - about_.parameter_min[k]) / (about_.parameter_max[k] - about_.parameter_min[k]) -
                1);
  if (propagator_.clock) v.push_back(2 * (time - about_.first_time) / clock_range() - 1);
  return v;
}

SolverModel::Member SolverModel::member(const double* v) const {
  const std::int64_t cells = about_.grid.cells();
  Member result{.fields = {}, .parameters = {}, .time = about_.first_time};
  result.fields.reserve(static_cast<std::size_t>(field_size()));
  for (std::int64_t i = 0; i < field_size(); ++i)
    result.fields.push_back(mean_[i / cells] + deviation_[i / cells] * v[i]);
  for (std::int64_t k = 0; k < about_.parameters(); ++k) {
    const double least = about_.parameter_min[k];
    const double range = about_.parameter_max[k] - least;
    const auto physical = [&](double u) { return least + 0.5 * (u + 1) * range; };
    const double u = v[field_size() + k];
    const double value = physical(u);
    result.parameters.push_back(value > propagator_.least[k] ? value : physical(std::clamp(u, -1.0, 1.0)));
  }
  if (propagator_.clock) result.time += 0.5 * (v[controls() - 1] + 1) * clock_range();
  return result;
}

/// Linear between steps.
void SolverModel::advance_member(Member& m, std::int64_t steps, double fraction) const {
  if (steps > 0) propagator_.advance(m.fields, m.time, steps, m.parameters);
  m.time += static_cast<double>(steps) * step_;
  if (fraction > 0) {
    const std::vector<double> before = m.fields;
    propagator_.advance(m.fields, m.time, 1, m.parameters);
    for (std::size_t i = 0; i < before.size(); ++i) m.fields[i] = before[i] + fraction * (m.fields[i] - before[i]);
    m.time += fraction * step_;
  }
  if (!std::all_of(m.fields.begin(), m.fields.end(), [](double value) { return std::isfinite(value); }))
    // The message is the same for every member, because any thread may be first.
    throw Error(fmt::format("solver: {} does not stay finite from a member's state", about_.case_name));
}

Tensor SolverModel::forecast(const Tensor& v, double duration) const {
  const Split time = split(duration, step_);
  if (time.steps == 0 && time.fraction == 0) return v;
  std::vector<double> later = v.to_vector();
  const std::int64_t n = controls();
  const std::int64_t cells = about_.grid.cells();
  in_parallel(later.size() / static_cast<std::size_t>(n), [&](std::size_t row) {
    double* const own = later.data() + static_cast<std::int64_t>(row) * n;
    Member m = member(own);
    advance_member(m, time.steps, time.fraction);
    for (std::int64_t i = 0; i < field_size(); ++i) own[i] = (m.fields[i] - mean_[i / cells]) / deviation_[i / cells];
    if (propagator_.clock) own[n - 1] += 2 * duration / clock_range();
  });
  return Tensor::from(std::span<const double>(later), v.shape(), v.dtype());
}

Var SolverModel::advance(const Var& v, double duration) const {
  const Split time = split(duration, step_);
  if (time.steps == 0 && time.fraction == 0) return v;
  if (v.tracked()) throw Error(fmt::format("solver: {} has no derivatives of its steps", about_.case_name));
  return Var(forecast(v.value(), duration));
}

std::vector<float> SolverModel::states(const Tensor& v) const {
  const std::vector<double> values = v.to_vector();
  const std::int64_t cells = about_.grid.cells();
  std::vector<float> fields;
  for (std::int64_t row = 0; row < v.shape()[0]; ++row)
    for (std::int64_t i = 0; i < field_size(); ++i)
      fields.push_back(static_cast<float>(mean_[i / cells] + deviation_[i / cells] * values[row * controls() + i]));
  return fields;
}

std::vector<double> SolverModel::parameters(const Tensor& v) const {
  const std::vector<double> values = v.to_vector();
  std::vector<double> result;
  for (std::int64_t row = 0; row < v.shape()[0]; ++row)
    for (std::int64_t k = 0; k < about_.parameters(); ++k)
      result.push_back(about_.parameter_min[k] + 0.5 * (values[row * controls() + field_size() + k] + 1) *
                                                     (about_.parameter_max[k] - about_.parameter_min[k]));
  return result;
}

/// An observation is a weighted sum of 16 nodes of one channel.
class SolverModel::Operator final : public ObservationOperator {
 public:
  Operator(const SolverModel& model, const Observations& o) : model_(model) {
    const models::Grid& grid = model.about_.grid;
    std::map<std::pair<std::int64_t, double>, std::vector<std::int64_t>> by_time;
    for (std::int64_t i = 0; i < o.size(); ++i) {
      const std::int64_t c = o.channel[i];
      if (c < 0 || c >= model.about_.channels())
        throw Error(fmt::format("observation {}: channel {} of {}", i, c, model.about_.channels()));
      if (!(o.time[i] >= 0)) throw Error(fmt::format("observation {}: a time of {}", i, o.time[i]));
      if (!grid.contains(c, o.x[i], o.y[i]))
        throw Error(fmt::format("observation {}: the place ({}, {}) is outside the domain", i, o.x[i], o.y[i]));
      const models::CubicStencil x = models::stencil_x(grid, c, o.x[i]);
      const models::CubicStencil y = models::stencil_y(grid, c, o.y[i]);
      for (int b = 0; b < 4; ++b)
        for (int a = 0; a < 4; ++a) {
          nodes_.push_back(c * grid.cells() + y.node(b) * grid.nx + x.node(a));
          weights_.push_back(y.weights[b] * x.weights[a]);
        }
      const Split time = split(o.time[i], model.step_);
      by_time[{time.steps, time.fraction}].push_back(i);
      mean_.push_back(model.mean_[c]);
      deviation_.push_back(model.deviation_[c]);
    }
    for (const auto& [time, positions] : by_time) times_.push_back({{time.first, time.second}, positions});
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(mean_.size()); }

  Var operator()(const Var& v) const override {
    if (!v.tracked()) return Var(predict(v.value()));
    for (const Time& time : times_)
      if (time.at.steps > 0 || time.at.fraction > 0)
        throw Error(fmt::format("solver: {} has no derivatives of its steps", model_.about_.case_name));
    const DType dtype = v.dtype();
    const std::int64_t m = size();
    const Var nodes = reshape(gather(v, 1, Tensor::indices(nodes_)), {v.shape()[0], m, taps});
    const Var weights(Tensor::from(std::span<const double>(weights_), {m, taps}, dtype));
    return Var(Tensor::from(std::span<const double>(mean_), {m}, dtype)) +
           sum(nodes * weights, {2}) * Var(Tensor::from(std::span<const double>(deviation_), {m}, dtype));
  }

  Tensor predict(const Tensor& v) const override {
    const std::int64_t m = size();
    const std::int64_t rows = v.size() / model_.controls();
    const std::vector<double> controls = v.to_vector();
    std::vector<double> result(static_cast<std::size_t>(rows * m));
    in_parallel(static_cast<std::size_t>(rows), [&](std::size_t one) {
      const auto row = static_cast<std::int64_t>(one);
      Member member = model_.member(controls.data() + row * model_.controls());
      std::int64_t done = 0;
      for (const Time& time : times_) {
        model_.advance_member(member, time.at.steps - std::exchange(done, time.at.steps), 0);
        std::optional<Member> part;  // after a fraction of a step, for this time only
        if (time.at.fraction > 0) model_.advance_member(part.emplace(member), 0, time.at.fraction);
        const std::vector<double>& fields = part ? part->fields : member.fields;
        for (const std::int64_t i : time.positions) {
          double value = 0;
          for (std::int64_t k = i * taps; k < (i + 1) * taps; ++k) value += weights_[k] * fields[nodes_[k]];
          result[row * m + i] = value;
        }
      }
    });
    return Tensor::from(std::span<const double>(result), leading(v, 1, {m}), v.dtype());
  }

 private:
  static constexpr std::int64_t taps = 16;
  struct Time {
    Split at;
    std::vector<std::int64_t> positions;
  };

  const SolverModel& model_;
  std::vector<std::int64_t> nodes_;  // (m, taps)
  std::vector<double> weights_;
  std::vector<double> mean_;
  std::vector<double> deviation_;
  std::vector<Time> times_;  // increasing
};

std::unique_ptr<ObservationOperator> SolverModel::observe(const Observations& observations) const {
  return observe_through(observations, about_,
                         [this](const Observations& values) { return std::make_unique<Operator>(*this, values); });
}

}  // namespace levda::da
