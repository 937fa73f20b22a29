#include "experiments/training.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>
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
enum Stream : std::uint32_t { order_stream = 100, point_stream = 1000 };

/// Normalised values at network coordinates, in groups that share a latent state.
struct Samples {
  Tensor x;                    // (groups, points, 2)
  Tensor y;                    // (groups, points, c)
  std::optional<Tensor> mask;  // as y: 0 where a value is missing

  double count() const { return mask ? sum(Var(*mask)).value().item() : static_cast<double>(y.size()); }
};

/// Batches of whole trajectories at random nodes, and at random places between frames. Groups are (frame, trajectory)
/// or (interval, trajectory), the trajectory innermost.
class Batches {
 public:
  Batches(const TrainingConfig& config, const Dataset& data, const models::Surrogate& s)
      : config_(config), data_(data), parameters_(s.normal_parameters(data.parameters)) {
    const models::Grid& grid = data.about.grid;
    coordinates_ = models::grid_points(grid, 1).to_floats();
    const std::int64_t cells = grid.cells();
    const std::int64_t c = data.about.channels();
    std::vector<float> scale;
    std::vector<float> mean;
    for (std::int64_t channel = 0; channel < c; ++channel) {
      mean.push_back(static_cast<float>(s.field_mean[channel]));
      scale.push_back(static_cast<float>(1 / s.field_std[channel]));
    }
    // Channels innermost, so that a random node is one place in memory.
    fields_.resize(static_cast<std::size_t>(data.train * data.about.frames * cells * c));
    oneapi::tbb::parallel_for(std::int64_t{0}, data.train * data.about.frames, [&](std::int64_t frame) {
      const float* from = data.fields.data() + frame * cells * c;
      float* to = fields_.data() + frame * cells * c;
      for (std::int64_t channel = 0; channel < c; ++channel)
        for (std::int64_t i = 0; i < cells; ++i)
          to[i * c + channel] = (from[channel * cells + i] - mean[channel]) * scale[channel];
    });
    missing_ = std::any_of(fields_.begin(), fields_.end(), [](float value) { return std::isnan(value); });
    const BetweenFrames& between = data.between;
    const std::int64_t places = data.train * (data.about.frames - 1) * between.points;
    for (std::int64_t i = 0; i < places; ++i) {
      between_coordinates_.push_back(static_cast<float>(grid.normal_x(between.x[i])));
      between_coordinates_.push_back(static_cast<float>(grid.normal_y(between.y[i])));
      for (std::int64_t channel = 0; channel < c; ++channel)
        between_values_.push_back((between.values[i * c + channel] - mean[channel]) * scale[channel]);
    }
  }

  struct Batch {
    Vars u;  // (trajectories, p), one per step
    Samples frames;
    Tensor fraction;                 // (intervals x trajectories, 1)
    std::optional<Samples> between;  // none where the data have none
  };

  Batch at(std::int64_t step) const {
    const std::int64_t size = config_.trajectories;
    const std::int64_t per_epoch = data_.train / size;
    const std::int64_t frames = data_.about.frames;
    const std::int64_t cells = data_.about.grid.cells();
    const auto seed = static_cast<std::uint64_t>(config_.seed);
    const std::vector<std::int64_t> order =
        Random(seed, order_stream, static_cast<std::uint32_t>(step / per_epoch)).permutation(data_.train);
    const std::span<const std::int64_t> chosen =
        std::span(order).subspan(static_cast<std::size_t>(step % per_epoch * size), static_cast<std::size_t>(size));

    Batch batch{.u = parameters(chosen),
                .frames = draw(chosen, frames, config_.points, point_stream, step, cells, coordinates_.data(), false,
                               fields_.data()),
                .fraction = {},
                .between = std::nullopt};
    if (data_.between.points > 0) {
      const auto stream = point_stream + static_cast<std::uint32_t>(frames * size);
      batch.between = draw(chosen, frames - 1, config_.between, stream, step, data_.between.points,
                           between_coordinates_.data(), true, between_values_.data());
      std::vector<double> fraction;
      for (std::int64_t interval = 0; interval < frames - 1; ++interval)
        for (const std::int64_t member : chosen)
          fraction.push_back(data_.between.fraction[member * (frames - 1) + interval]);
      batch.fraction = Tensor::from(std::span<const double>(fraction), {(frames - 1) * size, 1}, DType::float32);
    }
    return batch;
  }

