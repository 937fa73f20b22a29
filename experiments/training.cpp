#include "experiments/training.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <chrono>
#include <cmath>
#include <memory>

#include "autodiff/error.h"
#include "autodiff/random.h"
#include "experiments/version.h"
#include "nn/safetensors.h"
#include "nn/soap.h"
#include "nn/training.h"

namespace levda::experiments {

using autodiff::DType;
using autodiff::Random;
using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

namespace {

// Streams of the training seed; point_stream is followed by one stream per group.
enum Stream : std::uint32_t { weight_seed = 0, order_stream = 100, point_stream = 1000 };

/// Batches of whole trajectories at random nodes: groups are (frame, trajectory), frame outermost.
class Batches {
 public:
  Batches(const TrainingConfig& config, const Dataset& data, const models::Surrogate& s)
      : config_(config), about_(data.about), members_(data.train), parameters_(s.normal_parameters(data.parameters)) {
    const Tensor points = models::grid_points(about_.grid, 1);
    coordinates_ = points.to_floats();
    const std::int64_t cells = about_.grid.cells();
    const std::int64_t c = about_.channels();
    // Channels innermost, so that a random node is one place in memory.
    fields_.resize(static_cast<std::size_t>(members_ * about_.frames * cells * c));
    oneapi::tbb::parallel_for(std::int64_t{0}, members_ * about_.frames, [&](std::int64_t frame) {
      const float* from = data.fields.data() + frame * cells * c;
      float* to = fields_.data() + frame * cells * c;
      for (std::int64_t channel = 0; channel < c; ++channel) {
        const auto mean = static_cast<float>(s.field_mean[channel]);
        const auto scale = static_cast<float>(1 / s.field_std[channel]);
        for (std::int64_t i = 0; i < cells; ++i) to[i * c + channel] = (from[channel * cells + i] - mean) * scale;
      }
    });
  }

  struct Batch {
    Tensor u;  // (trajectories, p)
    Tensor x;  // (frames x trajectories, points, 2)
    Tensor y;  // (frames x trajectories, points, c)
  };

  Batch at(std::int64_t step) const {
    const std::int64_t size = config_.trajectories;
    const std::int64_t per_epoch = members_ / size;
    const auto seed = static_cast<std::uint64_t>(config_.seed);
    const std::vector<std::int64_t> order =
        Random(seed, order_stream, static_cast<std::uint32_t>(step / per_epoch)).permutation(members_);
    const std::int64_t* chosen = order.data() + step % per_epoch * size;

    const std::int64_t p = about_.parameters();
    const std::int64_t c = about_.channels();
    const std::int64_t cells = about_.grid.cells();
    std::vector<double> u;
    for (std::int64_t b = 0; b < size; ++b)
      u.insert(u.end(), parameters_.begin() + chosen[b] * p, parameters_.begin() + (chosen[b] + 1) * p);
    const std::int64_t groups = about_.frames * size;
    std::vector<float> x(static_cast<std::size_t>(groups * config_.points * 2));
    std::vector<float> y(static_cast<std::size_t>(groups * config_.points * c));
    oneapi::tbb::parallel_for(std::int64_t{0}, groups, [&](std::int64_t group) {
      Random random(seed, point_stream + static_cast<std::uint32_t>(group), static_cast<std::uint32_t>(step));
      const float* field = fields_.data() + (chosen[group % size] * about_.frames + group / size) * cells * c;
      for (std::int64_t k = group * config_.points; k < (group + 1) * config_.points; ++k) {
        const std::int64_t cell = random.below(cells);
        std::copy_n(coordinates_.data() + 2 * cell, 2, x.data() + 2 * k);
        std::copy_n(field + c * cell, c, y.data() + c * k);
      }
    });
    return {Tensor::from(std::span<const double>(u), {size, p}, DType::float32),
            Tensor::from(std::span<const float>(x), {groups, config_.points, 2}),
            Tensor::from(std::span<const float>(y), {groups, config_.points, c})};
  }

