#include "experiments/encoder_training.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <cmath>

#include "autodiff/error.h"
#include "autodiff/random.h"
#include "autodiff/tiled_sum.h"
#include "experiments/checkpoint.h"
#include "experiments/interrupted.h"
#include "experiments/twin.h"
#include "experiments/version.h"
#include "nn/training.h"

namespace levda::experiments {

using autodiff::Backend;
using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

namespace {

constexpr std::uint32_t noise_stream = 1000;  // of the encoder's seed; the member is added

/// What the encoder sees of some members and what it is to say, both float32 with the members outermost.
struct Sequences {
  std::int64_t first = 0;       // member
  std::vector<float> observed;  // (members, frames, m), normalised
  std::vector<float> target;    // (members, frames, d + p)
};

std::vector<float> targets(const models::Surrogate& s, const Dataset& data, std::int64_t first, std::int64_t last) {
  const std::int64_t frames = data.about.frames;
  std::vector<double> u;
  for (std::int64_t member = first; member < last; ++member) {
    const std::vector<double> own = s.normal_parameters(data.parameters_of(member));
    u.insert(u.end(), own.begin(), own.end());
  }
  const std::vector<float> latents = models::latent_trajectories(s.net, u, last - first, frames).to_floats();
  const std::int64_t d = s.net.architecture().latent;
  const std::int64_t p = data.about.parameters();
  std::vector<float> result;
  for (std::int64_t row = 0; row < (last - first) * frames; ++row) {
    result.insert(result.end(), latents.begin() + row * d, latents.begin() + (row + 1) * d);
    const std::int64_t from = data.varying ? row : row / frames;
    for (std::int64_t k = 0; k < p; ++k) result.push_back(static_cast<float>(u[from * p + k]));
  }
  return result;
}

Sequences sequences(const models::TrainedEncoder& encoder, const models::Surrogate& s, const Dataset& data,
                    std::int64_t first, std::int64_t last) {
  Sequences result{.first = first, .observed = {}, .target = targets(s, data, first, last)};
  const std::vector<std::int64_t> cells = encoder.sensors.cells(data.about.grid);
  std::vector<double> values;
  for (std::int64_t member = first; member < last; ++member)
    for (std::int64_t frame = 0; frame < data.about.frames; ++frame) {
      const std::span<const float> field = data.frame(member, frame);
      values.clear();
      for (const std::int64_t cell : cells)
        for (std::int64_t c = 0; c < data.about.channels(); ++c) {
          values.push_back(field[c * data.about.grid.cells() + cell]);
          if (std::isnan(values.back()))
            throw InputError("data set", "field",
                             fmt::format("member {}, frame {}, channel {}: missing at a sensor, and the encoder needs "
                                         "all values; choose other observations.sensors",
                                         member, frame, data.about.channel_names[c]));
        }
      for (const double value : encoder.normal_observations(values))
        result.observed.push_back(static_cast<float>(value));
    }
  return result;
}

/// The observations with errors of the step.
std::vector<float> noisy(const Sequences& sequences, std::int64_t members, double noise, std::int64_t seed,
                         std::int64_t step) {
  std::vector<float> values = sequences.observed;
  if (noise == 0) return values;
  const auto each = static_cast<std::int64_t>(values.size()) / members;
  oneapi::tbb::parallel_for(std::int64_t{0}, members, [&](std::int64_t row) {
    autodiff::Random random(static_cast<std::uint64_t>(seed),
                            noise_stream + static_cast<std::uint32_t>(sequences.first + row),
                            static_cast<std::uint32_t>(step));
    for (std::int64_t i = row * each; i < (row + 1) * each; ++i)
      values[i] += static_cast<float>(noise * random.normal());
  });
  return values;
}

EncoderErrors errors(const models::TrainedEncoder& encoder, const Sequences& sequences, std::int64_t members,
                     std::int64_t frames, double noise, std::int64_t seed) {
  const models::EncoderArchitecture& a = encoder.net.architecture();
  const Vars weights = encoder.net.parameters().constants();
  const std::vector<float> observed = noisy(sequences, members, noise, seed, 0);
  const Var input(Tensor::from(std::span<const float>(observed), {members, frames, a.observed}, DType::float32,
                               weights[0].value().backend()));
  const std::vector<float> found =
      transpose(encoder.net.encode(weights, transpose(input, {1, 0, 2})), {1, 0, 2}).value().to_floats();
  double latent_error = 0;
  double latent_square = 0;
  double parameter_error = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double truth = sequences.target[i];
    const double error = found[i] - truth;
    if (static_cast<std::int64_t>(i) % a.outputs() < a.latent) {
      latent_error += error * error;
      latent_square += truth * truth;
    } else {
      parameter_error += error * error;
    }
  }
  const auto parameters = static_cast<double>(members * frames * a.parameters);
  return {.latent = std::sqrt(latent_error / latent_square),
          .parameter = std::sqrt(parameter_error / parameters) / 2};  // the range is [-1, 1]
}

/// Per component over all members and frames. A component that is constant keeps the unit 1.
void normalise_targets(const Sequences& training, models::ObservationEncoder& net) {
  const auto outputs = static_cast<std::size_t>(net.architecture().outputs());
  const auto rows = static_cast<double>(training.target.size() / outputs);
  std::vector<double> mean(outputs, 0.0);
  std::vector<double> deviation(outputs, 0.0);
  for (std::size_t i = 0; i < training.target.size(); ++i) mean[i % outputs] += training.target[i] / rows;
  for (std::size_t i = 0; i < training.target.size(); ++i)
    deviation[i % outputs] += std::pow(training.target[i] - mean[i % outputs], 2) / rows;
  constexpr double least = 1e-6;  // of the mean: beyond that it is float32's rounding
  for (std::size_t k = 0; k < outputs; ++k) {
    deviation[k] = std::sqrt(deviation[k]);
    if (!(deviation[k] > least * std::abs(mean[k]))) deviation[k] = 1;
  }
  net.set_targets(mean, deviation);
}

/// Mean squared error and its gradient: observed (members, frames, m), target (members, frames, d + p).
nn::LossAndGradients loss(const models::ObservationEncoder& net, const Tensor& observed, const Tensor& target) {
  // Members run in tiles over the threads: few, since every tile adds to all weights at every frame.
  constexpr std::int64_t tiles = 8;
  Backend& backend = observed.backend();
  const std::int64_t members = observed.shape()[0];
  const std::int64_t tile = backend.lanes() > 1 ? (members + tiles - 1) / tiles : members;
  autodiff::Tape tape;
  const Vars w = net.parameters().on(tape);
  const Var total =
      tiled_sum(
          [&net](const Vars& weights, const Vars& part) {
            return net.squared_error(weights, transpose(part[0], {1, 0, 2}), transpose(part[1], {1, 0, 2}));
          },
          w, {Var(observed), Var(target)}, tile) *
      (1 / static_cast<double>(target.size()));
  Vars trainable;
  for (const Var& weight : w)
    if (weight.tracked()) trainable.push_back(weight);
  nn::LossAndGradients result{.value = total.value(), .gradients = {}};
  for (const Var& gradient : autodiff::vjp(total, Var(Tensor::full({}, 1, DType::float32, backend)), trainable))
    result.gradients.push_back(gradient.value());
  return result;
}

/// Throws InputError unless the surrogate's prior are the data's training trajectories.
void check_prior(const models::Surrogate& s, const Dataset& data) {
  const std::vector<double> own = s.training_parameters.to_vector();
  bool equal = s.about.frames == data.about.frames && s.training_parameters.shape()[0] == data.train &&
               own.size() * static_cast<std::size_t>(data.members()) ==
                   data.parameters.size() * static_cast<std::size_t>(data.train);
  for (std::size_t i = 0; equal && i < own.size(); ++i)
    equal = std::abs(own[i] - data.parameters[i]) <= 1e-9 * (std::abs(own[i]) + std::abs(data.parameters[i]));
  if (!equal)
    throw InputError("weights", "prior.parameters",
                     "are not those of the data set's training trajectories: the surrogate was trained on other data");
}

std::string surrogate_checksum(const models::Surrogate& s) { return checksum(models::content(s)); }

}  // namespace

