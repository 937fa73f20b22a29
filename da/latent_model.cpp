#include "da/latent_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <map>
#include <tuple>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "da/internal/groups.h"
#include "da/observation_operators.h"

namespace levda::da {

using autodiff::Backend;
using autodiff::DType;
using autodiff::Shape;
using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;
using models::Ldnet;
using models::RowBlock;
using models::Surrogate;

namespace {

/// Times closer than this share of a frame are one time.
constexpr double time_resolution = 1e-6;

struct Split {
  std::int64_t steps;  // whole latent steps
  double fraction;     // of one more
};

Split split(double duration, double interval) {
  const double frames = duration / interval;
  const double whole = std::floor(frames + time_resolution);
  const double rest = frames - whole;
  return {static_cast<std::int64_t>(whole), rest > time_resolution ? rest : 0};
}

Var state_of(const Var& v, std::int64_t d) { return slice(v, -1, 0, d); }
Var parameters_of(const Var& v, std::int64_t d) { return slice(v, -1, d, v.shape()[-1] - d); }

/// The device of the surrogate's weights.
Backend& backend_of(const Surrogate& surrogate) { return surrogate.net.parameters()[0].backend(); }

Vars weights_on(const Surrogate& surrogate, DType dtype, Backend& backend) {
  Vars weights = surrogate.net.parameters().constants(dtype);
  for (Var& weight : weights) weight = weight.value().to(backend);
  return weights;
}

/// The operator `value`. Decoder rows are in order of time; every observation is one channel of one row. Operations on
/// a tape are computed on the device of the control vectors, constants on the device of the weights, with results on
/// the CPU.
class LatentOperator final : public ObservationOperator {
 public:
  LatentOperator(const Surrogate& surrogate, const Observations& observations, std::int64_t most)
      : surrogate_(surrogate), most_(most) {
    const models::Grid& grid = surrogate.about.grid;
    constexpr double place_resolution = 1e-9;  // of the domain: values of one cell share a row
    std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t>, std::vector<std::int64_t>> places;
    std::map<std::int64_t, double> times;
    const auto key = [](double value, double resolution) { return std::llround(value / resolution); };
    for (std::int64_t i = 0; i < observations.size(); ++i) {
      const std::int64_t c = observations.channel[i];
      const double x = grid.normal_x(grid.node_of_x(c, observations.x[i]));
      const double y = grid.normal_y(grid.node_of_y(c, observations.y[i]));
      if (!grid.contains(c, observations.x[i], observations.y[i]))
        throw Error(fmt::format("observation {}: the place ({}, {}) is outside the domain", i, observations.x[i],
                                observations.y[i]));
      const std::int64_t t = key(observations.time[i] / surrogate.about.frame_interval, time_resolution);
      times.emplace(t, observations.time[i]);
      places[{t, key(x, place_resolution), key(y, place_resolution)}].push_back(i);
    }
    std::vector<double> coordinates;
    std::vector<std::int64_t> time_of_row;
    std::vector<std::int64_t> column(static_cast<std::size_t>(observations.size()));
    std::vector<double> mean(column.size());
    std::vector<double> deviation(column.size());
    const std::int64_t channels = surrogate.about.channels();
    for (const auto& [place, entries] : places) {
      const auto row = static_cast<std::int64_t>(time_of_row.size());
      time_of_row.push_back(std::distance(times.begin(), times.find(std::get<0>(place))));
      const std::int64_t first = entries.front();
      const std::int64_t c0 = observations.channel[first];
      coordinates.push_back(grid.normal_x(grid.node_of_x(c0, observations.x[first])));
      coordinates.push_back(grid.normal_y(grid.node_of_y(c0, observations.y[first])));
      for (const std::int64_t i : entries) {
        const std::int64_t c = observations.channel[i];
        column[i] = row * channels + c;
        mean[i] = surrogate.offset(c);
        deviation[i] = surrogate.scale(c);
      }
    }
    for (const auto& entry : times) times_.push_back(split(entry.second, surrogate.about.frame_interval));
    rows_ = static_cast<std::int64_t>(time_of_row.size());
    const Tensor x = Tensor::from(std::span<const double>(coordinates), {rows_, 2});
    std::vector<Backend*> backends{&autodiff::cpu()};
    if (&backend() != backends.front()) backends.push_back(&backend());
    for (Backend* const one : backends)
      for (const DType dtype : {DType::float32, DType::float64}) {
        Vars weights = weights_on(surrogate, dtype, *one);
        const Tensor q = surrogate.net.features(weights, Var(x.to(dtype).to(*one))).value();
        const auto numbers = [&](const std::vector<double>& values) {
          return Tensor::from(std::span<const double>(values), {observations.size()}, dtype, *one);
        };
        constants_.push_back({.backend = one,
                              .dtype = dtype,
                              .weights = std::move(weights),
                              .features = q,
                              .time_of_row = Tensor::indices(time_of_row, *one),
                              .column = Tensor::indices(column, *one),
                              .mean = numbers(mean),
                              .deviation = numbers(deviation)});
      }
  }

