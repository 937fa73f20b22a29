#include "da/latent_control.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "autodiff/error.h"
#include "da/observation_operators.h"

namespace levda::da {

using autodiff::DType;
using autodiff::Random;
using autodiff::Tensor;
using autodiff::Var;
using models::Surrogate;

namespace {

constexpr double widening = 0.05;  // of the prior range of bounded parameters, on either side

/// The source in error messages.
constexpr const char* source = "assimilation";

/// [s; u] of states of training trajectories, (members, d + p).
Ensemble control_vectors(const Surrogate& s, const std::vector<MemberOrigin>& origins) {
  const std::int64_t d = s.net.architecture().latent;
  const std::int64_t p = s.net.architecture().parameters;
  const std::int64_t frames = s.about.frames;
  const std::vector<double> u = s.normal_parameters(s.training_parameters.to_vector());
  const bool varying = s.training_parameters.shape().rank() == 3;
  const std::vector<double> latents = s.training_latents.to_vector();
  std::vector<double> members;
  for (const MemberOrigin& from : origins) {
    if (from.frame < 0) {
      members.insert(members.end(), static_cast<std::size_t>(d), 0.0);
    } else {
      const auto state = latents.begin() + (from.member * frames + from.frame) * d;
      members.insert(members.end(), state, state + d);
    }
    const std::int64_t next = std::min(from.frame + 1, frames - 1);  // frame at which the first step from there ends
    const auto own = u.begin() + (varying ? from.member * frames + next : from.member) * p;
    members.insert(members.end(), own, own + p);
  }
  const auto count = static_cast<std::int64_t>(origins.size());
  return Ensemble(Tensor::from(std::span<const double>(members), {count, d + p}));
}

/// Bounds of all controls; only parameters have any.
std::vector<Bounds> bounds_of(const models::Description& about, ParameterRange range, std::int64_t controls) {
  std::vector<Bounds> bounds(static_cast<std::size_t>(controls));
  const auto first = bounds.end() - about.parameters();
  // -1 and 1 are the prior range.
  for (std::int64_t k = 0; k < about.parameters(); ++k) {
    if (range == ParameterRange::bounded) {
      first[k] = {.lower = -1 - 2 * widening, .upper = 1 + 2 * widening};
      continue;
    }
    if (!(about.parameter_min[k] > 0))
      throw InputError(source, "parameters",
                       fmt::format("positive, but the prior range of {} begins at {}", about.parameter_names[k],
                                   about.parameter_min[k]));
    const double width = about.parameter_max[k] - about.parameter_min[k];
    first[k] = {.lower = -1 - 2 * about.parameter_min[k] / width};
  }
  return bounds;
}

SurrogateVariance variance_of(const Surrogate& s, const LatentSettings& settings) {
  const std::int64_t first = std::max<std::int64_t>(settings.first_start, 0);
  const std::int64_t frames = settings.frames > 0 ? settings.frames : s.about.frames;
  const std::int64_t last = std::min(std::max<std::int64_t>(settings.last_start, 0) + frames, s.about.frames);
  const auto mean = [&](const Tensor& per_time, std::int64_t end) {
    const std::vector<double> values = per_time.rows(first, end).to_vector();
    std::vector<double> result(static_cast<std::size_t>(s.about.channels()), 0);
    for (std::size_t i = 0; i < values.size(); ++i)
      result[i % result.size()] += values[i] / static_cast<double>(end - first);
    return result;
  };
  return {mean(s.error_variance, last),
          last - first > 1 ? mean(s.between_variance, last - 1) : mean(s.error_variance, last)};
}

void check(const Surrogate& s, const LatentSettings& settings) {
  if (settings.first_start < -1 || settings.last_start < settings.first_start || settings.last_start >= s.about.frames)
    throw InputError(source, "starts",
                     fmt::format("frames {} to {}, and the data set has {}", settings.first_start, settings.last_start,
                                 s.about.frames));
  if (settings.frames < 0) throw InputError(source, "frames", fmt::format("{} are observed", settings.frames));
  if (!(settings.error_factor > 0)) throw InputError(source, "error_factor", "is not positive");
}

}  // namespace

std::vector<MemberOrigin> draw_origins(std::int64_t trajectories, std::int64_t count, std::int64_t first_start,
                                       std::int64_t last_start, Random random) {
  std::vector<MemberOrigin> origins;
  std::vector<std::int64_t> order;
  for (std::int64_t k = 0; k < count; ++k) {
    if (k % trajectories == 0) order = random.permutation(trajectories);
    const std::int64_t frame = first_start + random.below(last_start - first_start + 1);
    origins.push_back({.member = order[k % trajectories], .frame = frame});
  }
  return origins;
}

double SurrogateVariance::at(double frames, std::int64_t c) const {
  constexpr double resolution = 1e-6;  // of a frame, as in the latent model
  return std::abs(frames - std::round(frames)) <= resolution ? at_frames[c] : between[c];
}

LatentControl::LatentControl(const Surrogate& surrogate, LatentSettings settings)
    : surrogate_(surrogate), settings_(settings), model_(surrogate) {
  check(surrogate, settings);
  variance_ = variance_of(surrogate, settings);
  if (settings.parameters != ParameterRange::free)
    bounded_.emplace(model_, bounds_of(surrogate.about, settings.parameters, model_.controls()));
}

const ForwardModel& LatentControl::model() const {
  if (bounded_) return *bounded_;
  return model_;
}

Ensemble LatentControl::prior(std::int64_t members, Random random) const {
  const std::int64_t trajectories = surrogate_.training_latents.shape()[0];
  if (members > trajectories)
    throw InputError(source, "members",
                     fmt::format("{} members, but there are {} training trajectories", members, trajectories));
  return candidates(members, random);
}

Ensemble LatentControl::candidates(std::int64_t count, Random random) const {
  const std::int64_t trajectories = surrogate_.training_latents.shape()[0];
  if (settings_.first_start == settings_.last_start) count = std::min(count, trajectories);
  const Ensemble drawn = control_vectors(
      surrogate_, draw_origins(trajectories, count, settings_.first_start, settings_.last_start, random));
  return bounded_ ? bounded_->unbounded(drawn) : drawn;
}

std::unique_ptr<const ErrorCovariance> LatentControl::covariance(const Observations& o) const {
  check_columns(o, "observations");
  std::vector<double> variance(o.value.size(), 1.0);
  for (std::size_t i = 0; i < variance.size(); ++i)
    if (o.qc[i] == used) variance[i] = o.error_std[i] * o.error_std[i];
  return covariance(o, DiagonalCovariance(std::move(variance)));
}

std::unique_ptr<const ErrorCovariance> LatentControl::covariance(const Observations& o,
                                                                 const ErrorCovariance& errors) const {
  check_columns(o, "observations");
  const Surrogate& s = surrogate_;
  const std::vector<std::int64_t> positions = o.in_window(0, std::numeric_limits<double>::infinity());
  const std::vector<double> seen = Footprints(o.part(positions), s.about)
                                       .error_variance(s.field_mean, s.field_std, [&](std::int64_t k, std::int64_t c) {
                                         const double frames = o.time[positions[k]] / s.about.frame_interval;
                                         return variance_.at(frames, c) * s.field_std[c] * s.field_std[c];
                                       });
  std::vector<double> more(o.value.size(), 0.0);
  for (std::size_t k = 0; k < positions.size(); ++k) more[positions[k]] = seen[k];
  std::unique_ptr<ErrorCovariance> r = errors.plus(more);
  if (settings_.error_factor == 1) return r;
  std::vector<std::int64_t> all(more.size());
  std::iota(all.begin(), all.end(), 0);
  return r->part(all, std::vector<double>(all.size(), settings_.error_factor));
}

std::vector<double> LatentControl::walk(double step) const {
  if (step == 0) return {};
  step *= 2;  // a prior range is 2 long
  const std::int64_t parameters = surrogate_.about.parameters();
  std::vector<double> deviations(static_cast<std::size_t>(model_.controls()), 0.0);
  const auto first = deviations.end() - parameters;
  for (std::int64_t k = 0; k < parameters; ++k) {
    first[k] = step;
    if (!bounded_) continue;
    // The step of z that corresponds to it in the middle of the prior range, u = 0.
    const Bounds& b = bounded_->bounds()[bounded_->bounds().size() - parameters + k];
    first[k] = std::isfinite(b.upper) ? step * 4 / (b.upper - b.lower) : step / -b.lower;
  }
  return deviations;
}

Ensemble LatentControl::natural(const Ensemble& ensemble) const {
  return bounded_ ? bounded_->bounded(ensemble) : ensemble;
}

std::vector<double> LatentControl::parameters(const Ensemble& ensemble) const {
  return physical_parameters(surrogate_, natural(ensemble));
}

Tensor LatentControl::points(std::span<const double> x, std::span<const double> y) const {
  if (x.size() != y.size()) throw Error(fmt::format("{} coordinates x for {} coordinates y", x.size(), y.size()));
  std::vector<float> coordinates;
  for (std::size_t i = 0; i < x.size(); ++i) {
    coordinates.push_back(static_cast<float>(surrogate_.about.grid.normal_x(x[i])));
    coordinates.push_back(static_cast<float>(surrogate_.about.grid.normal_y(y[i])));
  }
  return Tensor::from(std::span<const float>(coordinates), {static_cast<std::int64_t>(x.size()), 2});
}

Tensor LatentControl::grid_points(std::int64_t stride) const {
  return models::grid_points(surrogate_.about.grid, stride);
}

std::vector<float> LatentControl::fields(const Ensemble& ensemble, const Tensor& points) const {
  std::vector<float> fields = decode_ensemble(surrogate_, natural(ensemble), points);
  const std::vector<double>& deviation = surrogate_.field_std;
  for (std::size_t i = 0; i < fields.size(); ++i) fields[i] *= static_cast<float>(deviation[i % deviation.size()]);
  return fields;
}

FieldMoments LatentControl::moments(const Ensemble& ensemble, const Tensor& points) const {
  return field_moments(surrogate_, natural(ensemble), points);
}

std::vector<double> physical_parameters(const Surrogate& s, const Ensemble& ensemble) {
  const std::int64_t d = s.net.architecture().latent;
  const std::int64_t p = s.net.architecture().parameters;
  return s.physical_parameters(autodiff::slice(Var(ensemble.members()), 1, d, p).value().to_vector());
}

FieldMoments field_moments(const Surrogate& s, const Ensemble& ensemble, const Tensor& points) {
  return field_moments(s, decode_ensemble(s, ensemble, points), ensemble.size());
}

FieldMoments field_moments(const Surrogate& s, std::span<const float> fields, std::int64_t n) {
  const std::int64_t c = s.about.channels();
  const std::int64_t values = static_cast<std::int64_t>(fields.size()) / n;
  const std::int64_t cells = values / c;
  FieldMoments moments{std::vector<float>(static_cast<std::size_t>(values)),
                       std::vector<float>(static_cast<std::size_t>(values))};
  for (std::int64_t i = 0; i < values; ++i) {
    double sum = 0;
    for (std::int64_t k = 0; k < n; ++k) sum += fields[k * values + i];
    const double mean = sum / static_cast<double>(n);
    double squares = 0;
    for (std::int64_t k = 0; k < n; ++k) squares += (fields[k * values + i] - mean) * (fields[k * values + i] - mean);
    const double deviation = s.field_std[i % c];
    moments.mean[i % c * cells + i / c] = static_cast<float>(mean * deviation);
    moments.spread[i % c * cells + i / c] =
        static_cast<float>(std::sqrt(squares / static_cast<double>(n - 1)) * deviation);
  }
  return moments;
}

std::vector<float> decode_fields(const Surrogate& s, const Tensor& states, const Tensor& points) {
  std::vector<float> fields = models::decode_states(s.net, states, points).to_floats();
  const std::size_t c = s.field_std.size();
  std::vector<float> offset;
  std::vector<float> scale;
  for (std::size_t k = 0; k < c; ++k) {
    offset.push_back(static_cast<float>(s.offset(k) / s.field_std[k]));
    scale.push_back(static_cast<float>(s.scale(k) / s.field_std[k]));  // 1 where it makes z-scores
  }
  for (std::size_t i = 0; i < fields.size(); ++i) fields[i] = offset[i % c] + scale[i % c] * fields[i];
  return fields;
}

std::vector<float> decode_ensemble(const Surrogate& s, const Ensemble& ensemble, const Tensor& points) {
  return decode_fields(
      s, autodiff::slice(Var(ensemble.members()), 1, 0, s.net.architecture().latent).value().to(DType::float32),
      points);
}

}  // namespace levda::da
