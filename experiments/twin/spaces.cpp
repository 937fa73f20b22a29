#include "experiments/twin/spaces.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autodiff/error.h"
#include "experiments/twin/full_state.h"

namespace levda::experiments {

using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;

namespace {

constexpr double widening = 0.05;  // of the prior range of bounded parameters, on either side

}  // namespace

LatentSpace::LatentSpace(const Config& config, const models::Surrogate& surrogate)
    : config_(config),
      surrogate_(surrogate),
      model_(surrogate),
      points_(models::grid_points(surrogate.about.grid, config.assimilation.score_stride)) {
  if (const std::size_t slopes = config.assimilation.surrogate_trend.size();
      slopes > 0 && static_cast<std::int64_t>(slopes) != surrogate.about.parameters())
    throw InputError("configuration", "assimilation.surrogate_trend",
                     fmt::format("{} numbers for {} parameters", slopes, surrogate.about.parameters()));
  if (config.assimilation.parameters == ParameterBounds::free) return;
  std::vector<da::Bounds> bounds(static_cast<std::size_t>(model_.controls()));
  const models::Description& about = surrogate.about;
  const auto first = bounds.end() - about.parameters();
  // -1 and 1 are the prior range.
  for (std::int64_t k = 0; k < about.parameters(); ++k) {
    if (config.assimilation.parameters == ParameterBounds::bounded) {
      first[k] = {.lower = -1 - 2 * widening, .upper = 1 + 2 * widening};
    } else {
      if (!(about.parameter_min[k] > 0))
        throw InputError("configuration", "assimilation.parameters",
                         fmt::format("positive, but the prior range of {} begins at {}", about.parameter_names[k],
                                     about.parameter_min[k]));
      const double range = about.parameter_max[k] - about.parameter_min[k];
      first[k] = {.lower = -1 - 2 * about.parameter_min[k] / range};
    }
  }
  bounded_.emplace(model_, std::move(bounds));
}

const da::ForwardModel& LatentSpace::model() const {
  if (bounded_) return *bounded_;
  return model_;
}

da::Ensemble LatentSpace::prior(const std::string& experiment, std::int64_t truth_index) const {
  const da::Ensemble drawn = draw_prior(config_, surrogate_, experiment, truth_index);
  return bounded_ ? bounded_->unbounded(drawn) : drawn;
}

std::optional<da::Ensemble> LatentSpace::candidates(const std::string& experiment, std::int64_t truth_index,
                                                    std::int64_t count) const {
  if (count == 0) return {};
  const da::Ensemble drawn = draw_candidates(config_, surrogate_, experiment, truth_index, count);
  return bounded_ ? bounded_->unbounded(drawn) : drawn;
}

da::Ensemble LatentSpace::natural(const da::Ensemble& ensemble) const {
  return bounded_ ? bounded_->bounded(ensemble) : ensemble;
}

std::vector<double> LatentSpace::walk() const {
  const double step = 2 * config_.assimilation.parameter_walk;  // a prior range is 2 long
  if (step == 0) return {};
  std::vector<double> deviations(static_cast<std::size_t>(model_.controls()), 0.0);
  const auto first = deviations.end() - surrogate_.about.parameters();
  for (std::int64_t k = 0; k < surrogate_.about.parameters(); ++k) {
    first[k] = step;
    if (!bounded_) continue;
    // In z as many as that is in the middle of the prior range, u = 0.
    const da::Bounds& b = bounded_->bounds()[bounded_->bounds().size() - surrogate_.about.parameters() + k];
    first[k] = std::isfinite(b.upper) ? step * 4 / (b.upper - b.lower) : step / -b.lower;
  }
  return deviations;
}

std::unique_ptr<const da::ErrorCovariance> LatentSpace::covariance(const ObservationFile& observations) const {
  const SurrogateVariance own = surrogate_variance(config_, surrogate_, observations.experiment);
  const models::Surrogate& s = surrogate_;
  std::unique_ptr<da::ErrorCovariance> r =
      error_covariance(observations, s.about, s.field_mean, s.field_std, [&](std::int64_t i, std::int64_t c) {
        return own.at(observations.observations.time[i] / s.about.frame_interval, c) * s.field_std[c] * s.field_std[c];
      });
  const double factor = config_.assimilation.error_factor;
  if (factor == 1) return r;
  std::vector<std::int64_t> all(static_cast<std::size_t>(r->size()));
  std::iota(all.begin(), all.end(), 0);
  return r->part(all, std::vector<double>(all.size(), factor));
}

std::vector<double> LatentSpace::model_error(const std::string& experiment, const da::Ensemble& ensemble) const {
  const std::vector<double>& trend = config_.assimilation.surrogate_trend;
  double growth = 0;
  if (!trend.empty()) {
    const auto p = static_cast<std::size_t>(surrogate_.about.parameters());
    const std::vector<double> u = surrogate_.normal_parameters(parameters(ensemble));
    for (std::size_t k = 0; k < p; ++k) {
      double mean = 0;
      for (std::size_t i = k; i < u.size(); i += p) mean += u[i] / static_cast<double>(ensemble.size());
      growth += trend[k] * std::clamp(mean, -1.0, 1.0);  // it was fitted there
    }
  }
  std::vector<double> variance = surrogate_variance(config_, surrogate_, experiment).at_frames;
  for (double& value : variance) value *= config_.assimilation.surrogate_factor * std::exp(growth);
  return variance;
}

std::vector<float> LatentSpace::fields(const da::Ensemble& ensemble) const {
  return decode_ensemble(surrogate_, natural(ensemble), points_);
}

std::vector<double> LatentSpace::parameters(const da::Ensemble& ensemble) const {
  return physical_parameters(surrogate_, natural(ensemble));
}

FullSpace::FullSpace(const Config& config, const models::Surrogate& surrogate, const Dataset& data,
                     const Moments& moments)
    : config_(config), surrogate_(surrogate), data_(data), model_(solver_model(config, data, moments)) {}

da::Ensemble FullSpace::prior(const std::string& experiment, std::int64_t truth_index) const {
  return draw_full_prior(config_, data_, model_, experiment, truth_index);
}

std::unique_ptr<const da::ErrorCovariance> FullSpace::covariance(const ObservationFile& observations) const {
  return error_covariance(observations);
}

std::vector<double> FullSpace::model_error(const std::string&, const da::Ensemble&) const {
  return std::vector<double>(surrogate_.field_std.size(), 0.0);
}

std::vector<float> FullSpace::fields(const da::Ensemble& ensemble) const {
  const std::vector<float> states = model_.states(ensemble.members());
  const models::Grid& grid = data_.about.grid;
  const std::int64_t stride = config_.assimilation.score_stride;
  const std::int64_t values =
      (grid.nx + stride - 1) / stride * ((grid.ny + stride - 1) / stride) * data_.about.channels();
  std::vector<float> fields(static_cast<std::size_t>(ensemble.size() * values));
  for (std::int64_t k = 0; k < ensemble.size(); ++k)
    scored_values(std::span(states).subspan(static_cast<std::size_t>(k * data_.frame_size()),
                                            static_cast<std::size_t>(data_.frame_size())),
                  grid, stride, surrogate_.field_std, fields.data() + k * values);
  return fields;
}

std::vector<double> FullSpace::parameters(const da::Ensemble& ensemble) const {
  return model_.parameters(ensemble.members());
}

void scored_values(std::span<const float> field, const models::Grid& grid, std::int64_t stride,
                   const std::vector<double>& deviation, float* out) {
  for (std::int64_t j = 0; j < grid.ny; j += stride)
    for (std::int64_t i = 0; i < grid.nx; i += stride)
      for (std::size_t c = 0; c < deviation.size(); ++c)
        *out++ =
            field[static_cast<std::int64_t>(c) * grid.cells() + j * grid.nx + i] / static_cast<float>(deviation[c]);
}

std::vector<double> physical_parameters(const models::Surrogate& s, const da::Ensemble& ensemble) {
  const std::int64_t d = s.net.architecture().latent;
  const std::int64_t p = s.net.architecture().parameters;
  return s.physical_parameters(autodiff::slice(Var(ensemble.members()), 1, d, p).value().to_vector());
}

FieldMoments field_moments(const models::Surrogate& s, const da::Ensemble& ensemble, const Tensor& points) {
  return field_moments(s, decode_ensemble(s, ensemble, points), ensemble.size());
}

FieldMoments field_moments(const models::Surrogate& s, std::span<const float> fields, std::int64_t n) {
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

std::vector<float> decode_fields(const models::Surrogate& s, const Tensor& states, const Tensor& points) {
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

std::vector<float> decode_ensemble(const models::Surrogate& s, const da::Ensemble& ensemble, const Tensor& points) {
  return decode_fields(
      s, autodiff::slice(Var(ensemble.members()), 1, 0, s.net.architecture().latent).value().to(DType::float32),
      points);
}

}  // namespace levda::experiments
