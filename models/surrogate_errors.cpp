#include "models/surrogate_errors.h"

#include <cmath>

namespace levda::models {

using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

namespace {

constexpr std::int64_t quick_stride = 4;

/// Sums over members and places of squared residuals and squared truths, physical units, per (time, channel).
struct Residuals {
  std::vector<double> error;
  std::vector<double> truth;
  std::vector<double> count;  // area of the terms

  explicit Residuals(std::int64_t size) : error(static_cast<std::size_t>(size)), truth(error), count(error) {}

  void add(std::int64_t at, double found, double true_value, double area) {
    if (std::isnan(true_value)) return;
    error[at] += area * (found - true_value) * (found - true_value);
    truth[at] += area * true_value * true_value;
    count[at] += area;
  }
};

std::int64_t stride_on(const Grid& grid, std::int64_t stride) { return grid.listed() ? 1 : stride; }

/// Fields (frames, c, ny, nx) at every stride-th node: (frames, nodes, c).
std::vector<float> thinned(const Description& about, std::span<const float> fields, std::int64_t stride) {
  const Grid& grid = about.grid;
  const std::int64_t c = about.channels();
  stride = stride_on(grid, stride);
  std::vector<float> values;
  for (std::int64_t frame = 0; frame < about.frames; ++frame)
    for (std::int64_t j = 0; j < grid.ny; j += stride)
      for (std::int64_t i = 0; i < grid.nx; i += stride)
        for (std::int64_t k = 0; k < c; ++k) values.push_back(fields[(frame * c + k) * grid.cells() + j * grid.nx + i]);
  return values;
}

Tensor latents_of(const Surrogate& s, const Dataset& data, std::int64_t member) {
  const std::vector<double> u = s.normal_parameters(data.parameters_of(member));
  return latent_trajectories(s.net, u, 1, data.about.frames).reshaped({data.about.frames, s.net.architecture().latent});
}

/// Adds a member, whose truth is thinned, per (frame, channel).
void add_residuals(const Surrogate& s, const Dataset& data, std::int64_t member, const std::vector<float>& thin_truth,
                   std::int64_t stride, Residuals& sums) {
  const std::int64_t c = data.about.channels();
  const std::vector<double> areas = grid_areas(data.about.grid, stride);
  const Tensor fields = decode_states(s.net, latents_of(s, data, member), grid_points(data.about.grid, stride));
  const float* found = fields.data<float>();
  const float* truth = thin_truth.data();
  for (std::int64_t frame = 0; frame < data.about.frames; ++frame)
    for (const double area : areas)
      for (std::int64_t k = 0; k < c; ++k) sums.add(frame * c + k, s.offset(k) + s.scale(k) * *found++, *truth++, area);
}

/// At the frames and all nodes, per (frame, channel); one trajectory at a time is read where they are not in memory.
Residuals residuals(const Surrogate& s, const Dataset& data, std::int64_t first, std::int64_t last) {
  Residuals sums(data.about.frames * data.about.channels());
  data.each_member(first, last, [&](std::int64_t member, std::span<const float> fields) {
    add_residuals(s, data, member, thinned(data.about, fields, 1), 1, sums);
  });
  return sums;
}

/// At the times between frames, per (interval, channel).
Residuals between_residuals(const Surrogate& s, const Dataset& data, std::int64_t first, std::int64_t last) {
  const Description& about = data.about;
  const BetweenFrames& between = data.between;
  const std::int64_t c = about.channels();
  const std::int64_t intervals = about.frames - 1;
  Residuals sums(intervals * c);
  const Vars weights = s.net.parameters().constants();
  autodiff::Backend& backend = weights.front().value().backend();
  for (std::int64_t member = first; member < last; ++member) {
    const std::span<const double> fraction =
        std::span(between.fraction).subspan(static_cast<std::size_t>(member * intervals), intervals);
    const Var states = between_states(Var(latents_of(s, data, member).to(backend)),
                                      Tensor::from(fraction, {intervals, 1}, DType::float32, backend), 1);
    for (std::int64_t interval = 0; interval < intervals; ++interval) {
      const std::int64_t begin = (member * intervals + interval) * between.points;
      std::vector<float> x;
      for (std::int64_t k = begin; k < begin + between.points; ++k) {
        x.push_back(static_cast<float>(about.grid.normal_x(between.x[k])));
        x.push_back(static_cast<float>(about.grid.normal_y(between.y[k])));
      }
      const Var points(Tensor::from(std::span<const float>(x), {1, between.points, 2}, DType::float32, backend));
      const std::vector<float> found =
          s.net.decode_groups(weights, slice(states, 0, interval, 1), points).value().to_floats();
      for (std::size_t i = 0; i < found.size(); ++i) {
        const auto k = static_cast<std::int64_t>(i) % c;
        sums.add(interval * c + k, s.offset(k) + s.scale(k) * found[i],
                 between.values[static_cast<std::size_t>(begin * c) + i], 1);
      }
    }
  }
  return sums;
}

Tensor variance_of(const Residuals& sums, const std::vector<double>& deviation) {
  const auto c = static_cast<std::int64_t>(deviation.size());
  std::vector<double> variance;
  for (std::size_t i = 0; i < sums.error.size(); ++i) {
    const double unit = deviation[i % deviation.size()];
    double error = sums.error[i];
    double count = sums.count[i];
    for (std::size_t k = i % deviation.size(); sums.count[i] == 0 && k < sums.error.size(); k += deviation.size()) {
      error += sums.error[k];
      count += sums.count[k];
    }
    variance.push_back(error / count / (unit * unit));
  }
  return Tensor::from(std::span<const double>(variance), {static_cast<std::int64_t>(variance.size()) / c, c});
}

double pooled(const Residuals& sums, std::int64_t c) {
  double total = 0;
  std::int64_t channels = 0;
  for (std::int64_t channel = 0; channel < c; ++channel) {
    double error = 0;
    double truth = 0;
    for (std::size_t i = static_cast<std::size_t>(channel); i < sums.error.size(); i += static_cast<std::size_t>(c)) {
      error += sums.error[i];
      truth += sums.truth[i];
    }
    if (truth == 0) continue;  // no values, or nothing to compare with
    total += error / truth;
    ++channels;
  }
  return std::sqrt(total / static_cast<double>(channels));
}

}  // namespace

Var between_states(const Var& frames, const Tensor& fraction, std::int64_t trajectories) {
  const std::int64_t rows = fraction.shape()[0];
  const Var before = slice(frames, 0, 0, rows);
  const Var after = slice(frames, 0, trajectories, rows);
  return before + Var(fraction) * (after - before);
}

double surrogate_error(const Surrogate& s, const Dataset& data, std::int64_t first, std::int64_t last) {
  return pooled(residuals(s, data, first, last), data.about.channels());
}

double surrogate_error_between(const Surrogate& s, const Dataset& data, std::int64_t first, std::int64_t last) {
  return pooled(between_residuals(s, data, first, last), data.about.channels());
}

Tensor error_variance(const Surrogate& s, const Dataset& data, std::int64_t first, std::int64_t last) {
  return variance_of(residuals(s, data, first, last), s.field_std);
}

Tensor between_variance(const Surrogate& s, const Dataset& data, std::int64_t first, std::int64_t last,
                        const Tensor& error_variance) {
  if (data.between.points == 0) return error_variance.rows(0, data.about.frames - 1).clone();
  return variance_of(between_residuals(s, data, first, last), s.field_std);
}

QuickError::QuickError(const Dataset& data, std::int64_t first, std::int64_t last) : data_(data), first_(first) {
  data.each_member(first, last, [&](std::int64_t, std::span<const float> fields) {
    truths_.push_back(thinned(data.about, fields, quick_stride));
  });
}

double QuickError::operator()(const Surrogate& s) const {
  Residuals sums(data_.about.frames * data_.about.channels());
  for (std::size_t i = 0; i < truths_.size(); ++i)
    add_residuals(s, data_, first_ + static_cast<std::int64_t>(i), truths_[i], quick_stride, sums);
  return pooled(sums, data_.about.channels());
}

}  // namespace levda::models
