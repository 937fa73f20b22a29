#include "models/batches.h"

#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <cmath>

#include "autodiff/op.h"
#include "autodiff/random.h"
#include "autodiff/streams.h"

namespace levda::models {

using autodiff::Backend;
using autodiff::DType;
using autodiff::Random;
using autodiff::Tensor;
using autodiff::Var;

namespace {

/// Memory of a device besides the training fields: 1 GiB of a step's activations (tile_of), and about as much each for
/// gradients, weights and the optimiser's state, for the evaluation, and for the libraries of the device.
constexpr std::int64_t reserve = std::int64_t{4} << 30;

/// Turns physical values into those of the network, in float32.
struct Normal {
  std::vector<float> mean;
  std::vector<float> scale;

  explicit Normal(const Surrogate& s) {
    for (std::size_t c = 0; c < s.field_mean.size(); ++c) {
      mean.push_back(static_cast<float>(s.offset(c)));
      scale.push_back(static_cast<float>(1 / s.scale(c)));
    }
  }
  float operator()(float value, std::int64_t c) const { return (value - mean[c]) * scale[c]; }
};

/// int64 (count) of zeros: valid as rows of any table.
Tensor no_rows(std::int64_t count, Backend& backend) {
  return Tensor::indices(std::vector<std::int64_t>(static_cast<std::size_t>(count), 0), backend);
}

/// (rows, width)
Tensor picked(const Tensor& table, const Tensor& rows) { return gather(Var(table), 0, rows).value(); }

/// Copies into a tensor that stays in place; the first call makes it.
void send(const Tensor& from, Tensor& to, Backend& device) {
  if (!to) to = Tensor::empty(from.shape(), from.dtype(), device);
  to.set(std::span(from.data<float>(), static_cast<std::size_t>(from.size())));
}

void send(const Samples& from, Samples& to, Backend& device) {
  send(from.x, to.x, device);
  send(from.y, to.y, device);
  if (!from.mask) return;
  if (!to.mask) to.mask.emplace();
  send(*from.mask, *to.mask, device);
}

}  // namespace

double Samples::count() const { return mask ? sum(Var(*mask)).value().item() : static_cast<double>(y.size()); }

Batches::Batches(const TrainingSettings& settings, const Dataset& data, const Surrogate& s, Backend& device,
                 Placement placement)
    : settings_(settings),
      data_(data),
      missing_(training_has_missing(data)),
      device_(device),
      streamed_(placement == Placement::streamed || (placement == Placement::automatic && !fits())),
      home_(streamed_ ? autodiff::cpu() : device),
      step_(no_rows(1, home_)),
      states_(no_rows(data.about.frames * settings.trajectories, device)),
      frames_(frame_table(s)) {
  const std::int64_t times = data.varying ? data.about.frames : 1;
  const std::int64_t p = data.about.parameters();
  parameters_ = Tensor::from(std::span<const double>(s.normal_parameters(data.parameters)), {data.members() * times, p},
                             DType::float32, home_);
  parameter_rows_ = no_rows(times * settings.trajectories, home_);
  if (data.between.points > 0) {
    const std::int64_t intervals = data.about.frames - 1;
    between_ = between_table(s);
    fractions_ = Tensor::from(std::span<const double>(data.between.fraction), {data.members() * intervals, 1},
                              DType::float32, home_);
    fraction_rows_ = no_rows(intervals * settings.trajectories, home_);
  }
  if (settings.draw == PointDraw::once)
    for (Table* table : {&frames_, between_ ? &*between_ : nullptr}) {
      if (table == nullptr) continue;
      table->rows = no_rows(table->base.size() * table->points, home_);
      table->rows_of_x = no_rows(table->rows.size(), home_);
    }
  select(0);  // a recording may read the batch before the first step
}

bool Batches::fits() const {
  const std::int64_t c = data_.about.channels();
  const BetweenFrames& between = data_.between;
  const std::int64_t pool = data_.pool.points;
  std::int64_t values = data_.train * data_.about.frames *
                        (pool > 0 ? pool * (2 + c * (missing_ ? 2 : 1)) : data_.frame_size() * (missing_ ? 2 : 1));
  values += data_.train * (data_.about.frames - 1) * between.points * (2 + c);
  return device_.available() - reserve >= values * static_cast<std::int64_t>(sizeof(float));
}

Batches::Table Batches::frame_table(const Surrogate& s) const {
  const std::int64_t frames = data_.about.frames;
  const std::int64_t cells = data_.about.grid.cells();
  const std::int64_t c = data_.about.channels();
  const Pool& pool = data_.pool;
  const std::int64_t places = pool.points > 0 ? pool.points : cells;
  const std::int64_t rows = frames * places;  // of a member
  const std::int64_t groups = frames * settings_.trajectories;
  const Tensor nodes = grid_points(data_.about.grid, 1);
  Table table{.x = nodes.to(home_),
              .y = Tensor::empty({data_.train * rows, c}, DType::float32, home_),
              .mask = std::nullopt,
              .places = places,
              .times = frames,
              .points = settings_.points,
              .stream = streams::batch_points,
              .once_stream = streams::points_once,
              .base = no_rows(groups, home_),
              .base_of_x = no_rows(groups, home_),
              .rows = {},
              .rows_of_x = {}};
  const float* place = nodes.data<float>();
  std::vector<float> x;
  if (pool.points > 0) {
    table.x = Tensor::empty({data_.train * rows, 2}, DType::float32, home_);
    table.base_of_x = table.base;
    x.resize(static_cast<std::size_t>(2 * rows));
  }
  if (missing_) table.mask = Tensor::empty(table.y.shape(), DType::float32, home_);
  const Normal normal(s);
  // Member by member, so that the host holds no second copy of all. Channels innermost: a random node is one place in
  // memory.
  std::vector<float> values(static_cast<std::size_t>(rows * c));
  std::vector<float> mask(missing_ ? values.size() : 0);
  for (std::int64_t member = 0; member < data_.train; ++member) {
    oneapi::tbb::parallel_for(std::int64_t{0}, frames, [&](std::int64_t frame) {
      const auto put = [&](std::int64_t i, std::int64_t channel, float physical) {
        const std::int64_t to = (frame * places + i) * c + channel;
        const float value = normal(physical, channel);
        values[to] = std::isnan(value) ? 0 : value;
        if (missing_) mask[to] = std::isnan(value) ? 0 : 1;
      };
      if (pool.points > 0) {
        const std::int64_t first = (member * frames + frame) * places;
        for (std::int64_t i = 0; i < places; ++i) {
          std::copy_n(place + 2 * pool.nodes[first + i], 2, x.data() + 2 * (frame * places + i));
          for (std::int64_t channel = 0; channel < c; ++channel)
            put(i, channel, pool.values[(first + i) * c + channel]);
        }
        return;
      }
      const std::span<const float> from = data_.frame(member, frame);
      for (std::int64_t channel = 0; channel < c; ++channel)
        for (std::int64_t i = 0; i < cells; ++i) put(i, channel, from[channel * cells + i]);
    });
    if (pool.points > 0) table.x.rows(member * rows, (member + 1) * rows).set(std::span<const float>(x));
    table.y.rows(member * rows, (member + 1) * rows).set(std::span<const float>(values));
    if (missing_) table.mask->rows(member * rows, (member + 1) * rows).set(std::span<const float>(mask));
  }
  return table;
}

Batches::Table Batches::between_table(const Surrogate& s) const {
  const BetweenFrames& between = data_.between;
  const std::int64_t intervals = data_.about.frames - 1;
  const std::int64_t c = data_.about.channels();
  const std::int64_t rows = data_.train * intervals * between.points;
  const Normal normal(s);
  std::vector<float> x;
  std::vector<float> y;
  for (std::int64_t i = 0; i < rows; ++i) {
    x.push_back(static_cast<float>(data_.about.grid.normal_x(between.x[i])));
    x.push_back(static_cast<float>(data_.about.grid.normal_y(between.y[i])));
    for (std::int64_t channel = 0; channel < c; ++channel)
      y.push_back(normal(between.values[i * c + channel], channel));
  }
  const Tensor base = no_rows(intervals * settings_.trajectories, home_);
  return {.x = Tensor::from(std::span<const float>(x), {rows, 2}, DType::float32, home_),
          .y = Tensor::from(std::span<const float>(y), {rows, c}, DType::float32, home_),
          .mask = std::nullopt,
          .places = between.points,
          .times = intervals,
          .points = settings_.between,
          .stream = streams::batch_points + static_cast<std::uint32_t>(data_.about.frames * settings_.trajectories),
          .once_stream = streams::points_between_once,
          .base = base,
          .base_of_x = base,
          .rows = {},
          .rows_of_x = {}};
}

void Batches::select(std::int64_t step) {
  const std::int64_t size = settings_.trajectories;
  const std::int64_t per_epoch = data_.train / size;
  const auto seed = static_cast<std::uint64_t>(settings_.seed);
  const std::vector<std::int64_t> order =
      Random(seed, streams::training_order, static_cast<std::uint32_t>(step / per_epoch)).permutation(data_.train);
  const std::span<const std::int64_t> chosen =
      std::span(order).subspan(static_cast<std::size_t>(step % per_epoch * size), static_cast<std::size_t>(size));
  // Rows of a table with `each` of them for every (member, time), times outermost as in the groups.
  const auto first_rows = [&](std::int64_t times, std::int64_t each) {
    std::vector<std::int64_t> first;
    for (std::int64_t time = 0; time < times; ++time)
      for (const std::int64_t member : chosen) first.push_back((member * times + time) * each);
    return first;
  };
  const auto put = [&](std::int64_t times, std::int64_t each, Tensor& rows) {
    rows.set(std::span<const std::int64_t>(first_rows(times, each)));
  };
  step_.set(std::span<const std::int64_t>(&step, 1));
  put(data_.varying ? data_.about.frames : 1, 1, parameter_rows_);
  put(frames_.times, frames_.places, frames_.base);
  put(frames_.times, 1, states_);
  if (frames_.rows) draw_once(first_rows(frames_.times, 1), frames_);
  if (between_) {
    if (between_->rows) draw_once(first_rows(between_->times, 1), *between_);
    put(between_->times, between_->places, between_->base);
    put(between_->times, 1, fraction_rows_);
  }
  if (!streamed_) return;
  const Batch batch = assemble();
  send(batch.u, sent_.u, device_);
  send(batch.frames, sent_.frames, device_);
  if (!batch.between) return;
  if (!sent_.between) sent_.between.emplace();
  send(*batch.between, *sent_.between, device_);
  send(batch.fraction, sent_.fraction, device_);
}

/// The random numbers of a group are those of its (member, time): the same in every step.
void Batches::draw_once(const std::vector<std::int64_t>& states, Table& table) const {
  const bool own_x = table.base_of_x.storage() == table.base.storage();
  std::vector<std::int64_t> rows(static_cast<std::size_t>(table.rows.size()));
  std::vector<std::int64_t> rows_of_x(rows.size());
  oneapi::tbb::parallel_for(std::int64_t{0}, table.base.size(), [&](std::int64_t group) {
    const std::int64_t state = states[static_cast<std::size_t>(group)];
    Random random(static_cast<std::uint64_t>(settings_.seed), table.once_stream, static_cast<std::uint32_t>(state));
    for (std::int64_t i = group * table.points; i < (group + 1) * table.points; ++i) {
      const std::int64_t place = random.below(table.places);
      rows[i] = state * table.places + place;
      rows_of_x[i] = own_x ? rows[i] : place;
    }
  });
  table.rows.set(std::span<const std::int64_t>(rows));
  table.rows_of_x.set(std::span<const std::int64_t>(rows_of_x));
}

Batch Batches::assemble() const {
  const std::int64_t size = settings_.trajectories;
  Batch batch{.u = picked(parameters_, parameter_rows_)
                       .reshaped({parameter_rows_.size() / size, size, data_.about.parameters()}),
              .frames = draw(frames_),
              .fraction = {},
              .between = std::nullopt};
  if (between_) {
    batch.between = draw(*between_);
    batch.fraction = picked(fractions_, fraction_rows_);
  }
  return batch;
}

Samples Batches::draw(const Table& table) const {
  const std::int64_t groups = table.base.size();
  const std::int64_t points = table.points;
  const std::int64_t c = table.y.shape()[1];
  const auto list = [&](std::int64_t width) { return Tensor::empty({groups * points, width}, DType::float32, home_); };
  const Tensor x = list(2);
  const Tensor y = list(c);
  const Tensor mask = table.mask ? list(c) : Tensor();
  const auto part = [&](std::int64_t begin, std::int64_t end) {
    const auto first = static_cast<std::uint32_t>(begin);
    const autodiff::RandomRows random{
        .seed = static_cast<std::uint64_t>(settings_.seed), .stream = table.stream + first, .choices = table.places};
    const bool once = static_cast<bool>(table.rows);
    Tensor rows = once ? table.rows.rows(begin * points, end * points)
                       : Tensor::empty({(end - begin) * points}, DType::int64, home_);
    const auto take = [&](const Tensor& from, const Tensor& to) {
      Tensor own = to.rows(begin * points, end * points);
      home_.gather(from, rows, 0, own);
    };
    if (!once) home_.draw_rows(random, step_, table.base.rows(begin, end), rows);
    take(table.y, y);
    if (table.mask) take(*table.mask, mask);
    // Where all (member, time) share coordinates, the same places in their table.
    if (once)
      rows = table.rows_of_x.rows(begin * points, end * points);
    else if (table.base_of_x.storage() != table.base.storage())
      home_.draw_rows(random, step_, table.base_of_x.rows(begin, end), rows);
    take(table.x, x);
  };
  // An operation of the CPU runs on one thread, and this one waits for the memory.
  const std::int64_t parts = std::min(groups, home_.lanes());
  if (parts == 1)
    part(0, groups);
  else
    oneapi::tbb::parallel_for(std::int64_t{0}, parts,
                              [&](std::int64_t i) { part(i * groups / parts, (i + 1) * groups / parts); });
  Samples samples{.x = x.reshaped({groups, points, 2}), .y = y.reshaped({groups, points, c}), .mask = std::nullopt};
  if (mask) samples.mask = mask.reshaped(samples.y.shape());
  return samples;
}

}  // namespace levda::models