 private:
  TrainingConfig config_;
  models::Description about_;
  std::int64_t members_;
  std::vector<double> parameters_;
  std::vector<float> coordinates_;
  std::vector<float> fields_;
};

/// Mean squared error of a batch and its gradient.
autodiff::ValueAndGrad loss(const models::Ldnet& net, const Batches::Batch& batch, std::int64_t frames,
                            std::int64_t tile) {
  autodiff::Tape tape;
  const Vars w = net.parameters().on(tape);
  const Var s0(Tensor::zeros({batch.u.shape()[0], net.architecture().latent}));
  Vars states = net.rollout(w, Var(batch.u), s0, frames);
  states.erase(states.begin());
  const Var error = models::decoding_error(net, w, concat(states, 0), Var(batch.x), Var(batch.y), tile);
  Vars trainable;
  for (const Var& weight : w)
    if (weight.tracked()) trainable.push_back(weight);
  autodiff::ValueAndGrad result{.value = error.value().item(), .gradients = {}};
  for (const Var& gradient : autodiff::vjp(error, Var(Tensor::full({}, 1)), trainable))
    result.gradients.push_back(gradient.value());
  return result;
}

/// Sums over members and nodes of squared residuals and squared truths, physical units, per (frame, channel).
struct Residuals {
  std::vector<double> error;
  std::vector<double> truth;
  double count = 0;  // terms of one sum
};

Residuals residuals(const models::Surrogate& s, const Dataset& data, std::int64_t first, std::int64_t last,
                    std::int64_t stride) {
  const models::Description& about = data.about;
  const std::int64_t c = about.channels();
  const models::Grid& grid = about.grid;
  const Tensor points = models::grid_points(grid, stride);
  Residuals sums;
  sums.error.assign(static_cast<std::size_t>(about.frames * c), 0);
  sums.truth = sums.error;
  for (std::int64_t member = first; member < last; ++member) {
    const std::vector<double> u = s.normal_parameters(data.parameters_of(member));
    const Tensor latents = models::latent_trajectories(s.net, u, about.frames);
    const Tensor fields = models::decode_states(s.net, latents.reshaped({about.frames, latents.shape()[2]}), points);
    const float* found = fields.data<float>();
    for (std::int64_t frame = 0; frame < about.frames; ++frame) {
      const std::span<const float> truth = data.frame(member, frame);
      for (std::int64_t j = 0; j < grid.ny; j += stride)
        for (std::int64_t i = 0; i < grid.nx; i += stride)
          for (std::int64_t channel = 0; channel < c; ++channel) {
            const double t = truth[channel * grid.cells() + j * grid.nx + i];
            const double e = s.field_mean[channel] + s.field_std[channel] * *found++ - t;
            sums.error[frame * c + channel] += e * e;
            sums.truth[frame * c + channel] += t * t;
          }
    }
  }
  sums.count = static_cast<double>((last - first) * points.shape()[0]);
  return sums;
}

double pooled(const Residuals& sums, std::int64_t c) {
  double total = 0;
  for (std::int64_t channel = 0; channel < c; ++channel) {
    double error = 0;
    double truth = 0;
    for (std::size_t i = static_cast<std::size_t>(channel); i < sums.error.size(); i += static_cast<std::size_t>(c)) {
      error += sums.error[i];
      truth += sums.truth[i];
    }
    total += error / truth;
  }
  return std::sqrt(total / static_cast<double>(c));
}

std::unique_ptr<nn::Optimiser> make_optimiser(const std::string& name, const nn::Parameters& parameters) {
  if (name == "adam") return std::make_unique<nn::Adam>(parameters);
  return std::make_unique<nn::Soap>(parameters);
}

/// A training run that can be left and taken up again.
class Checkpoint {
 public:
  Checkpoint(std::filesystem::path path, std::string configuration)
      : path_(std::move(path)), configuration_(std::move(configuration)) {}

