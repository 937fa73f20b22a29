#include "da/step_model.h"

#include <fmt/format.h>

#include <cmath>
#include <map>

#include "autodiff/error.h"
#include "da/observation_operators.h"

namespace levda::da {

using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

namespace {

std::int64_t whole_steps(double duration, double dt) {
  constexpr double resolution = 1e-6;
  const double steps = duration / dt;
  if (!(std::abs(steps - std::round(steps)) <= resolution))
    throw Error(fmt::format("a time of {} is not a whole number of steps of {}", duration, dt));
  return std::llround(steps);
}

/// States at the distinct times, side by side, from which each observation is one column.
class StepOperator final : public ObservationOperator {
 public:
  StepOperator(const Observations& o, std::int64_t controls, double dt, const StepModel::Step& step) : step_(step) {
    std::map<std::int64_t, std::int64_t> order;
    for (std::int64_t i = 0; i < o.size(); ++i) order[whole_steps(o.time[i], dt)] = 0;
    for (auto& [time, position] : order) {
      position = static_cast<std::int64_t>(times_.size());
      times_.push_back(time);
    }
    std::vector<std::int64_t> columns;
    for (std::int64_t i = 0; i < o.size(); ++i) {
      if (o.channel[i] < 0 || o.channel[i] >= controls)
        throw Error(fmt::format("observation {}: channel {} is not in 0 .. {}", i, o.channel[i], controls - 1));
      columns.push_back(order[whole_steps(o.time[i], dt)] * controls + o.channel[i]);
    }
    columns_ = Tensor::indices(columns);
  }

  std::int64_t size() const override { return columns_.size(); }

  Var operator()(const Var& v) const override {
    Vars states;
    Var x = v;
    std::int64_t now = 0;
    for (const std::int64_t time : times_) {
      for (; now < time; ++now) x = step_(x);
      states.push_back(x);
    }
    return gather(concat(states, 1), 1, columns_);
  }

 private:
  StepModel::Step step_;
  std::vector<std::int64_t> times_;  // in steps, increasing
  Tensor columns_;
};

}  // namespace

StepModel::StepModel(std::int64_t controls, double dt, Step step)
    : controls_(controls), dt_(dt), step_(std::move(step)) {
  if (controls < 1 || !(dt > 0)) throw Error(fmt::format("a model of {} controls with steps of {}", controls, dt));
}

Var StepModel::advance(const Var& v, double duration) const {
  Var x = v;
  for (std::int64_t k = whole_steps(duration, dt_); k > 0; --k) x = step_(x);
  return x;
}

std::unique_ptr<ObservationOperator> StepModel::observe(const Observations& observations) const {
  models::Description about;
  about.grid = {
      .nx = 1, .ny = 1, .offset_x = std::vector<double>(controls_), .offset_y = std::vector<double>(controls_)};
  for (std::int64_t c = 0; c < controls_; ++c) about.channel_names.push_back(std::to_string(c));
  return observe_through(observations, about, [this](const Observations& values) {
    return std::make_unique<StepOperator>(values, controls_, dt_, step_);
  });
}

}  // namespace levda::da
