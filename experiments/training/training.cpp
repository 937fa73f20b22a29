#include "experiments/training/training.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "autodiff/error.h"
#include "experiments/config/interrupted.h"
#include "experiments/config/version.h"
#include "experiments/training/checkpoint.h"
#include "nn/soap.h"
#include "nn/training.h"

namespace levda::experiments {

using autodiff::Backend;
using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

std::int64_t tile_of(const models::LdnetArchitecture& a, const TrainingConfig& config, std::int64_t points,
                     const Backend& backend) {
  if (!backend.prefers_large_batches()) return config.tile;
  constexpr std::int64_t most = std::int64_t{1} << 30;  // bytes of activations
  constexpr std::int64_t copies = 4;
  const std::int64_t values = a.decoder_width * a.decoder_depth + a.features() + a.latent;  // of a row
  return std::max<std::int64_t>(1, most / (points * values * copies * static_cast<std::int64_t>(sizeof(float))));
}

namespace {

/// States between frames: an Euler step of a share of the interval lies on the line between its ends.
Var between_states(const Var& frames, const Tensor& fraction, std::int64_t trajectories) {
  const std::int64_t rows = fraction.shape()[0];
  const Var before = slice(frames, 0, 0, rows);
  const Var after = slice(frames, 0, trajectories, rows);
  return before + Var(fraction) * (after - before);
}

/// Latent trajectories of a batch from rest: (frames x trajectories, d).
Var rolled_out(const models::Ldnet& net, const Vars& w, const Batch& batch, const TrainingConfig& config,
               std::int64_t frames) {
  Backend& backend = batch.frames.y.backend();
  Vars u;
  for (std::int64_t frame = 0; frame < frames; ++frame) {
    const std::int64_t time = std::min(frame, batch.u.shape()[0] - 1);
    u.emplace_back(batch.u.rows(time, time + 1).reshaped(batch.u.shape().part(1, 3)));
  }
  const Var s0(Tensor::zeros({config.trajectories, net.architecture().latent}, DType::float32, backend));
  return reshape(net.trajectory(w, u, s0), {frames * config.trajectories, net.architecture().latent});
}

/// Mean squared error of a batch and its gradient; of latent states that are given, where they are.
nn::LossAndGradients loss(const models::Ldnet& net, const Batch& batch, const TrainingConfig& config,
                          std::int64_t frames, const std::optional<Tensor>& latents = std::nullopt) {
  Backend& backend = batch.frames.y.backend();
  autodiff::Tape tape;
  const Vars w = net.parameters().on(tape);
  const Var s = latents ? Var(*latents) : rolled_out(net, w, batch, config, frames);
  const auto error = [&](const Var& states, const Samples& samples) {
    const std::int64_t tile = tile_of(net.architecture(), config, samples.x.shape()[1], backend);
    return models::decoding_error(net, w, states, Var(samples.x), Var(samples.y), tile, samples.mask);
  };
  Var total = error(s, batch.frames);
  if (batch.between) {
    const double n = batch.frames.count();
    const double m = batch.between->count();
    total = (n / (n + m)) * total +
            (m / (n + m)) * error(between_states(s, batch.fraction, config.trajectories), *batch.between);
  }
  Vars trainable;
  for (const Var& weight : w)
    if (weight.tracked()) trainable.push_back(weight);
  nn::LossAndGradients result{.value = total.value(), .gradients = {}};
  for (const Var& gradient : autodiff::vjp(total, Var(Tensor::full({}, 1, DType::float32, backend)), trainable))
    result.gradients.push_back(gradient.value());
  return result;
}

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

/// The frames of trajectories at every stride-th node.
class Truths {
 public:
  Truths(const Dataset& data, std::int64_t stride)
      : data_(data),
        stride_(data.about.grid.listed() ? 1 : stride),
        points_(models::grid_points(data.about.grid, stride_)),
        areas_(models::grid_areas(data.about.grid, stride_)) {}

