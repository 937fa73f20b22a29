#include "experiments/twin/control_space.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autodiff/error.h"
#include "autodiff/streams.h"
#include "experiments/twin/full_state.h"

namespace levda::experiments {

namespace {

da::LatentSettings latent_settings(const Config& config, const std::string& experiment) {
  const AssimilationConfig& a = config.assimilation;
  const bool cold = experiment == "cold";
  return {.first_start = cold ? -1 : a.start_min,
          .last_start = cold ? -1 : a.start_max,
          .frames = a.frames,
          .parameters = a.parameters,
          .error_factor = a.error_factor};
}

}  // namespace

LatentSpace::LatentSpace(const Config& config, const models::Surrogate& surrogate)
    : config_(config),
      surrogate_(surrogate),
      cold_(surrogate, latent_settings(config, "cold")),
      warm_(surrogate, latent_settings(config, "warm")),
      points_(warm_.grid_points(config.assimilation.score_stride)) {
  if (const std::size_t slopes = config.assimilation.surrogate_trend.size();
      slopes > 0 && static_cast<std::int64_t>(slopes) != surrogate.about.parameters())
    throw InputError("configuration", "assimilation.surrogate_trend",
                     fmt::format("{} numbers for {} parameters", slopes, surrogate.about.parameters()));
}

da::Ensemble LatentSpace::prior(const std::string& experiment, std::int64_t truth) const {
  return of(experiment)
      .prior(config_.assimilation.members, random_for(config_, streams::prior_members, experiment, truth));
}

std::optional<da::Ensemble> LatentSpace::candidates(const std::string& experiment, std::int64_t truth,
                                                    std::int64_t count) const {
  if (count == 0) return {};
  return of(experiment).candidates(count, random_for(config_, streams::candidate_members, experiment, truth));
}

std::unique_ptr<const da::ErrorCovariance> LatentSpace::covariance(const ObservationFile& file) const {
  return of(file.experiment).covariance(file.observations, *error_covariance(file));
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
      growth += trend[k] * std::clamp(mean, -1.0, 1.0);  // the range of the fit
    }
  }
  std::vector<double> variance = of(experiment).surrogate_variance().at_frames;
  for (double& value : variance) value *= config_.assimilation.surrogate_factor * std::exp(growth);
  return variance;
}

std::vector<float> LatentSpace::fields(const da::Ensemble& ensemble) const {
  return da::decode_ensemble(surrogate_, natural(ensemble), points_);
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

}  // namespace levda::experiments