  void save(const nn::Parameters& parameters, const nn::Optimiser& optimiser, double seconds) const {
    nn::TensorFile file;
    file.metadata = {{"levda_configuration", configuration_},
                     {"steps", fmt::format("{}", optimiser.steps())},
                     {"seconds", fmt::format("{}", seconds)}};
    for (std::size_t i = 0; i < parameters.size(); ++i)
      if (parameters.trainable(i)) file.tensors["weights." + parameters.name(i)] = parameters[i];
    for (const auto& [name, tensor] : optimiser.state()) file.tensors["optimiser." + name] = tensor;
    nn::write_safetensors(path_, file);
  }

  /// Seconds of training before; 0 when there is nothing to go on from.
  double restore(nn::Parameters& parameters, nn::Optimiser& optimiser) const {
    std::error_code ignored;
    if (!std::filesystem::exists(path_, ignored)) return 0;
    const nn::TensorFile file = nn::read_safetensors(path_);
    const auto text = [&](const std::string& key) {
      const auto entry = file.metadata.find(key);
      if (entry == file.metadata.end()) throw InputError(path_.string(), key, "missing from the metadata");
      return entry->second;
    };
    if (text("levda_configuration") != configuration_)
      throw InputError(path_.string(), "levda_configuration",
                       "an unfinished training of another configuration; remove it, or choose another --out");
    nn::Optimiser::State state;
    for (const auto& [name, tensor] : file.tensors)
      if (name.starts_with("optimiser.")) state[name.substr(name.find('.') + 1)] = tensor;
    try {
      optimiser.restore(std::stoll(text("steps")), state);
      for (std::size_t i = 0; i < parameters.size(); ++i)
        if (parameters.trainable(i)) parameters.set(i, file.tensors.at("weights." + parameters.name(i)));
      return std::stod(text("seconds"));
    } catch (const std::exception& error) {  // a missing tensor, another shape, a number that is none
      throw InputError(path_.string(), "", error.what());
    }
  }

 private:
  std::filesystem::path path_;
  std::string configuration_;
};

}  // namespace

double product_rate(int threads) {
  constexpr std::int64_t n = 1024;
  using Clock = std::chrono::steady_clock;
  std::vector<Tensor> a;
  std::vector<Tensor> y;
  for (int i = 0; i < threads; ++i) {
    a.push_back(Tensor::full({n, n}, 1));
    y.push_back(Tensor::empty({n, n}));
  }
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const Clock::time_point begin = Clock::now();
    oneapi::tbb::parallel_for(
        oneapi::tbb::blocked_range<int>(0, threads, 1),
        [&](const auto& range) {
          for (int i = range.begin(); i < range.end(); ++i)
            a[i].backend().matmul(a[i], false, a[i], false, nullptr, y[i]);
        },
        oneapi::tbb::simple_partitioner());
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    best = std::max(best, 2.0 * n * n * n * threads / seconds);
  }
  return best;
}

std::string training_fingerprint(const Config& config, const Dataset& data) {
  return fingerprint(config, {"surrogate", "training"}) + data.fingerprint;
}

double surrogate_error(const models::Surrogate& s, const Dataset& data, std::int64_t first, std::int64_t last) {
  return pooled(residuals(s, data, first, last, 1), data.about.channels());
}