  /// Adds the next trajectory, (frames, c, ny, nx).
  void add(std::int64_t member, std::span<const float> fields) {
    const models::Grid& grid = data_.about.grid;
    std::vector<float>& values = values_.emplace_back();
    members_.push_back(member);
    const std::int64_t c = data_.about.channels();
    for (std::int64_t frame = 0; frame < data_.about.frames; ++frame)
      for (std::int64_t j = 0; j < grid.ny; j += stride_)
        for (std::int64_t i = 0; i < grid.nx; i += stride_)
          for (std::int64_t k = 0; k < c; ++k)
            values.push_back(fields[(frame * c + k) * grid.cells() + j * grid.nx + i]);
  }
  void clear() {
    values_.clear();
    members_.clear();
  }

  /// Adds what the surrogate misses of them, per (frame, channel).
  void add_residuals(const models::Surrogate& s, Residuals& sums) const {
    const models::Description& about = data_.about;
    const std::int64_t c = about.channels();
    for (std::size_t member = 0; member < members_.size(); ++member) {
      const std::vector<double> u = s.normal_parameters(data_.parameters_of(members_[member]));
      const Tensor latents = models::latent_trajectories(s.net, u, 1, about.frames);
      const Tensor fields = models::decode_states(s.net, latents.reshaped({about.frames, latents.shape()[2]}), points_);
      const float* found = fields.data<float>();
      const float* truth = values_[member].data();
      for (std::int64_t frame = 0; frame < about.frames; ++frame)
        for (const double area : areas_)
          for (std::int64_t k = 0; k < c; ++k)
            sums.add(frame * c + k, s.offset(k) + s.scale(k) * *found++, *truth++, area);
    }
  }

