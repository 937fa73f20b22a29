#include "da/latent_model.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"

namespace levda::da {

using autodiff::DType;
using autodiff::Shape;
using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;
using models::Ldnet;
using models::Surrogate;

namespace {

/// Times closer than this share of a frame are one time.
constexpr double time_resolution = 1e-6;

struct Split {
  std::int64_t steps;  // whole latent steps
  double fraction;     // of one more
};

Split split(double seconds, double interval) {
  const double frames = seconds / interval;
  const double whole = std::floor(frames + time_resolution);
  const double rest = frames - whole;
  return {static_cast<std::int64_t>(whole), rest > time_resolution ? rest : 0};
}

Var state_of(const Var& v, std::int64_t d) { return slice(v, -1, 0, d); }
Var parameters_of(const Var& v, std::int64_t d) { return slice(v, -1, d, v.shape()[-1] - d); }

/// Decoder rows in order of time; every observation is one channel of one row.
class LatentOperator final : public ObservationOperator {
 public:
  LatentOperator(const Surrogate& surrogate, const Observations& observations) : surrogate_(surrogate) {
    const models::Grid& grid = surrogate.about.grid;
    constexpr double place_resolution = 1e-9;  // of the domain: values of one cell share a row
    std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t>, std::vector<std::int64_t>> places;
    std::map<std::int64_t, double> times;
    const auto key = [](double value, double resolution) { return std::llround(value / resolution); };
    for (std::int64_t i = 0; i < observations.size(); ++i) {
      const std::int64_t c = observations.channel[i];
      const double x = grid.normal_x(observations.x[i] - grid.offset_x[c] * grid.dx);
      const double y = grid.normal_y(observations.y[i] - grid.offset_y[c] * grid.dy);
      if (!grid.contains_x(observations.x[i] - grid.offset_x[c] * grid.dx) ||
          !grid.contains_y(observations.y[i] - grid.offset_y[c] * grid.dy))
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
      coordinates.push_back(grid.normal_x(observations.x[first] - grid.offset_x[c0] * grid.dx));
      coordinates.push_back(grid.normal_y(observations.y[first] - grid.offset_y[c0] * grid.dy));
      for (const std::int64_t i : entries) {
        const std::int64_t c = observations.channel[i];
        column[i] = row * channels + c;
        mean[i] = surrogate.field_mean[c];
        deviation[i] = surrogate.field_std[c];
      }
    }
    for (const auto& entry : times) times_.push_back(split(entry.second, surrogate.about.frame_interval));
    const auto rows = static_cast<std::int64_t>(time_of_row.size());
    time_of_row_ = Tensor::indices(time_of_row);
    column_ = Tensor::indices(column);
    mean_ = Tensor::from(std::span<const double>(mean), {size()});
    deviation_ = Tensor::from(std::span<const double>(deviation), {size()});
    const Tensor x = Tensor::from(std::span<const double>(coordinates), {rows, 2});
    for (const DType dtype : {DType::float32, DType::float64}) {
      Vars weights = surrogate.net.parameters().constants(dtype);
      const Tensor q = surrogate.net.features(weights, Var(x.to(dtype))).value();
      (dtype == DType::float32 ? single_ : double_) = {std::move(weights), q};
    }
  }

  std::int64_t size() const override { return column_.size(); }

  Var operator()(const Var& v) const override {
    const Var fields = decode(v.dtype(), states(v), 0, rows());
    return physical(reshape(fields, {v.shape()[0], rows() * channels()}));
  }

  Tensor predict(const Tensor& v) const override {
    const std::int64_t members = v.shape()[0];
    const Tensor s = states(Var(v)).value();
    Tensor fields = Tensor::empty({members, rows(), channels()}, v.dtype());
    parallel_tiles(members, [&](std::int64_t member, std::int64_t begin, std::int64_t end) {
      put(decode(v.dtype(), Var(s.rows(member, member + 1)), begin, end).value(), fields, member, begin);
    });
    return physical(Var(fields.reshaped({members, rows() * channels()}))).value();
  }

  Linearisation linearise(const Tensor& v, const Tensor& directions) const override {
    const std::int64_t k = directions.shape()[0];
    const std::int64_t n = v.size();
    autodiff::Tape tape;
    const Var control = tape.variable(v.reshaped({1, n}));
    const Var s = states(control);                                                      // (1, times, d)
    const Var ds = autodiff::jvp(s, {control}, {Var(directions.reshaped({k, 1, n}))});  // (k, 1, times, d)
    Tensor fields = Tensor::empty({1, rows(), channels()}, v.dtype());
    Tensor tangents = Tensor::empty({k, rows(), channels()}, v.dtype());
    // The decoder once more from the states on, tile by tile: activations and tangents stay in cache.
    parallel_tiles(1, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
      autodiff::Tape own;
      const Var state = own.variable(s.value());
      const Var y = decode(v.dtype(), state, begin, end);
      const Tensor dy = autodiff::jvp(y, {state}, {ds.detach()}).value().reshaped({k, end - begin, channels()});
      put(y.value(), fields, 0, begin);
      for (std::int64_t i = 0; i < k; ++i) put(dy.rows(i, i + 1), tangents, i, begin);
    });
    const Var selected = gather(Var(tangents.reshaped({k, rows() * channels()})), 1, column_);
    return {physical(Var(fields.reshaped({1, rows() * channels()}))).value().reshaped({size()}),
            (selected * Var(deviation_.to(v.dtype()))).value()};
  }