  std::int64_t size() const override { return constants_.front().column.size(); }

  Var operator()(const Var& v) const override {
    const Constants& c = constants_of(v.value());
    const Var fields = decode(c, states(c, v), 0, rows_);
    return physical(c, reshape(fields, {v.shape()[0], rows_ * channels()}));
  }

  Tensor predict(const Tensor& v) const override {
    if (!backend().prefers_large_batches() && v.shape().rank() > 2)
      return by_groups(v, [this](const Tensor& rows) { return predict(rows); });
    const Tensor here = flattened(v, 1).to(backend());
    const Constants& c = constants_of(here);
    const std::int64_t members = here.shape()[0];
    const Tensor s = states(c, Var(here)).value();
    Tensor fields = Tensor::empty({members, rows_, channels()}, v.dtype(), backend());
    for_each_block(members, most_, [&](const RowBlock& block) {
      const Var some(s.rows(block.first_group, block.end_group));
      const Tensor part = decode(c, some, block.first_row, block.end_row).value();
      const std::int64_t row = channels();
      backend().copy({block.groups(), block.rows() * row}, part, walk(0, {block.rows() * row, 1}), fields,
                     walk((block.first_group * rows_ + block.first_row) * row, {rows_ * row, 1}));
    });
    return physical(c, Var(fields.reshaped({members, rows_ * channels()})))
        .value()
        .to(autodiff::cpu())
        .reshaped(leading(v, 1, {size()}));
  }

  Linearisation linearise(const Tensor& v, const Tensor& directions) const override {
    if (!backend().prefers_large_batches() && v.shape().rank() > 1)
      return by_points(v, directions, [this](const Tensor& one, const Tensor& along) { return linearise(one, along); });
    const Tensor points = flattened(v, 1);
    const Tensor along = flattened(directions, 2);
    // The tape of a point and its tangents hold the dynamics at every step.
    const std::int64_t each = (1 + along.shape()[1]) * (times_.back().steps + 1);
    const std::int64_t together = std::max<std::int64_t>(1, most_ / each);
    Vars values;
    Vars tangents;
    for (std::int64_t begin = 0; begin < points.shape()[0]; begin += together) {
      const std::int64_t end = std::min(begin + together, points.shape()[0]);
      const Linearisation some = linearise_points(points.rows(begin, end), along.rows(begin, end));
      values.emplace_back(some.value);
      tangents.emplace_back(some.tangents);
    }
    return {concat(values, 0).value().reshaped(leading(v, 1, {size()})),
            concat(tangents, 0).value().reshaped(leading(directions, 1, {size()}))};
  }