 private:
  const Dataset& data_;
  std::int64_t stride_;
  Tensor points_;
  std::vector<double> areas_;
  std::vector<std::int64_t> members_;
  std::vector<std::vector<float>> values_;  // (frames, nodes, c) each
};

/// At the frames and all nodes, per (frame, channel); one trajectory in memory at a time where they are not all.
Residuals residuals(const models::Surrogate& s, const Dataset& data, std::int64_t first, std::int64_t last) {
  Residuals sums(data.about.frames * data.about.channels());
  Truths truth(data, 1);
  data.each_member(first, last, [&](std::int64_t member, std::span<const float> fields) {
    truth.clear();
    truth.add(member, fields);
    truth.add_residuals(s, sums);
  });
  return sums;
}

/// At the times between frames, per (interval, channel); empty where the data have none.
Residuals between_residuals(const models::Surrogate& s, const Dataset& data, std::int64_t first, std::int64_t last) {
  const models::Description& about = data.about;
  const BetweenFrames& between = data.between;
  const std::int64_t c = about.channels();
  const std::int64_t intervals = about.frames - 1;
  Residuals sums(intervals * c);
  if (between.points == 0) return sums;
  const Vars weights = s.net.parameters().constants();
  Backend& backend = weights.front().value().backend();
  for (std::int64_t member = first; member < last; ++member) {
    const std::vector<double> u = s.normal_parameters(data.parameters_of(member));
    const Tensor latents = models::latent_trajectories(s.net, u, 1, about.frames);
    const std::span<const double> fraction =
        std::span(between.fraction).subspan(static_cast<std::size_t>(member * intervals), intervals);
    const Tensor frames = latents.reshaped({about.frames, latents.shape()[2]}).to(backend);
    const Var states = between_states(Var(frames), Tensor::from(fraction, {intervals, 1}, DType::float32, backend), 1);
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

/// Mean squared residuals per (time, channel), in units of the channels' standard deviations; where nothing counted,
/// the channel's mean over the other times.
Tensor error_variance(const Residuals& sums, const std::vector<double>& deviation) {
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

/// The range of the values that become -1 and 1.
std::optional<models::Scaling> scaling_of(const Config& config, const models::Description& about) {
  const std::size_t c = config.field_min.size();
  if (c == 0) return std::nullopt;
  if (c != about.channel_names.size())
    throw InputError("configuration", "surrogate.field_min",
                     fmt::format("{} numbers for {} channels", c, about.channel_names.size()));
  models::Scaling scaling;
  for (std::size_t k = 0; k < c; ++k) {
    scaling.offset.push_back(0.5 * (config.field_min[k] + config.field_max[k]));
    scaling.scale.push_back(0.5 * (config.field_max[k] - config.field_min[k]));
  }
  return scaling;
}

/// The dynamics' weights are trained, or not.
void train_dynamics(nn::Parameters& parameters, bool trainable) {
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (parameters.name(i).starts_with("dynamics.")) parameters.set_trainable(i, trainable);
}

std::string duration(double seconds) {
  if (seconds > 2 * 86400) return fmt::format("{:.1f} days", seconds / 86400);
  if (seconds > 2 * 3600) return fmt::format("{:.1f} hours", seconds / 3600);
  return fmt::format("{:.0f} minutes", seconds / 60);
}

std::unique_ptr<nn::Optimiser> make_optimiser(const std::string& name, const nn::Parameters& parameters) {
  if (name == "adam") return std::make_unique<nn::Adam>(parameters);
  return std::make_unique<nn::Soap>(parameters);
}

/// Rate of products of matrices of edge n in float32, as the backend is set, in FLOP/s: the best of 5. On the CPU one
/// per thread at once.
double product_rate(Backend& backend, std::int64_t n, int threads) {
  using Clock = std::chrono::steady_clock;
  std::vector<Tensor> a;
  std::vector<Tensor> y;
  for (int i = 0; i < threads; ++i) {
    a.push_back(Tensor::full({n, n}, 1, DType::float32, backend));
    y.push_back(Tensor::empty({n, n}, DType::float32, backend));
  }
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    backend.synchronise();
    const Clock::time_point begin = Clock::now();
    oneapi::tbb::parallel_for(
        oneapi::tbb::blocked_range<int>(0, threads, 1),
        [&](const auto& range) {
          for (int i = range.begin(); i < range.end(); ++i) backend.matmul(a[i], false, a[i], false, nullptr, y[i]);
        },
        oneapi::tbb::simple_partitioner());
    backend.synchronise();
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    const auto edge = static_cast<double>(n);
    best = std::max(best, 2 * edge * edge * edge * threads / seconds);
  }
  return best;
}

}  // namespace

models::LdnetArchitecture architecture_of(const Config& config, const models::Description& about) {
  models::LdnetArchitecture a = config.surrogate;
  a.parameters = about.parameters();
  a.channels = about.channels();
  if (config.embedding == "natural") a.geometry = about.grid.geometry;
  if (a.latent_dt == 0) a.latent_dt = 4 / static_cast<double>(about.frames);
  a.dynamics_layers = choice_of<nn::Hidden>(config.dynamics_layers).value_or(a.dynamics_layers);
  a.decoder_layers = choice_of<nn::Hidden>(config.decoder_layers).value_or(a.decoder_layers);
  a.fourier_uniform = config.fourier_init == "uniform";
  a.fourier_trainable = config.fourier_trainable == 1;
  if (a.geometry == models::Geometry::torus && a.fourier_features > 0 && (a.fourier_uniform || a.fourier_trainable))
    throw InputError("configuration", a.fourier_uniform ? "surrogate.fourier_init" : "surrogate.fourier_trainable",
                     "such frequencies do not have the period of the domain; surrogate.embedding = plane does without");
  return a;
}

nn::Schedule schedule_of(const TrainingConfig& config, std::int64_t trajectories) {
  if (config.schedule == "cosine") return nn::CosineSchedule{.rate = config.rate, .steps = config.steps};
  return nn::StepSchedule{
      .rate = config.rate, .every = config.decay_epochs * (trajectories / config.trajectories), .gamma = config.decay};
}

std::string training_fingerprint(const Config& config, const Dataset& data) {
  return fingerprint(config, {"surrogate", "training"}) + data.fingerprint;
}

double surrogate_error(const models::Surrogate& s, const Dataset& data, std::int64_t first, std::int64_t last) {
  return pooled(residuals(s, data, first, last), data.about.channels());
}

models::Surrogate train_surrogate(const Config& config, const Dataset& data, const TrainingOptions& options) {
  const TrainingConfig& training = config.training;
  const models::Description& about = data.about;
  if (data.train < training.trajectories)
    throw InputError(
        "configuration", "training.trajectories",
        fmt::format("{}, but the data set has {} training trajectories", training.trajectories, data.train));
  const Moments moments = field_moments(data);
  models::Surrogate s{.about = about,
                      .net = models::Ldnet(architecture_of(config, about), static_cast<std::uint64_t>(training.seed)),
                      .field_mean = moments.mean,
                      .field_std = moments.deviation,
                      .training_parameters = {},
                      .training_latents = {},
                      .error_variance = {},
                      .between_variance = {},
                      .provenance = {},
                      .scaling = scaling_of(config, about)};
  Backend& backend = *options.backend;
  const bool device = backend.prefers_large_batches();
  s.net.parameters().move(backend);
  Batches batches(training, data, s, backend, options.placement);
  nn::Parameters& weights = s.net.parameters();
  const std::string configuration = training_fingerprint(config, data);
  const Checkpoint saved(options.checkpoint, configuration);
  const int last_stage = training.finetune_steps > 0 ? 1 : 0;
  const int first_stage = saved.stage();
  if (first_stage > last_stage)
    throw InputError(options.checkpoint.string(), "stage",
                     fmt::format("{}, where the last one is {}", first_stage, last_stage));
  train_dynamics(weights, first_stage == 0);
  std::unique_ptr<nn::Optimiser> optimiser = make_optimiser(training.optimiser, weights);
  double seconds = saved.restore(weights, *optimiser);

  std::int64_t values = about.frames * training.points;  // of a trajectory
  if (data.between.points > 0) values += (about.frames - 1) * training.between;
  const double rows = static_cast<double>(training.trajectories * values);
  const double work = 6 * static_cast<double>(s.net.decoder_weights()) * rows;
  // Few, which stay in memory: they are looked at often.
  Truths validated(data, 4);
  data.each_member(data.train, data.train + std::min<std::int64_t>(data.valid, 8),
                   [&](std::int64_t member, std::span<const float> fields) { validated.add(member, fields); });
  const auto validation = [&] {
    Residuals sums(about.frames * about.channels());
    validated.add_residuals(s, sums);
    return pooled(sums, about.channels());
  };
  // A short training is no measure of a rate, and the products would take longer than it.
  constexpr std::int64_t measurable = 5000;
  const std::int64_t edge = device ? 4096 : 1024;
  const int at_once = device ? 1 : options.threads;
  const double reference = training.steps >= measurable ? product_rate(backend, edge, at_once) : 0;
  const std::int64_t all_steps = training.steps + training.finetune_steps;
  const std::int64_t resumed = first_stage * training.steps + optimiser->steps();
  if (!device && options.progress != nullptr && reference > 0 &&
      work * static_cast<double>(all_steps - resumed) / reference > 1800) {
    batches.select(resumed);
    const auto begin = std::chrono::steady_clock::now();
    loss(s.net, batches.batch(), training, about.frames);
    const double one = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    fmt::print(options.progress,
               "train: {} steps of {:.2g} s: about {} on this CPU; --time-limit stops with a checkpoint\n",
               all_steps - resumed, one, duration(one * static_cast<double>(all_steps - resumed)));
    std::fflush(options.progress);
  }
  const std::int64_t p = about.parameters();
  const std::span<const double> prior = std::span(data.parameters)
                                            .first(data.parameters.size() / static_cast<std::size_t>(data.members()) *
                                                   static_cast<std::size_t>(data.train));
  s.training_parameters =
      Tensor::from(prior, data.varying ? autodiff::Shape{data.train, about.frames, p} : autodiff::Shape{data.train, p});
  const auto latents_of_prior = [&] {
    return models::latent_trajectories(s.net, s.normal_parameters(prior), data.train, about.frames);
  };
  for (int stage = first_stage; stage <= last_stage; ++stage) {
    const bool finetune = stage == 1;
    if (stage > first_stage) {
      train_dynamics(weights, false);
      optimiser = make_optimiser(training.optimiser, weights);
    }
    nn::TrainingSettings settings{.steps = training.steps,
                                  .schedule = schedule_of(training, data.train),
                                  .clip = training.clip,
                                  .validate_every = training.validate_every,
                                  .read_every = device ? 50 : 1,
                                  .checkpoint_seconds = config.checkpoint_seconds,
                                  .progress = options.progress};
    Tensor latents;  // of all training trajectories: (trajectories x frames, d)
    if (finetune) {
      settings.steps = training.finetune_steps;
      settings.schedule = nn::CosineSchedule{.rate = training.finetune_rate, .steps = training.finetune_steps};
      settings.name = "fine-tune";
      latents = latents_of_prior().reshaped({data.train * about.frames, s.net.architecture().latent}).to(backend);
    }
    const auto stage_loss = [&] {
      const Batch batch = batches.batch();
      if (!finetune) return loss(s.net, batch, training, about.frames);
      return loss(s.net, batch, training, about.frames, gather(Var(latents), 0, batches.states()).value());
    };
    const double before = seconds;
    const nn::TrainingResult result =
        nn::train(weights, *optimiser, settings,
                  {.select = [&](std::int64_t step) { batches.select(stage * training.steps + step); },
                   .loss = stage_loss,
                   .recordable = !batches.missing(),
                   .validate = validation,
                   .checkpoint = [&](double so_far) { saved.save(weights, *optimiser, before + so_far, stage); },
                   .stop = options.stop});
    if (!result.finished)
      throw Interrupted(fmt::format("stopped after {} of {} steps of the training; the same command goes on from there",
                                    stage * training.steps + optimiser->steps(), all_steps));
    seconds += result.seconds;
  }
  train_dynamics(weights, true);
  const double rate = resumed < all_steps ? work * static_cast<double>(all_steps) / seconds : 0;
  if (options.progress != nullptr && reference > 0)
    fmt::print(
        options.progress,
        "train: {:.1f} s, {:.1f} GFLOP/s (6 x {} decoder weights x {:.0f} rows x {} steps); products of {}^3 on {}: "
        "{:.1f} GFLOP/s; {:.0f}%\n",
        seconds, rate * 1e-9, s.net.decoder_weights(), rows, all_steps, edge,
        device ? "the device" : fmt::format("{} threads", options.threads), reference * 1e-9, 100 * rate / reference);

  s.training_latents = latents_of_prior();
  s.error_variance = error_variance(residuals(s, data, data.train, data.first_test()), s.field_std);
  // Where nothing is known between frames, the surrogate counts as good there as at the frame before.
  s.between_variance = data.between.points > 0
                           ? error_variance(between_residuals(s, data, data.train, data.first_test()), s.field_std)
                           : s.error_variance.rows(0, about.frames - 1).clone();
  const double error = surrogate_error(s, data, data.first_test(), data.members());
  s.provenance = {{"levda_configuration", configuration},
                  {"version", version()},
                  {"trained", timestamp()},
                  {"machine", machine()},
                  {"threads", fmt::format("{}", options.threads)},
                  {"seed", fmt::format("{}", training.seed)},
                  {"train_seconds", fmt::format("{:.1f}", seconds)},
                  {"train_gflops", fmt::format("{:.1f}", rate * 1e-9)},
                  {"product_gflops", fmt::format("{:.1f}", reference * 1e-9)},
                  {"test_rel_rmse", fmt::format("{:.6f}", error)}};
  if (data.between.points > 0)
    s.provenance["test_rel_rmse_between"] =
        fmt::format("{:.6f}", pooled(between_residuals(s, data, data.first_test(), data.members()), about.channels()));
  if (backend.device() != autodiff::Device::cpu) s.provenance["device"] = backend.description();
  s.net.parameters().move(autodiff::cpu());
  return s;
}

}  // namespace levda::experiments