std::optional<models::Surrogate> train_surrogate(const Config& config, const Dataset& data,
                                                 const std::filesystem::path& checkpoint, int threads,
                                                 std::FILE* progress, const std::function<bool()>& stop) {
  const TrainingConfig& training = config.training;
  const models::Description& about = data.about;
  if (data.train < training.trajectories)
    throw InputError(
        "configuration", "training.trajectories",
        fmt::format("{}, but the data set has {} training trajectories", training.trajectories, data.train));
  models::LdnetArchitecture architecture = config.surrogate;
  architecture.parameters = about.parameters();
  architecture.channels = about.channels();
  const Moments moments = field_moments(data);
  models::Surrogate s{.about = about,
                      .net = models::Ldnet(architecture, static_cast<std::uint64_t>(training.seed) + weight_seed),
                      .field_mean = moments.mean,
                      .field_std = moments.deviation,
                      .training_parameters = {},
                      .training_latents = {},
                      .error_variance = {},
                      .provenance = {}};
  const Batches batches(training, data, s);
  const std::unique_ptr<nn::Optimiser> optimiser = make_optimiser(training.optimiser, s.net.parameters());
  const std::string configuration = training_fingerprint(config, data);
  const Checkpoint saved(checkpoint, configuration);
  const double before = saved.restore(s.net.parameters(), *optimiser);
  const std::int64_t resumed = optimiser->steps();

  const nn::TrainingSettings settings{.steps = training.steps,
                                      .schedule = nn::CosineSchedule{.rate = training.rate, .steps = training.steps},
                                      .clip = training.clip,
                                      .validate_every = training.validate_every,
                                      .checkpoint_seconds = config.checkpoint_seconds,
                                      .progress = progress};
  const double rows = static_cast<double>(training.trajectories * about.frames * training.points);
  const double work = 6 * static_cast<double>(s.net.decoder_weights()) * rows;
  const auto validation = [&] {
    const std::int64_t last = data.train + std::min<std::int64_t>(data.valid, 8);
    return pooled(residuals(s, data, data.train, last, 4), about.channels());
  };
  const double reference = product_rate(threads);
  const nn::TrainingResult result =
      nn::train(s.net.parameters(), *optimiser, settings,
                {.loss = [&](std::int64_t step) { return loss(s.net, batches.at(step), about.frames, training.tile); },
                 .validate = validation,
                 .checkpoint = [&](double so_far) { saved.save(s.net.parameters(), *optimiser, before + so_far); },
                 .stop = stop});
  if (!result.finished) return std::nullopt;
  const double seconds = before + result.seconds;
  const double rate = resumed < training.steps ? work * static_cast<double>(training.steps) / seconds : 0;
  if (progress != nullptr)
    fmt::print(
        progress,
        "train: {:.1f} s, {:.1f} GFLOP/s (6 x {} decoder weights x {:.0f} rows x {} steps); products of 1024^3 on {} "
        "threads: {:.1f} GFLOP/s; {:.0f}%\n",
        seconds, rate * 1e-9, s.net.decoder_weights(), rows, training.steps, threads, reference * 1e-9,
        100 * rate / reference);

  const auto p = static_cast<std::size_t>(about.parameters());
  const std::span<const double> prior(data.parameters.data(), static_cast<std::size_t>(data.train) * p);
  s.training_parameters = Tensor::from(prior, {data.train, about.parameters()});
  s.training_latents = models::latent_trajectories(s.net, s.normal_parameters(prior), about.frames);
  const Residuals valid = residuals(s, data, data.train, data.first_test(), 1);
  std::vector<double> variance;
  for (std::size_t i = 0; i < valid.error.size(); ++i) {
    const double deviation = s.field_std[i % s.field_std.size()];
    variance.push_back(valid.error[i] / valid.count / (deviation * deviation));
  }
  s.error_variance = Tensor::from(std::span<const double>(variance), {about.frames, about.channels()});
  const double error = surrogate_error(s, data, data.first_test(), data.members());
  s.provenance = {{"levda_configuration", configuration},
                  {"version", version()},
                  {"trained", timestamp()},
                  {"machine", machine()},
                  {"threads", fmt::format("{}", threads)},
                  {"seed", fmt::format("{}", training.seed)},
                  {"train_seconds", fmt::format("{:.1f}", seconds)},
                  {"train_gflops", fmt::format("{:.1f}", rate * 1e-9)},
                  {"product_gflops", fmt::format("{:.1f}", reference * 1e-9)},
                  {"test_rel_rmse", fmt::format("{:.6f}", error)}};
  return s;
}

}  // namespace levda::experiments