std::string encoder_fingerprint(const Config& config, const Dataset& data, const models::Surrogate& s) {
  return fingerprint(config, {"encoder"}) + fmt::format("observations.sensors = {}\n", config.observations.sensors) +
         data.fingerprint + fmt::format("weights = {}\n", surrogate_checksum(s));
}

EncoderErrors encoder_errors(const models::TrainedEncoder& encoder, const models::Surrogate& s, const Dataset& data,
                             std::int64_t first, std::int64_t last, double noise, std::int64_t seed) {
  return errors(encoder, sequences(encoder, s, data, first, last), last - first, data.about.frames, noise, seed);
}

models::TrainedEncoder read_encoder(const std::filesystem::path& path, const models::Surrogate& s) {
  models::TrainedEncoder encoder = models::load_encoder(path);
  models::check_fits(encoder, path.string(), s, surrogate_checksum(s));
  return encoder;
}

models::TrainedEncoder train_encoder(const Config& config, const Dataset& data, const models::Surrogate& s,
                                     const TrainingOptions& options) {
  const EncoderConfig& training = config.encoder;
  const models::Description& about = data.about;
  const models::SensorGrid sensors = sensor_grid(config, about.grid);
  check_prior(s, data);
  const Moments moments = field_moments(data);
  const models::EncoderArchitecture architecture{.observed = sensors.nx * sensors.ny * about.channels(),
                                                 .hidden = training.hidden,
                                                 .latent = s.net.architecture().latent,
                                                 .parameters = about.parameters()};
  models::TrainedEncoder encoder{
      .net = models::ObservationEncoder(architecture, static_cast<std::uint64_t>(training.seed)),
      .sensors = sensors,
      .channel_names = about.channel_names,
      .field_mean = moments.mean,
      .field_std = moments.deviation,
      .surrogate = surrogate_checksum(s),
      .provenance = {}};
  const Sequences trained = sequences(encoder, s, data, 0, data.train);
  const Sequences validation = sequences(encoder, s, data, data.train, data.first_test());
  const Sequences tests = sequences(encoder, s, data, data.first_test(), data.members());
  normalise_targets(trained, encoder.net);
  Backend& backend = *options.backend;
  const bool device = backend.lanes() == 1;
  nn::Parameters& parameters = encoder.net.parameters();
  parameters.move(backend);
  const auto tensor = [&](const std::vector<float>& values, std::int64_t width) {
    return Tensor::from(std::span<const float>(values), {data.train, about.frames, width}, DType::float32, backend);
  };
  Tensor observed = tensor(trained.observed, architecture.observed);
  const Tensor target = tensor(trained.target, architecture.outputs());

  nn::Adam optimiser(parameters);
  const std::string configuration = encoder_fingerprint(config, data, s);
  const Checkpoint saved(options.checkpoint, configuration);
  const double before = saved.restore(parameters, optimiser);
  const nn::TrainingSettings settings{.steps = training.steps,
                                      .schedule = nn::CosineSchedule{.rate = training.rate, .steps = training.steps},
                                      .validate_every = training.validate_every,
                                      .read_every = device ? 50 : 1,
                                      .checkpoint_seconds = config.checkpoint_seconds,
                                      .progress = options.progress};
  const auto draw = [&](std::int64_t step) {
    if (training.noise == 0) return;
    const std::vector<float> values = noisy(trained, data.train, training.noise, training.seed, step);
    observed.set(std::span<const float>(values));
  };
  const nn::TrainingResult result = nn::train(
      parameters, optimiser, settings,
      {.select = draw,
       .loss = [&] { return loss(encoder.net, observed, target); },
       .recordable = true,
       .validate =
           [&] { return errors(encoder, validation, data.valid, about.frames, training.noise, training.seed).latent; },
       .checkpoint = [&](double so_far) { saved.save(parameters, optimiser, before + so_far); },
       .stop = options.stop});
  if (!result.finished)
    throw Interrupted(
        fmt::format("stopped after {} of {} steps of the encoder's training; the same command goes on "
                    "from there",
                    optimiser.steps(), training.steps));

  const double seconds = before + result.seconds;
  encoder.provenance = {{"levda_configuration", configuration},
                        {"version", version()},
                        {"trained", timestamp()},
                        {"machine", machine()},
                        {"threads", fmt::format("{}", options.threads)},
                        {"seed", fmt::format("{}", training.seed)},
                        {"noise", fmt::format("{}", training.noise)},
                        {"sigma", fmt::format("{}", config.observations.sigma)},
                        {"train_seconds", fmt::format("{:.1f}", seconds)}};
  if (device) encoder.provenance["device"] = backend.description();
  if (options.progress != nullptr) fmt::print(options.progress, "encode: {:.1f} s of training\n", seconds);
  const auto report = [&](const char* name, const Sequences& own, std::int64_t members) {
    const EncoderErrors clean = errors(encoder, own, members, about.frames, 0, training.seed);
    const EncoderErrors with = errors(encoder, own, members, about.frames, config.observations.sigma, training.seed);
    const auto note = [&](const char* what, double value) {
      encoder.provenance[fmt::format("{}_{}", name, what)] = fmt::format("{:.6f}", value);
    };
    note("latent_error", clean.latent);
    note("parameter_error", clean.parameter);
    note("latent_error_with_noise", with.latent);
    note("parameter_error_with_noise", with.parameter);
    if (options.progress != nullptr)
      fmt::print(options.progress,
                 "encode: {}: latents {:.4f}, parameters {:.4f} of their range; with noise of {}: {:.4f}, {:.4f}\n",
                 name, clean.latent, clean.parameter, config.observations.sigma, with.latent, with.parameter);
  };
  report("validation", validation, data.valid);
  report("test", tests, data.test);
  parameters.move(autodiff::cpu());
  return encoder;
}

}  // namespace levda::experiments
