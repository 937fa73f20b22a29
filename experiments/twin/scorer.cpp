#include "experiments/twin/scorer.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <chrono>

#include "autodiff/error.h"
#include "autodiff/streams.h"
#include "experiments/twin/control_space.h"

namespace levda::experiments {

using autodiff::Random;
using autodiff::Tensor;

Scorer::Scorer(const Config& config, const models::Surrogate& s, const Dataset& data, const ObservationFile& file,
               const TrainingTable* table)
    : config_(config),
      surrogate_(s),
      data_(data),
      file_(file),
      table_(table),
      truth_(file.truth.value()),
      cold_(file.experiment == "cold"),
      frames_(config.assimilation.frames),
      forecast_(config.assimilation.forecast),
      points_(models::grid_points(s.about.grid, config.assimilation.score_stride)),
      areas_(models::grid_areas(s.about.grid, config.assimilation.score_stride)),
      no_error_(s.field_std.size(), 0.0) {
  values_ = points_.shape()[0] * s.about.channels();
  if (truth_.member >= data.members() || truth_.first_frame() + frames_ + forecast_ > data.about.frames)
    throw InputError(
        "observations", "truth_member",
        fmt::format("member {} from frame {} is not in the data set", truth_.member, truth_.first_frame()));
  true_fields_.resize(static_cast<std::size_t>((frames_ + forecast_) * values_));
  for (std::int64_t t = 0; t < frames_ + forecast_; ++t)
    scored_values(data.frame(truth_.member, truth_.first_frame() + t), s.about.grid, config.assimilation.score_stride,
                  s.field_std, true_fields_.data() + t * values_);
}

std::span<const float> Scorer::true_fields(std::int64_t time) const {
  return std::span(true_fields_).subspan(static_cast<std::size_t>(time * values_), static_cast<std::size_t>(values_));
}

std::span<const double> Scorer::last_parameters(std::int64_t member, std::int64_t first) const {
  return data_.parameters_at(member, first + frames_ - 1);
}

MethodScores Scorer::score(const Fields& fields, std::span<const double> model_error,
                           const std::vector<double>& parameters, Draws draws) const {
  MethodScores scores;
  const std::uint32_t stream = streams::score_members + 10 * (cold_ ? 0U : 1U) + static_cast<std::uint32_t>(draws);
  std::vector<std::vector<float>> members;
  for (std::int64_t t = 0; t < frames_ + forecast_; ++t) members.push_back(fields(t));
  scores.frames.resize(static_cast<std::size_t>(frames_));
  scores.forecast.resize(static_cast<std::size_t>(forecast_));
  oneapi::tbb::parallel_for(std::int64_t{0}, frames_ + forecast_, [&](std::int64_t t) {
    const bool later = t >= frames_;
    const std::int64_t step = later ? truth_.index * forecast_ + t - frames_ : truth_.index * frames_ + t;
    Random random(static_cast<std::uint64_t>(config_.seed), stream + (later ? streams::forecast_scores : 0U),
                  static_cast<std::uint32_t>(step));
    da::FieldScores& own = later ? scores.forecast[t - frames_] : scores.frames[t];
    own.add(members[t], true_fields(t), model_error, random, areas_);
  });
  if (parameters.empty()) return scores;
  const models::Description& about = surrogate_.about;
  const std::span<const double> truth = last_parameters(truth_.member, truth_.first_frame());
  const auto p = static_cast<std::size_t>(about.parameters());
  for (std::size_t k = 0; k < p; ++k) {
    std::vector<double> one;
    for (std::size_t i = k; i < parameters.size(); i += p) one.push_back(parameters[i]);
    scores.parameters.push_back(da::score_parameter(one, truth[k], about.parameter_max[k] - about.parameter_min[k]));
  }
  return scores;
}

MethodScores Scorer::floor() const {
  const models::Surrogate& s = surrogate_;
  const std::vector<double> u = s.normal_parameters(data_.parameters_of(truth_.member));
  const Tensor latents = models::latent_trajectories(s.net, u, 1, s.about.frames);
  const Tensor states = latents.reshaped({s.about.frames, latents.shape()[2]});
  return score(
      [&](std::int64_t t) {
        const std::int64_t frame = truth_.first_frame() + t;
        return da::decode_fields(s, states.rows(frame, frame + 1), points_);
      },
      no_error_, {}, Draws::floor);
}

std::vector<float> Scorer::training_fields(std::int64_t first, std::int64_t last, std::int64_t frame) const {
  std::vector<float> fields(static_cast<std::size_t>((last - first) * values_));
  oneapi::tbb::parallel_for(first, last, [&](std::int64_t member) {
    float* const to = fields.data() + (member - first) * values_;
    if (table_ != nullptr) {
      const std::span<const float> own = table_->values(member, frame);
      std::copy(own.begin(), own.end(), to);
      return;
    }
    scored_values(data_.frame(member, frame), surrogate_.about.grid, config_.assimilation.score_stride,
                  surrogate_.field_std, to);
  });
  return fields;
}

MethodScores Scorer::climatology() const {
  std::vector<double> parameters;
  for (std::int64_t member = 0; member < data_.train; ++member) {
    const std::span<const double> own = last_parameters(member, truth_.first_frame());
    parameters.insert(parameters.end(), own.begin(), own.end());
  }
  return score([&](std::int64_t t) { return training_fields(0, data_.train, truth_.first_frame() + t); }, no_error_,
               parameters, Draws::climatology);
}

MethodScores Scorer::lookup() const {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  const auto training = static_cast<std::size_t>(data_.train * data_.about.frames * data_.frame_size());
  const da::Analogue fit = table_ != nullptr
                               ? table_->fit(file_)
                               : lookup_fit(config_, surrogate_, file_, std::span(data_.fields).first(training));
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const std::int64_t first = cold_ ? 0 : fit.start;
  const std::span<const double> found = last_parameters(fit.member, first);
  MethodScores scores = score([&](std::int64_t t) { return training_fields(fit.member, fit.member + 1, first + t); },
                              no_error_, {found.begin(), found.end()}, Draws::lookup);
  scores.seconds = seconds;
  return scores;
}

MethodScores Scorer::persistence() const {
  const auto fields = [&](std::int64_t t) {
    const std::int64_t every = config_.observations.every;
    if (t > 0) {
      const std::span<const float> last = true_fields((std::min(t, frames_) - 1) / every * every);
      return std::vector<float>(last.begin(), last.end());
    }
    const std::vector<float> training = training_fields(0, data_.train, truth_.first_frame());
    std::vector<float> mean(static_cast<std::size_t>(values_));
    for (std::size_t i = 0; i < mean.size(); ++i) {
      double sum = 0;
      for (std::size_t k = i; k < training.size(); k += mean.size()) sum += training[k];
      mean[i] = static_cast<float>(sum / static_cast<double>(data_.train));
    }
    return mean;
  };
  return score(fields, no_error_, {});
}

}  // namespace levda::experiments