 private:
  /// Everything that does not depend on the control vectors, in one type on one device.
  struct Constants {
    Backend* backend;
    DType dtype;
    Vars weights;
    Tensor features;     // (rows, 2 F)
    Tensor time_of_row;  // (rows)
    Tensor column;       // (m): row * channels + channel
    Tensor mean;         // (m)
    Tensor deviation;    // (m)
  };
  const Constants& constants_of(const Tensor& v) const {
    return *std::find_if(constants_.begin(), constants_.end(),
                         [&](const Constants& c) { return c.backend == &v.backend() && c.dtype == v.dtype(); });
  }
  Backend& backend() const { return backend_of(surrogate_); }
  std::int64_t channels() const { return surrogate_.about.channels(); }

  /// v (points, n), directions (points, k, n) -> value (points, m), tangents (points, k, m).
  Linearisation linearise_points(const Tensor& v, const Tensor& directions) const {
    const std::int64_t points = v.shape()[0];
    const std::int64_t k = directions.shape()[1];
    const std::int64_t row = channels();
    autodiff::Tape tape;
    const Var control = tape.variable(v.to(backend()));
    const Constants& c = constants_of(control.value());
    const Var s = states(c, control);                                                         // (points, times, d)
    const Var ds = jvp(s, {control}, {transpose(Var(directions.to(backend())), {1, 0, 2})});  // (k, points, times, d)
    Tensor fields = Tensor::empty({points, rows_, row}, v.dtype(), backend());
    Tensor tangents = Tensor::empty({points, k, rows_, row}, v.dtype(), backend());
    const bool by_gradients = row < k;
    // Decodes block by block, so that activations and tangents stay in cache or, on a device, in memory.
    for_each_block(
        points, most_ / (1 + k),
        [&](const RowBlock& block) {
          autodiff::Tape own;
          const Tensor here = s.value().rows(block.first_group, block.end_group);
          const Var directions_here = slice(ds.detach(), 1, block.first_group, block.groups());
          Var y;
          Tensor dy;
          if (by_gradients) {
            // Every row depends on one state only and has fewer values than there are directions: computing the
            // gradients of the values and multiplying directions by them needs fewer sweeps.
            const Var state = own.variable(rows_of(c, Var(here), block.first_row, block.end_row).value());
            y = decode_rows(c, state, block.groups(), block.first_row, block.end_row);
            const Var along = rows_of(c, directions_here, block.first_row, block.end_row);  // (k, points, rows, d)
            const Var one(Tensor::full({block.groups(), block.rows(), 1}, 1, v.dtype(), backend()));
            Vars slopes;
            for (std::int64_t channel = 0; channel < row; ++channel)
              slopes.push_back(sum(along * vjp(slice(y, 2, channel, 1), one, {state})[0], {3}));
            dy = stack(slopes, 3).value();
          } else {
            const Var state = own.variable(here);
            y = decode(c, state, block.first_row, block.end_row);
            dy = jvp(y, {state}, {directions_here}).value();
          }
          const std::int64_t part = block.rows() * row;
          const std::int64_t whole = rows_ * row;
          const std::int64_t first = block.first_row * row;
          backend().copy({block.groups(), part}, y.value(), walk(0, {part, 1}), fields,
                         walk(block.first_group * whole + first, {whole, 1}));
          backend().copy({k, block.groups(), part}, dy, walk(0, {block.groups() * part, part, 1}), tangents,
                         walk(block.first_group * k * whole + first, {whole, k * whole, 1}));
        },
        by_gradients ? 128 : 32);
    const Var selected = gather(Var(tangents.reshaped({points * k, rows_ * row})), 1, c.column);
    const Tensor slopes = (selected * Var(c.deviation)).value().reshaped({points, k, size()});
    return {physical(c, Var(fields.reshaped({points, rows_ * row}))).value().to(autodiff::cpu()),
            slopes.to(autodiff::cpu())};
  }

  /// v (members, n) -> latent states at the times (members, times, d).
  Var states(const Constants& c, const Var& v) const {
    const Ldnet& net = surrogate_.net;
    const std::int64_t d = net.architecture().latent;
    const Var u = parameters_of(v, d);
    Var s = state_of(v, d);
    std::int64_t step = 0;
    Vars at_times;
    for (const Split& time : times_) {
      for (; step < time.steps; ++step) s = net.step(c.weights, u, s);
      const Var here = time.fraction > 0 ? net.step(c.weights, u, s, time.fraction) : s;
      at_times.push_back(reshape(here, {v.shape()[0], 1, d}));
    }
    return concat(at_times, 1);
  }

