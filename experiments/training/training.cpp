#include "experiments/training/training.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <chrono>

#include "experiments/config/version.h"
#include "experiments/process.h"

namespace levda::experiments {

using autodiff::Backend;
using autodiff::Tensor;

namespace {

std::string duration(double seconds) {
  if (seconds > 2 * 86400) return fmt::format("{:.1f} days", seconds / 86400);
  if (seconds > 2 * 3600) return fmt::format("{:.1f} hours", seconds / 3600);
  return fmt::format("{:.0f} minutes", seconds / 60);
}

/// Rate of products of matrices of edge n in float32, with the backend as it is set, in FLOP/s: the best of 5. On the
/// CPU each thread computes one at the same time.
double product_rate(Backend& backend, std::int64_t n, int threads) {
  using Clock = std::chrono::steady_clock;
  std::vector<Tensor> a;
  std::vector<Tensor> y;
  for (int i = 0; i < threads; ++i) {
    a.push_back(Tensor::full({n, n}, 1, autodiff::DType::float32, backend));
    y.push_back(Tensor::empty({n, n}, autodiff::DType::float32, backend));
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

std::string training_fingerprint(const Config& config, const Dataset& data) {
  return fingerprint(config, {"surrogate", "training"}) + data.fingerprint;
}

models::Surrogate train_surrogate(const Config& config, const Dataset& data, const TrainingOptions& given) {
  TrainingOptions options = given;
  options.configuration = training_fingerprint(config, data);
  options.checkpoint_seconds = config.checkpoint_seconds;
  models::LdnetTraining training(data, config.surrogate, config.training, options);
  Backend& backend = *options.backend;
  const bool device = backend.prefers_large_batches();
  // A short training is no measure of a rate, and the products would take longer than the training.
  constexpr std::int64_t measurable = 5000;
  const std::int64_t edge = device ? 4096 : 1024;
  const double reference =
      config.training.steps >= measurable ? product_rate(backend, edge, device ? 1 : options.threads) : 0;
  const double work = training.work();
  const std::int64_t left = training.steps() - training.steps_before();
  if (!device && options.progress != nullptr && reference > 0 && work * static_cast<double>(left) / reference > 1800) {
    const double one = training.seconds_of_a_step();
    tell(options.progress, "train: {} steps of {:.2g} s: about {} on this CPU; --time-limit stops with a checkpoint\n",
         left, one, duration(one * static_cast<double>(left)));
  }
  models::Surrogate s = training.run();
  const double seconds = training.seconds();
  const double rate = left > 0 ? work * static_cast<double>(training.steps()) / seconds : 0;
  if (reference > 0)
    tell(options.progress,
         "train: {:.1f} s, {:.1f} GFLOP/s (6 x {} decoder weights x {:.0f} rows x {} steps); products of {}^3 on {}: "
         "{:.1f} GFLOP/s; {:.0f}%\n",
         seconds, rate * 1e-9, s.net.decoder_weights(), training.rows(), training.steps(), edge,
         device ? "the device" : fmt::format("{} threads", options.threads), reference * 1e-9, 100 * rate / reference);
  s.provenance["version"] = version();
  s.provenance["trained"] = timestamp();
  s.provenance["machine"] = machine();
  s.provenance["threads"] = fmt::format("{}", options.threads);
  s.provenance["train_gflops"] = fmt::format("{:.1f}", rate * 1e-9);
  s.provenance["product_gflops"] = fmt::format("{:.1f}", reference * 1e-9);
  return s;
}

}  // namespace levda::experiments
