#include "models/ldnet_training.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "nn/adam.h"
#include "nn/soap.h"

namespace levda::models {

using autodiff::Backend;
using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

std::string text_of(const NetworkSettings& n, const TrainingSettings& t) {
  return fmt::format(
             "latent = {}\nlatent_dt = {}\nfourier_features = {}\nfourier_scale = {}\nfourier_init = {}\n"
             "fourier_trainable = {}\nembedding = {}\ndynamics = {} {} {}\ndecoder = {} {} {}\nfield_min = {}\n"
             "field_max = {}\n",
             n.latent, n.latent_dt, n.fourier_features, n.fourier_scale, name_of(n.fourier_init), n.fourier_trainable,
             name_of(n.embedding), n.dynamics_depth, n.dynamics_width, name_of(n.dynamics_layers), n.decoder_depth,
             n.decoder_width, name_of(n.decoder_layers), n.field_min, n.field_max) +
         fmt::format(
             "seed = {}\noptimiser = {}\nsteps = {}\ntrajectories = {}\npoints = {}\nbetween = {}\nrate = {}\n"
             "clip = {}\ntile = {}\nvalidate_every = {}\nschedule = {} {} {}\ndraw = {}\nfinetune = {} {}\n",
             t.seed, name_of(t.optimiser), t.steps, t.trajectories, t.points, t.between, t.rate, t.clip, t.tile,
             t.validate_every, name_of(t.schedule), t.decay, t.decay_epochs, name_of(t.draw), t.finetune_steps,
             t.finetune_rate);
}

LdnetArchitecture architecture_of(const NetworkSettings& network, const Description& about) {
  LdnetArchitecture a = network;
  a.parameters = about.parameters();
  a.channels = about.channels();
  a.geometry = network.embedding == Embedding::natural ? about.grid.geometry : Geometry::plane;
  if (a.latent_dt == 0) a.latent_dt = 4 / static_cast<double>(about.frames);
  const bool uniform = a.fourier_init == nn::FourierFeatures::Draw::uniform;
  if (a.geometry == Geometry::torus && a.fourier_features > 0 && (uniform || a.fourier_trainable))
    throw InputError("configuration", uniform ? "surrogate.fourier_init" : "surrogate.fourier_trainable",
                     "such frequencies do not have the period of the domain; surrogate.embedding = plane does without");
  return a;
}

nn::Schedule schedule_of(const TrainingSettings& settings, std::int64_t trajectories) {
  if (settings.schedule == RateSchedule::cosine)
    return nn::CosineSchedule{.rate = settings.rate, .steps = settings.steps};
  return nn::StepSchedule{.rate = settings.rate,
                          .every = settings.decay_epochs * (trajectories / settings.trajectories),
                          .gamma = settings.decay};
}

std::int64_t tile_of(const LdnetArchitecture& a, const TrainingSettings& settings, std::int64_t points,
                     const Backend& backend) {
  if (!backend.prefers_large_batches()) return settings.tile;
  constexpr std::int64_t most = std::int64_t{1} << 30;  // bytes of activations
  constexpr std::int64_t copies = 4;
  const std::int64_t values = a.decoder_width * a.decoder_depth + a.features() + a.latent;  // of a row
  return std::max<std::int64_t>(1, most / (points * values * copies * static_cast<std::int64_t>(sizeof(float))));
}

namespace {

/// The range of the values that become -1 and 1.
std::optional<Scaling> scaling_of(const NetworkSettings& network, const Description& about) {
  const std::size_t c = network.field_min.size();
  if (c == 0 && network.field_max.empty()) return std::nullopt;
  if (c != about.channel_names.size() || network.field_max.size() != c)
    throw InputError("configuration", "surrogate.field_min",
                     fmt::format("{} numbers for {} channels", c, about.channel_names.size()));
  Scaling scaling;
  for (std::size_t k = 0; k < c; ++k) {
    scaling.offset.push_back(0.5 * (network.field_min[k] + network.field_max[k]));
    scaling.scale.push_back(0.5 * (network.field_max[k] - network.field_min[k]));
    if (!(scaling.scale[k] > 0) || !std::isfinite(scaling.scale[k]))
      throw InputError("configuration", "surrogate.field_max",
                       fmt::format("{} is not above {}", network.field_max[k], network.field_min[k]));
  }
  return scaling;
}

/// With random weights, on the device.
Surrogate untrained(const Dataset& data, const NetworkSettings& network, const TrainingSettings& settings,
                    Backend& device) {
  for (const auto& [field, value] : {std::pair{"steps", settings.steps},
                                     {"trajectories", settings.trajectories},
                                     {"points", settings.points},
                                     {"between", settings.between},
                                     {"tile", settings.tile},
                                     {"decay_epochs", settings.decay_epochs}})
    if (value < 1)
      throw InputError("configuration", fmt::format("training.{}", field), fmt::format("{} is not positive", value));
  const auto number = [](const char* key, double value, bool good) {
    if (!good || !std::isfinite(value)) throw InputError("configuration", key, fmt::format("is {}", value));
  };
  number("surrogate.latent_dt", network.latent_dt, network.latent_dt >= 0);
  number("training.rate", settings.rate, settings.rate > 0);
  if (!(settings.clip > 0)) throw InputError("configuration", "training.clip", fmt::format("is {}", settings.clip));
  number("training.decay", settings.decay, settings.decay > 0);
  number("training.finetune_rate", settings.finetune_rate, settings.finetune_rate > 0);
  if (settings.finetune_steps < 0)
    throw InputError("configuration", "training.finetune_steps", fmt::format("is {}", settings.finetune_steps));
  if (data.train < settings.trajectories)
    throw InputError(
        "configuration", "training.trajectories",
        fmt::format("{}, but the data set has {} training trajectories", settings.trajectories, data.train));
  Moments moments = field_moments(data);
  const std::int64_t p = data.about.parameters();
  const std::span<const double> prior = std::span(data.parameters)
                                            .first(data.parameters.size() / static_cast<std::size_t>(data.members()) *
                                                   static_cast<std::size_t>(data.train));
  Surrogate s{
      .about = data.about,
      .net = Ldnet(architecture_of(network, data.about), static_cast<std::uint64_t>(settings.seed)),
      .field_mean = std::move(moments.mean),
      .field_std = std::move(moments.deviation),
      .training_parameters = Tensor::from(
          prior, data.varying ? autodiff::Shape{data.train, data.about.frames, p} : autodiff::Shape{data.train, p}),
      .training_latents = {},
      .error_variance = {},
      .between_variance = {},
      .provenance = {},
      .scaling = scaling_of(network, data.about)};
  s.net.parameters().move(device);
  return s;
}

/// The dynamics' weights are trained, or not.
void train_dynamics(nn::Parameters& parameters, bool trainable) {
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (parameters.name(i).starts_with("dynamics.")) parameters.set_trainable(i, trainable);
}

std::unique_ptr<nn::Optimiser> make_optimiser(OptimiserChoice choice, const nn::Parameters& parameters) {
  if (choice == OptimiserChoice::adam) return std::make_unique<nn::Adam>(parameters);
  return std::make_unique<nn::Soap>(parameters);
}

/// Latent trajectories of a batch from rest: (frames x trajectories, d).
Var rolled_out(const Ldnet& net, const Vars& w, const Batch& batch, std::int64_t trajectories, std::int64_t frames) {
  Vars u;
  for (std::int64_t frame = 0; frame < frames; ++frame) {
    const std::int64_t time = std::min(frame, batch.u.shape()[0] - 1);
    u.emplace_back(batch.u.rows(time, time + 1).reshaped(batch.u.shape().part(1, 3)));
  }
  const std::int64_t d = net.architecture().latent;
  const Var s0(Tensor::zeros({trajectories, d}, DType::float32, batch.frames.y.backend()));
  return reshape(net.trajectory(w, u, s0), {frames * trajectories, d});
}

/// The later stage trains the decoder alone.
int last_stage(const TrainingSettings& settings) { return settings.finetune_steps > 0 ? 1 : 0; }

}  // namespace

LdnetTraining::LdnetTraining(const Dataset& data, const NetworkSettings& network, const TrainingSettings& settings,
                             const TrainingOptions& options)
    : data_(data),
      settings_(settings),
      options_(options),
      surrogate_(untrained(data, network, settings, *options.backend)),
      batches_(settings, data, surrogate_, *options.backend, options.placement),
      checkpoint_(options.checkpoint, options.configuration.empty() ? text_of(network, settings) + data.fingerprint
                                                                    : options.configuration),
      first_stage_(checkpoint_.stage()),
      quick_error_(data, data.train, data.train + std::min<std::int64_t>(data.valid, 8)) {
  if (first_stage_ > last_stage(settings))
    throw InputError(options.checkpoint.string(), "stage",
                     fmt::format("{}, where the last one is {}", first_stage_, last_stage(settings)));
  nn::Parameters& weights = surrogate_.net.parameters();
  train_dynamics(weights, first_stage_ == 0);
  optimiser_ = make_optimiser(settings.optimiser, weights);
  seconds_ = checkpoint_.restore(weights, *optimiser_);
  steps_before_ = first_stage_ * settings.steps + optimiser_->steps();
}

double LdnetTraining::rows() const {
  std::int64_t values = data_.about.frames * settings_.points;  // of a trajectory
  if (data_.between.points > 0) values += (data_.about.frames - 1) * settings_.between;
  return static_cast<double>(settings_.trajectories * values);
}

double LdnetTraining::seconds_of_a_step() {
  batches_.select(steps_before_);
  const auto begin = std::chrono::steady_clock::now();
  loss(nullptr);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Mean squared error of the selected batch and its gradient. latents: of all training trajectories, (trajectories x
/// frames, d), where they are given.
nn::LossAndGradients LdnetTraining::loss(const Tensor* latents) const {
  const Ldnet& net = surrogate_.net;
  const Batch batch = batches_.batch();
  Backend& backend = batch.frames.y.backend();
  autodiff::Tape tape;
  const Vars w = net.parameters().on(tape);
  const Var s = latents != nullptr ? Var(gather(Var(*latents), 0, batches_.states()).value())
                                   : rolled_out(net, w, batch, settings_.trajectories, data_.about.frames);
  const auto error = [&](const Var& states, const Samples& samples) {
    const std::int64_t tile = tile_of(net.architecture(), settings_, samples.x.shape()[1], backend);
    return decoding_error(net, w, states, Var(samples.x), Var(samples.y), tile, samples.mask);
  };
  Var total = error(s, batch.frames);
  if (batch.between) {
    const double n = batch.frames.count();
    const double m = batch.between->count();
    total = (n / (n + m)) * total +
            (m / (n + m)) * error(between_states(s, batch.fraction, settings_.trajectories), *batch.between);
  }
  Vars trainable;
  for (const Var& weight : w)
    if (weight.tracked()) trainable.push_back(weight);
  nn::LossAndGradients result{.value = total.value(), .gradients = {}};
  for (const Var& gradient : autodiff::vjp(total, Var(Tensor::full({}, 1, DType::float32, backend)), trainable))
    result.gradients.push_back(gradient.value());
  return result;
}

Tensor LdnetTraining::latents_of_prior() const {
  const std::vector<double> prior = surrogate_.training_parameters.to_vector();
  return latent_trajectories(surrogate_.net, surrogate_.normal_parameters(prior), data_.train, data_.about.frames);
}

void LdnetTraining::train_stage(int stage) {
  nn::Parameters& weights = surrogate_.net.parameters();
  if (stage > first_stage_) {
    train_dynamics(weights, false);
    optimiser_ = make_optimiser(settings_.optimiser, weights);
  }
  nn::TrainingSettings settings{.steps = settings_.steps,
                                .schedule = schedule_of(settings_, data_.train),
                                .clip = settings_.clip,
                                .validate_every = settings_.validate_every,
                                .read_every = options_.backend->prefers_large_batches() ? 50 : 1,
                                .checkpoint_seconds = options_.checkpoint_seconds,
                                .progress = options_.progress};
  Tensor latents;
  if (stage == 1) {
    settings.steps = settings_.finetune_steps;
    settings.schedule = nn::CosineSchedule{.rate = settings_.finetune_rate, .steps = settings_.finetune_steps};
    settings.name = "fine-tune";
    latents = latents_of_prior()
                  .reshaped({data_.train * data_.about.frames, surrogate_.net.architecture().latent})
                  .to(*options_.backend);
  }
  const double before = seconds_;
  const std::int64_t first = stage * settings_.steps;
  nn::TrainingTask task{.select = [&](std::int64_t step) { batches_.select(first + step); },
                        .loss = [&] { return loss(stage == 1 ? &latents : nullptr); },
                        .recordable = !batches_.missing(),
                        .validate = [&] { return quick_error_(surrogate_); },
                        .stop = options_.stop};
  if (!options_.checkpoint.empty())
    task.checkpoint = [&](double so_far) { checkpoint_.save(weights, *optimiser_, before + so_far, stage); };
  if (options_.report)
    task.report = [&](nn::TrainingReport report) {
      report.step += first;
      report.seconds += before;
      options_.report(report);
    };
  const nn::TrainingResult result = nn::train(weights, *optimiser_, settings, task);
  if (!result.finished)
    throw Interrupted(fmt::format("stopped after {} of {} steps of the training{}", first + optimiser_->steps(),
                                  steps(), task.checkpoint ? "; the same command goes on from there" : ""));
  seconds_ += result.seconds;
}

void LdnetTraining::measure() {
  Surrogate& s = surrogate_;
  const std::int64_t valid = data_.train;
  const std::int64_t test = data_.first_test();
  s.training_latents = latents_of_prior();
  s.error_variance = error_variance(s, data_, valid, test);
  s.between_variance = between_variance(s, data_, valid, test, s.error_variance);
  s.provenance = {{"levda_configuration", checkpoint_.configuration()},
                  {"seed", fmt::format("{}", settings_.seed)},
                  {"train_seconds", fmt::format("{:.1f}", seconds_)},
                  {"test_rel_rmse", fmt::format("{:.6f}", surrogate_error(s, data_, test, data_.members()))}};
  if (data_.between.points > 0)
    s.provenance["test_rel_rmse_between"] =
        fmt::format("{:.6f}", surrogate_error_between(s, data_, test, data_.members()));
  const Backend& backend = *options_.backend;
  if (backend.device() != autodiff::Device::cpu) s.provenance["device"] = backend.description();
}

Surrogate LdnetTraining::run() {
  for (int stage = first_stage_; stage <= last_stage(settings_); ++stage) train_stage(stage);
  train_dynamics(surrogate_.net.parameters(), true);
  measure();
  surrogate_.net.parameters().move(autodiff::cpu());
  return std::move(surrogate_);
}

Surrogate train_surrogate(const Dataset& data, const NetworkSettings& network, const TrainingSettings& settings,
                          const TrainingOptions& options) {
  return LdnetTraining(data, network, settings, options).run();
}

}  // namespace levda::models
