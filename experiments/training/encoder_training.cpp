#include "experiments/training/encoder_training.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <cmath>
#include <utility>

#include "autodiff/error.h"
#include "autodiff/random.h"
#include "autodiff/streams.h"
#include "autodiff/tiled_sum.h"
#include "experiments/config/version.h"
#include "experiments/process.h"
#include "experiments/twin/twin.h"
#include "nn/training.h"

namespace levda::experiments {

using autodiff::Backend;
using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

namespace {

/// Inputs and targets of the encoder for some members at all frames, float32 with the members outermost.
struct Trajectories {
  std::int64_t first = 0;  // member
  std::int64_t members = 0;
  std::int64_t frames = 0;
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

Trajectories trajectories(const models::TrainedEncoder& encoder, const models::Surrogate& s, const Dataset& data,
                          std::int64_t first, std::int64_t last) {
  Trajectories result{.first = first,
                      .members = last - first,
                      .frames = data.about.frames,
                      .observed = {},
                      .target = targets(s, data, first, last)};
  std::vector<double> values;
  data.each_member(first, last, [&](std::int64_t member, std::span<const float> fields) {
    for (std::int64_t frame = 0; frame < data.about.frames; ++frame) {
      const std::span<const float> field = fields.subspan(frame * data.frame_size(), data.frame_size());
      values.clear();
      for (const std::int64_t cell : encoder.cells)
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
  });
  return result;
}

/// Start frames of a step of training, one per member.
std::vector<std::int64_t> drawn_starts(const models::SequenceFrames& seen, const Trajectories& of, std::int64_t seed,
                                       std::int64_t step) {
  std::vector<std::int64_t> starts;
  for (std::int64_t row = 0; row < of.members; ++row) {
    autodiff::Random random(static_cast<std::uint64_t>(seed),
                            streams::encoder_starts + static_cast<std::uint32_t>(of.first + row),
                            static_cast<std::uint32_t>(step));
    starts.push_back(seen.first_start + random.below(seen.starts()));
  }
  return starts;
}

/// Start frames of evaluations: all possible ones in turn.
std::vector<std::int64_t> fixed_starts(const models::SequenceFrames& seen, const Trajectories& of) {
  std::vector<std::int64_t> starts;
  for (std::int64_t row = 0; row < of.members; ++row)
    starts.push_back(seen.first_start + (of.first + row) % seen.starts());
  return starts;
}

/// (members, times, width) from those starts on, of values (members, frames, width).
std::vector<float> taken(const std::vector<float>& values, const Trajectories& of, const models::SequenceFrames& seen,
                         const std::vector<std::int64_t>& starts) {
  const auto width = static_cast<std::int64_t>(values.size()) / (of.members * of.frames);
  std::vector<float> result;
  result.reserve(static_cast<std::size_t>(of.members * seen.times() * width));
  for (std::int64_t row = 0; row < of.members; ++row)
    for (std::int64_t time = 0; time < seen.times(); ++time) {
      const auto from = values.begin() + (row * of.frames + starts[row] + time * seen.every) * width;
      result.insert(result.end(), from, from + width);
    }
  return result;
}

/// Adds errors of the step to observations (members, times, m).
void add_noise(std::vector<float>& observed, const Trajectories& of, double noise, std::int64_t seed,
               std::int64_t step) {
  if (noise == 0) return;
  const auto each = static_cast<std::int64_t>(observed.size()) / of.members;
  oneapi::tbb::parallel_for(std::int64_t{0}, of.members, [&](std::int64_t row) {
    autodiff::Random random(static_cast<std::uint64_t>(seed),
                            streams::encoder_noise + static_cast<std::uint32_t>(of.first + row),
                            static_cast<std::uint32_t>(step));
    for (std::int64_t i = row * each; i < (row + 1) * each; ++i)
      observed[i] += static_cast<float>(noise * random.normal());
  });
}

EncoderErrors errors(const models::TrainedEncoder& encoder, const Trajectories& of, double noise, std::int64_t seed) {
  const models::EncoderArchitecture& a = encoder.net.architecture();
  const models::SequenceFrames& seen = encoder.sequences;
  const Vars weights = encoder.net.parameters().constants();
  const std::vector<std::int64_t> starts = fixed_starts(seen, of);
  const std::vector<float> target = taken(of.target, of, seen, starts);
  std::vector<float> observed = taken(of.observed, of, seen, starts);
  add_noise(observed, of, noise, seed, 0);
  const Var input(Tensor::from(std::span<const float>(observed), {of.members, seen.times(), a.observed}, DType::float32,
                               weights[0].value().backend()));
  const std::vector<float> found =
      transpose(encoder.net.encode(weights, transpose(input, {1, 0, 2})), {1, 0, 2}).value().to_floats();
  double latent_error = 0;
  double latent_square = 0;
  double parameter_error = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double truth = target[i];
    const double error = found[i] - truth;
    if (static_cast<std::int64_t>(i) % a.outputs() < a.latent) {
      latent_error += error * error;
      latent_square += truth * truth;
    } else {
      parameter_error += error * error;
    }
  }
  const auto parameters = static_cast<double>(of.members * seen.times() * a.parameters);
  return {.latent = std::sqrt(latent_error / latent_square),
          .parameter = std::sqrt(parameter_error / parameters) / 2};  // the range is [-1, 1]
}

/// Per component over all members and the frames that sequences have. A component that is constant keeps the unit 1.
void normalise_targets(const Trajectories& training, const models::SequenceFrames& seen,
                       models::ObservationEncoder& net) {
  const std::vector<float> target =
      taken(training.target, training, {.experiment = {}, .frames = seen.starts() - 1 + seen.frames},
            std::vector<std::int64_t>(static_cast<std::size_t>(training.members), seen.first_start));
  const auto outputs = static_cast<std::size_t>(net.architecture().outputs());
  const auto rows = static_cast<double>(target.size() / outputs);
  std::vector<double> mean(outputs, 0.0);
  std::vector<double> deviation(outputs, 0.0);
  for (std::size_t i = 0; i < target.size(); ++i) mean[i % outputs] += target[i] / rows;
  for (std::size_t i = 0; i < target.size(); ++i)
    deviation[i % outputs] += std::pow(target[i] - mean[i % outputs], 2) / rows;
  constexpr double least = 1e-6;  // of the mean; smaller deviations are rounding of float32
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
  const std::int64_t tile = backend.prefers_large_batches() ? members : (members + tiles - 1) / tiles;
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

/// With random weights and everything that its file says of its inputs.
models::TrainedEncoder untrained(const Config& config, const Dataset& data, const models::Surrogate& s,
                                 const models::SequenceFrames& seen) {
  const models::Description& about = data.about;
  const std::vector<std::int64_t> cells = sensor_cells(config, about.grid);
  const Moments moments = field_moments(data);
  const models::EncoderArchitecture architecture{.observed = static_cast<std::int64_t>(cells.size()) * about.channels(),
                                                 .hidden = config.encoder.hidden,
                                                 .latent = s.net.architecture().latent,
                                                 .parameters = about.parameters()};
  return {.net = models::ObservationEncoder(architecture, static_cast<std::uint64_t>(config.encoder.seed)),
          .sequences = seen,
          .cells = cells,
          .channel_names = about.channel_names,
          .field_mean = moments.mean,
          .field_std = moments.deviation,
          .surrogate = surrogate_checksum(s),
          .provenance = {}};
}

/// Errors over trajectories, into the provenance and to the progress.
void report_errors(const Config& config, const char* name, const Trajectories& of, std::FILE* progress,
                   models::TrainedEncoder& encoder) {
  const double sigma = config.observations.sigma;
  const EncoderErrors clean = errors(encoder, of, 0, config.encoder.seed);
  const EncoderErrors noisy = errors(encoder, of, sigma, config.encoder.seed);
  const auto note = [&](const char* field, double value) {
    encoder.provenance[fmt::format("{}_{}", name, field)] = fmt::format("{:.6f}", value);
  };
  note("latent_error", clean.latent);
  note("parameter_error", clean.parameter);
  note("latent_error_with_noise", noisy.latent);
  note("parameter_error_with_noise", noisy.parameter);
  tell(progress, "encode: {}, {}: latents {:.4f}, parameters {:.4f} of their range; with noise of {}: {:.4f}, {:.4f}\n",
       encoder.sequences.experiment, name, clean.latent, clean.parameter, sigma, noisy.latent, noisy.parameter);
}

}  // namespace

models::SequenceFrames sequence_frames(const Config& config, const models::Description& about,
                                       const std::string& experiment) {
  models::SequenceFrames seen{.experiment = experiment, .frames = about.frames, .every = config.observations.every};
  if (experiment == "cold") return seen;
  Config settled = config;
  settled.assimilation = resolve(config.assimilation, about.frames, about.frames / 2);
  check_frames(settled, about, "data set");
  const AssimilationConfig& a = settled.assimilation;
  seen.first_start = a.start_min;
  seen.last_start = a.start_max;
  seen.frames = a.frames;
  return seen;
}

std::string encoder_fingerprint(const Config& config, const Dataset& data, const models::Surrogate& s,
                                const std::string& experiment) {
  const models::SequenceFrames seen = sequence_frames(config, data.about, experiment);
  return fingerprint(config, {"encoder"}) +
         fmt::format(
             "observations.sensors = {}\nobservations.every = {}\nexperiment = {}\nframes = {}\n"
             "starts = {} .. {}\n",
             config.observations.sensors, seen.every, experiment, seen.frames, seen.first_start, seen.last_start) +
         (config.observations.sensors.starts_with("random:") ? fmt::format("seed = {}\n", config.seed) : "") +
         data.fingerprint + fmt::format("weights = {}\n", surrogate_checksum(s));
}

EncoderErrors encoder_errors(const models::TrainedEncoder& encoder, const models::Surrogate& s, const Dataset& data,
                             std::int64_t first, std::int64_t last, double noise, std::int64_t seed) {
  return errors(encoder, trajectories(encoder, s, data, first, last), noise, seed);
}

models::TrainedEncoder read_encoder(const std::filesystem::path& path, const models::Surrogate& s) {
  models::TrainedEncoder encoder = models::load_encoder(path);
  models::check_fits(encoder, path.string(), s, surrogate_checksum(s));
  return encoder;
}

models::TrainedEncoder train_encoder(const Config& config, const Dataset& data, const models::Surrogate& s,
                                     const std::string& experiment, const TrainingOptions& options) {
  const EncoderConfig& training = config.encoder;
  const models::SequenceFrames seen = sequence_frames(config, data.about, experiment);
  check_prior(s, data);
  models::TrainedEncoder encoder = untrained(config, data, s, seen);
  const Trajectories trained = trajectories(encoder, s, data, 0, data.train);
  const Trajectories validation = trajectories(encoder, s, data, data.train, data.first_test());
  const Trajectories tests = trajectories(encoder, s, data, data.first_test(), data.members());
  normalise_targets(trained, seen, encoder.net);
  Backend& backend = *options.backend;
  const bool device = backend.prefers_large_batches();
  nn::Parameters& parameters = encoder.net.parameters();
  parameters.move(backend);
  const auto tensor = [&](std::int64_t width) {
    return Tensor::zeros({data.train, seen.times(), width}, DType::float32, backend);
  };
  Tensor observed = tensor(encoder.net.architecture().observed);
  Tensor target = tensor(encoder.net.architecture().outputs());

  nn::Adam optimiser(parameters);
  const std::string configuration = encoder_fingerprint(config, data, s, experiment);
  const models::Checkpoint saved(options.checkpoint, configuration);
  const double before = saved.restore(parameters, optimiser);
  const std::string title = "encode " + experiment;
  const nn::TrainingSettings settings{.steps = training.steps,
                                      .schedule = nn::CosineSchedule{.rate = training.rate, .steps = training.steps},
                                      .validate_every = training.validate_every,
                                      .read_every = device ? 50 : 1,
                                      .checkpoint_seconds = config.checkpoint_seconds,
                                      .progress = options.progress,
                                      .name = title.c_str()};
  bool filled = false;
  const auto draw = [&](std::int64_t step) {
    if (std::exchange(filled, true) && seen.starts() == 1 && training.noise == 0) return;  // always the same
    const std::vector<std::int64_t> starts = drawn_starts(seen, trained, training.seed, step);
    std::vector<float> values = taken(trained.observed, trained, seen, starts);
    add_noise(values, trained, training.noise, training.seed, step);
    observed.set(std::span<const float>(values));
    target.set(std::span<const float>(taken(trained.target, trained, seen, starts)));
  };
  const nn::TrainingResult result =
      nn::train(parameters, optimiser, settings,
                {.select = draw,
                 .loss = [&] { return loss(encoder.net, observed, target); },
                 .recordable = true,
                 .validate = [&] { return errors(encoder, validation, training.noise, training.seed).latent; },
                 .checkpoint = [&](double so_far) { saved.save(parameters, optimiser, before + so_far); },
                 .stop = options.stop});
  if (!result.finished)
    throw Interrupted(
        fmt::format("stopped after {} of {} steps of the {} encoder's training; the same command goes on "
                    "from there",
                    optimiser.steps(), training.steps, experiment));

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
  tell(options.progress, "encode: {}: {:.1f} s of training\n", experiment, seconds);
  report_errors(config, "validation", validation, options.progress, encoder);
  report_errors(config, "test", tests, options.progress, encoder);
  parameters.move(autodiff::cpu());
  return encoder;
}

}  // namespace levda::experiments