 private:
  struct Network {
    Vars weights;
    Tensor features;  // (rows, 2 F)
  };
  const Network& network(DType dtype) const { return dtype == DType::float32 ? single_ : double_; }
  std::int64_t rows() const { return time_of_row_.size(); }
  std::int64_t channels() const { return surrogate_.about.channels(); }

  /// v (members, n) -> latent states at the times (members, times, d).
  Var states(const Var& v) const {
    const Ldnet& net = surrogate_.net;
    const std::int64_t d = net.architecture().latent;
    const Vars& w = network(v.dtype()).weights;
    const Var u = parameters_of(v, d);
    Var s = state_of(v, d);
    std::int64_t step = 0;
    Vars at_times;
    for (const Split& time : times_) {
      for (; step < time.steps; ++step) s = net.step(w, u, s);
      const Var here = time.fraction > 0 ? net.step(w, u, s, time.fraction) : s;
      at_times.push_back(reshape(here, {v.shape()[0], 1, d}));
    }
    return concat(at_times, 1);
  }

  /// s (members, times, d) -> rows [begin, end) decoded: (members, end - begin, c), normalised.
  Var decode(DType dtype, const Var& s, std::int64_t begin, std::int64_t end) const {
    const std::int64_t members = s.shape()[0];
    const std::int64_t count = end - begin;
    const std::int64_t d = s.shape()[2];
    const Tensor& q = network(dtype).features;
    const std::int64_t f = q.shape()[1];
    const Var state = reshape(gather(s, 1, time_of_row_.rows(begin, end)), {members * count, d});
    const Var features = reshape(expand(Var(q.rows(begin, end)), {members, count, f}), {members * count, f});
    return reshape(surrogate_.net.decode(network(dtype).weights, features, state), {members, count, channels()});
  }

  /// Normalised rows (members, rows c) -> observations in physical units (members, m).
  Var physical(const Var& fields) const {
    return Var(mean_.to(fields.dtype())) + gather(fields, 1, column_) * Var(deviation_.to(fields.dtype()));
  }

  static void put(const Tensor& part, Tensor& whole, std::int64_t member, std::int64_t begin) {
    const std::int64_t c = whole.shape()[2];
    autodiff::Strided to{.offset = (member * whole.shape()[1] + begin) * c};
    to.strides[0] = 1;
    autodiff::Strided from;
    from.strides[0] = 1;
    whole.backend().copy({part.size()}, part, from, whole, to);
  }

  /// f(member, first row, end row); tiles depend on the problem only.
  template <typename F>
  void parallel_tiles(std::int64_t members, const F& f) const {
    constexpr std::int64_t tile = 32;
    const std::int64_t tiles = (rows() + tile - 1) / tile;
    oneapi::tbb::parallel_for(std::int64_t{0}, members * tiles, [&](std::int64_t i) {
      f(i / tiles, i % tiles * tile, std::min((i % tiles + 1) * tile, rows()));
    });
  }

  const Surrogate& surrogate_;
  std::vector<Split> times_;
  Tensor time_of_row_;  // (rows)
  Tensor column_;       // (m): row * channels + channel
  Tensor mean_;         // (m) float64
  Tensor deviation_;    // (m) float64
  Network single_;
  Network double_;
};

}  // namespace

LatentModel::LatentModel(const Surrogate& surrogate) : surrogate_(surrogate) {}

std::int64_t LatentModel::controls() const {
  return surrogate_.net.architecture().latent + surrogate_.net.architecture().parameters;
}

Var LatentModel::advance(const Var& v, double seconds) const {
  const Ldnet& net = surrogate_.net;
  const std::int64_t d = net.architecture().latent;
  const Split time = split(seconds, surrogate_.about.frame_interval);
  if (time.steps == 0 && time.fraction == 0) return v;
  const Vars w = net.parameters().constants(v.dtype());
  const Var u = parameters_of(v, d);
  Var s = net.rollout(w, u, state_of(v, d), time.steps).back();
  if (time.fraction > 0) s = net.step(w, u, s, time.fraction);
  return autodiff::concat({s, u}, -1);
}

std::unique_ptr<ObservationOperator> LatentModel::observe(const Observations& observations) const {
  return std::make_unique<LatentOperator>(surrogate_, observations);
}

}  // namespace levda::da