  /// s (members, times, d) -> rows [begin, end) decoded: (members, end - begin, c), normalised.
  Var decode(const Constants& c, const Var& s, std::int64_t begin, std::int64_t end) const {
    return decode_rows(c, rows_of(c, s, begin, end), s.shape()[0], begin, end);
  }

  /// States (.., times, d) -> those of rows [begin, end): (.., end - begin, d).
  static Var rows_of(const Constants& c, const Var& s, std::int64_t begin, std::int64_t end) {
    return gather(s, s.shape().rank() - 2, c.time_of_row.rows(begin, end));
  }

  /// Rows [begin, end) from one state each: s (members, end - begin, d) -> (members, end - begin, c), normalised.
  Var decode_rows(const Constants& c, const Var& s, std::int64_t members, std::int64_t begin, std::int64_t end) const {
    const std::int64_t count = end - begin;
    const std::int64_t f = c.features.shape()[1];
    const Var state = reshape(s, {members * count, s.shape()[2]});
    const Var features = reshape(expand(Var(c.features.rows(begin, end)), {members, count, f}), {members * count, f});
    return reshape(surrogate_.net.decode(c.weights, features, state), {members, count, channels()});
  }

  /// Normalised rows (members, rows c) -> observations in physical units (members, m).
  static Var physical(const Constants& c, const Var& fields) {
    return Var(c.mean) + gather(fields, 1, c.column) * Var(c.deviation);
  }

  static autodiff::Strided walk(std::int64_t offset, std::initializer_list<std::int64_t> strides) {
    autodiff::Strided result{.offset = offset};
    std::copy(strides.begin(), strides.end(), result.strides.begin());
    return result;
  }

  /// The division into blocks depends only on the problem.
  void for_each_block(std::int64_t members, std::int64_t most, const std::function<void(const RowBlock&)>& f,
                      std::int64_t tile = 32) const {
    models::for_each_row_block(backend(), members, rows_, tile, most, f);
  }

  const Surrogate& surrogate_;
  std::int64_t most_;
  std::int64_t rows_ = 0;  // of the decoder
  std::vector<Split> times_;
  std::vector<Constants> constants_;
};

}  // namespace

LatentModel::LatentModel(const Surrogate& surrogate, std::int64_t most) : surrogate_(surrogate), most_(most) {}

std::int64_t LatentModel::controls() const {
  return surrogate_.net.architecture().latent + surrogate_.net.architecture().parameters;
}

Var LatentModel::advance(const Var& v, double duration) const {
  const Ldnet& net = surrogate_.net;
  const std::int64_t d = net.architecture().latent;
  const Split time = split(duration, surrogate_.about.frame_interval);
  if (time.steps == 0 && time.fraction == 0) return v;
  const Vars w = weights_on(surrogate_, v.dtype(), v.value().backend());
  const Var u = parameters_of(v, d);
  Var s = net.rollout(w, u, state_of(v, d), time.steps).back();
  if (time.fraction > 0) s = net.step(w, u, s, time.fraction);
  return autodiff::concat({s, u}, -1);
}

Tensor LatentModel::forecast(const Tensor& v, double duration) const {
  Backend& backend = backend_of(surrogate_);
  if (!backend.prefers_large_batches()) return ForwardModel::forecast(v, duration);
  return advance(flattened(v, 1).to(backend), duration).value().to(autodiff::cpu()).reshaped(v.shape());
}

std::unique_ptr<ObservationOperator> LatentModel::observe(const Observations& observations) const {
  return observe_through(observations, surrogate_.about, [this](const Observations& values) {
    return std::make_unique<LatentOperator>(surrogate_, values, most_);
  });
}

}  // namespace levda::da