 private:
  Vars parameters(std::span<const std::int64_t> chosen) const {
    const std::int64_t p = data_.about.parameters();
    const std::int64_t frames = data_.about.frames;
    const std::int64_t times = data_.varying ? frames : 1;
    Vars u;
    for (std::int64_t frame = 0; frame < times; ++frame) {
      std::vector<double> values;
      for (const std::int64_t member : chosen) {
        const double* own = parameters_.data() + (member * times + frame) * p;
        values.insert(values.end(), own, own + p);
      }
      u.emplace_back(
          Tensor::from(std::span<const double>(values), {static_cast<std::int64_t>(chosen.size()), p}, DType::float32));
    }
    u.resize(static_cast<std::size_t>(frames), u.front());
    return u;
  }

  /// Random places of every (time, chosen member), `times` of them per member. Coordinates are of `places` for all
  /// (time, member), or for each of them own ones; values are (member, time, place, channel).
  Samples draw(std::span<const std::int64_t> chosen, std::int64_t times, std::int64_t points, std::uint32_t stream,
               std::int64_t step, std::int64_t places, const float* coordinates, bool own_coordinates,
               const float* values) const {
    const auto size = static_cast<std::int64_t>(chosen.size());
    const std::int64_t c = data_.about.channels();
    const std::int64_t groups = times * size;
    std::vector<float> x(static_cast<std::size_t>(groups * points * 2));
    std::vector<float> y(static_cast<std::size_t>(groups * points * c));
    oneapi::tbb::parallel_for(std::int64_t{0}, groups, [&](std::int64_t group) {
      Random random(static_cast<std::uint64_t>(config_.seed), stream + static_cast<std::uint32_t>(group),
                    static_cast<std::uint32_t>(step));
      const std::int64_t state = chosen[group % size] * times + group / size;
      const float* from = values + state * places * c;
      const float* where = coordinates + (own_coordinates ? state * places * 2 : 0);
      for (std::int64_t k = group * points; k < (group + 1) * points; ++k) {
        const std::int64_t place = random.below(places);
        std::copy_n(where + 2 * place, 2, x.data() + 2 * k);
        std::copy_n(from + c * place, c, y.data() + c * k);
      }
    });
    Samples samples{.x = Tensor::from(std::span<const float>(x), {groups, points, 2}), .y = {}, .mask = std::nullopt};
    if (missing_) {
      std::vector<float> mask(y.size(), 1);
      for (std::size_t i = 0; i < y.size(); ++i)
        if (std::isnan(y[i])) mask[i] = y[i] = 0;
      samples.mask = Tensor::from(std::span<const float>(mask), {groups, points, c});
    }
    samples.y = Tensor::from(std::span<const float>(y), {groups, points, c});
    return samples;
  }

  TrainingConfig config_;
  const Dataset& data_;
  std::vector<double> parameters_;
  std::vector<float> coordinates_;  // (cells, 2)
  std::vector<float> fields_;       // (members, frames, cells, c)
  bool missing_ = false;
  std::vector<float> between_coordinates_;  // (members, frames - 1, places, 2)
  std::vector<float> between_values_;       // (members, frames - 1, places, c)
};

/// States between frames: an Euler step of a share of the interval lies on the line between its ends.
Var between_states(const Var& frames, const Tensor& fraction, std::int64_t trajectories) {
  const std::int64_t rows = fraction.shape()[0];
  const Var before = slice(frames, 0, 0, rows);
  const Var after = slice(frames, 0, trajectories, rows);
  return before + Var(fraction) * (after - before);
}

/// Mean squared error of a batch and its gradient.
nn::LossAndGradients loss(const models::Ldnet& net, const Batches::Batch& batch, const TrainingConfig& config) {
  autodiff::Tape tape;
  const Vars w = net.parameters().on(tape);
  const Var s0(Tensor::zeros({config.trajectories, net.architecture().latent}));
  Vars states = net.rollout(w, batch.u, s0);
  states.erase(states.begin());
  const Var s = concat(states, 0);
  const auto error = [&](const Var& latents, const Samples& samples) {
    return models::decoding_error(net, w, latents, Var(samples.x), Var(samples.y), config.tile, samples.mask);
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
  for (const Var& gradient : autodiff::vjp(total, Var(Tensor::full({}, 1)), trainable))
    result.gradients.push_back(gradient.value());
  return result;
}

/// Sums over members and places of squared residuals and squared truths, physical units, per (time, channel).
struct Residuals {
  std::vector<double> error;
  std::vector<double> truth;
  std::vector<double> count;  // terms

  explicit Residuals(std::int64_t size) : error(static_cast<std::size_t>(size)), truth(error), count(error) {}

  void add(std::int64_t at, double found, double true_value) {
    if (std::isnan(true_value)) return;
    error[at] += (found - true_value) * (found - true_value);
    truth[at] += true_value * true_value;
    count[at] += 1;
  }
};

/// At the frames and every stride-th node, per (frame, channel).
Residuals residuals(const models::Surrogate& s, const Dataset& data, std::int64_t first, std::int64_t last,
                    std::int64_t stride) {
  const models::Description& about = data.about;
  const std::int64_t c = about.channels();
  const models::Grid& grid = about.grid;
  if (grid.listed()) stride = 1;
  const Tensor points = models::grid_points(grid, stride);
  Residuals sums(about.frames * c);
  for (std::int64_t member = first; member < last; ++member) {
    const std::vector<double> u = s.normal_parameters(data.parameters_of(member));
    const Tensor latents = models::latent_trajectories(s.net, u, 1, about.frames);
    const Tensor fields = models::decode_states(s.net, latents.reshaped({about.frames, latents.shape()[2]}), points);
    const float* found = fields.data<float>();
    for (std::int64_t frame = 0; frame < about.frames; ++frame) {
      const std::span<const float> truth = data.frame(member, frame);
      for (std::int64_t j = 0; j < grid.ny; j += stride)
        for (std::int64_t i = 0; i < grid.nx; i += stride)
          for (std::int64_t k = 0; k < c; ++k)
            sums.add(frame * c + k, s.field_mean[k] + s.field_std[k] * *found++,
                     truth[k * grid.cells() + j * grid.nx + i]);
    }
  }
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
  for (std::int64_t member = first; member < last; ++member) {
    const std::vector<double> u = s.normal_parameters(data.parameters_of(member));
    const Tensor latents = models::latent_trajectories(s.net, u, 1, about.frames);
    const std::span<const double> fraction =
        std::span(between.fraction).subspan(static_cast<std::size_t>(member * intervals), intervals);
    const Var states = between_states(Var(latents.reshaped({about.frames, latents.shape()[2]})),
                                      Tensor::from(fraction, {intervals, 1}, DType::float32), 1);
    for (std::int64_t interval = 0; interval < intervals; ++interval) {
      const std::int64_t begin = (member * intervals + interval) * between.points;
      std::vector<float> x;
      for (std::int64_t k = begin; k < begin + between.points; ++k) {
        x.push_back(static_cast<float>(about.grid.normal_x(between.x[k])));
        x.push_back(static_cast<float>(about.grid.normal_y(between.y[k])));
      }
      const Var points(Tensor::from(std::span<const float>(x), {1, between.points, 2}));
      const std::vector<float> found =
          s.net.decode_groups(weights, slice(states, 0, interval, 1), points).value().to_floats();
      for (std::size_t i = 0; i < found.size(); ++i) {
        const auto k = static_cast<std::int64_t>(i) % c;
        sums.add(interval * c + k, s.field_mean[k] + s.field_std[k] * found[i],
                 between.values[static_cast<std::size_t>(begin * c) + i]);
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

std::unique_ptr<nn::Optimiser> make_optimiser(const std::string& name, const nn::Parameters& parameters) {
  if (name == "adam") return std::make_unique<nn::Adam>(parameters);
  return std::make_unique<nn::Soap>(parameters);
}

constexpr const char* checkpoint_format = "levda-checkpoint-1";

/// A training run that can be left and taken up again.
class Checkpoint {
 public:
  Checkpoint(std::filesystem::path path, std::string configuration)
      : path_(std::move(path)), configuration_(std::move(configuration)) {}

  void save(const nn::Parameters& parameters, const nn::Optimiser& optimiser, double seconds) const {
    nn::TensorFile file;
    file.metadata = {{"format", checkpoint_format},
                     {"levda_configuration", configuration_},
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
    if (text("format") != checkpoint_format)
      throw InputError(path_.string(), "format",
                       fmt::format("\"{}\" of another version, where \"{}\" is needed; remove it, or choose another "
                                   "--out",
                                   text("format"), checkpoint_format));
    if (text("levda_configuration") != configuration_)
      throw InputError(path_.string(), "levda_configuration",
                       "an unfinished training of another configuration; remove it, or choose another --out");
    const auto number = [&]<typename T>(const char* key, T value) {
      const std::string given = text(key);
      const char* last = given.data() + given.size();
      const auto [end, error] = std::from_chars(given.data(), last, value);
      if (error != std::errc() || end != last || !(value >= 0 && value <= std::numeric_limits<T>::max()))
        throw InputError(path_.string(), key, fmt::format("\"{}\" is not a number from 0 on", given));
      return value;
    };
    const auto steps = number("steps", std::int64_t{});
    const double seconds = number("seconds", 0.0);
    nn::Optimiser::State state;
    for (const auto& [name, tensor] : file.tensors)
      if (name.starts_with("optimiser.")) state[name.substr(name.find('.') + 1)] = tensor;
    try {
      optimiser.restore(steps, state);
      for (std::size_t i = 0; i < parameters.size(); ++i)
        if (parameters.trainable(i))
          parameters.set(i, nn::restored("weights", file.tensors, "weights." + parameters.name(i), parameters[i]));
    } catch (const Error& error) {  // a missing tensor, another shape or type
      throw InputError(path_.string(), "", error.what());
    }
    return seconds;
  }

 private:
  std::filesystem::path path_;
  std::string configuration_;
};

/// Rate of products of 1024^3 in float32, one per thread at once, in FLOP/s: the best of 5.
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

}  // namespace

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
  if (architecture.latent_dt == 0) architecture.latent_dt = 4 / static_cast<double>(about.frames);
  const Moments moments = field_moments(data);
  models::Surrogate s{.about = about,
                      .net = models::Ldnet(architecture, static_cast<std::uint64_t>(training.seed)),
                      .field_mean = moments.mean,
                      .field_std = moments.deviation,
                      .training_parameters = {},
                      .training_latents = {},
                      .error_variance = {},
                      .between_variance = {},
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
  std::int64_t values = about.frames * training.points;  // of a trajectory
  if (data.between.points > 0) values += (about.frames - 1) * training.between;
  const double rows = static_cast<double>(training.trajectories * values);
  const double work = 6 * static_cast<double>(s.net.decoder_weights()) * rows;
  const auto validation = [&] {
    const std::int64_t last = data.train + std::min<std::int64_t>(data.valid, 8);
    return pooled(residuals(s, data, data.train, last, 4), about.channels());
  };
  // A short training is no measure of a rate, and the products would take longer than it.
  constexpr std::int64_t measurable = 5000;
  const double reference = training.steps >= measurable ? product_rate(threads) : 0;
  std::int64_t selected = 0;
  const nn::TrainingResult result =
      nn::train(s.net.parameters(), *optimiser, settings,
                {.select = [&](std::int64_t step) { selected = step; },
                 .loss = [&] { return loss(s.net, batches.at(selected), training); },
                 .validate = validation,
                 .checkpoint = [&](double so_far) { saved.save(s.net.parameters(), *optimiser, before + so_far); },
                 .stop = stop});
  if (!result.finished) return std::nullopt;
  const double seconds = before + result.seconds;
  const double rate = resumed < training.steps ? work * static_cast<double>(training.steps) / seconds : 0;
  if (progress != nullptr && reference > 0)
    fmt::print(
        progress,
        "train: {:.1f} s, {:.1f} GFLOP/s (6 x {} decoder weights x {:.0f} rows x {} steps); products of 1024^3 on {} "
        "threads: {:.1f} GFLOP/s; {:.0f}%\n",
        seconds, rate * 1e-9, s.net.decoder_weights(), rows, training.steps, threads, reference * 1e-9,
        100 * rate / reference);

  const std::int64_t p = about.parameters();
  const std::span<const double> prior = std::span(data.parameters)
                                            .first(data.parameters.size() / static_cast<std::size_t>(data.members()) *
                                                   static_cast<std::size_t>(data.train));
  s.training_parameters =
      Tensor::from(prior, data.varying ? autodiff::Shape{data.train, about.frames, p} : autodiff::Shape{data.train, p});
  s.training_latents = models::latent_trajectories(s.net, s.normal_parameters(prior), data.train, about.frames);
  s.error_variance = error_variance(residuals(s, data, data.train, data.first_test(), 1), s.field_std);
  // Where nothing is known between frames, the surrogate counts as good there as at the frame before.
  s.between_variance = data.between.points > 0
                           ? error_variance(between_residuals(s, data, data.train, data.first_test()), s.field_std)
                           : s.error_variance.rows(0, about.frames - 1).clone();
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
  if (data.between.points > 0)
    s.provenance["test_rel_rmse_between"] =
        fmt::format("{:.6f}", pooled(between_residuals(s, data, data.first_test(), data.members()), about.channels()));
  return s;
}

}  // namespace levda::experiments
