/// How fast a device trains the networks of the paper, and multiplies matrices of their sizes: a JSON file, which
/// gpu_results.py sets beside PyTorch's (torch_bench.py).
///   levda_gpu_bench --case T-paper --device cuda --out T-paper.json
///   levda_gpu_bench --truths 256 --device cuda --out truths.json       how fast it assimilates them (many_truths.h)
/// A step is all that nn::train records: rollout, decoder loss, gradient, clipping, Adam. Its batch is drawn once,
/// before the clock starts, and stays in the device's memory. Peak memory is of the process, so each case needs a
/// separate process.

#include <fmt/format.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/info.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "autodiff/random.h"
#include "experiments/bench/cublas_rate.h"
#include "experiments/bench/many_truths.h"
#include "experiments/bench/paper_cases.h"
#include "experiments/config/version.h"
#include "experiments/training/training.h"
#include "models/ldnet.h"
#include "nn/adam.h"
#include "nn/atomic_file.h"

namespace {

using namespace levda;
using namespace levda::bench;
using autodiff::Backend;
using autodiff::DType;
using autodiff::MatmulPrecision;
using autodiff::Shape;
using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;
using Json = nlohmann::ordered_json;

struct Options {
  std::string wanted = "T-paper";
  std::string device = "cuda";
  std::vector<std::string> precisions{"float32"};
  std::string out;
  double scale = 1;
  std::int64_t tile = 0;    ///< 0: as in training
  double seconds = 8;       ///< for the samples of one figure
  std::int64_t truths = 0;  ///< to be assimilated; 0: a training is timed
  int threads = oneapi::tbb::info::default_concurrency();
};

constexpr int most_samples = 50;

Tensor uniform(const Shape& shape, std::uint32_t stream, Backend& backend) {
  autodiff::Random random(1, stream);
  std::vector<float> values(static_cast<std::size_t>(shape.size()));
  for (float& value : values) value = static_cast<float>(2 * random.uniform() - 1);
  return Tensor::from(std::span<const float>(values), shape, DType::float32, backend);
}

struct Timing {
  double seconds;  ///< median
  int samples;
};

/// Time of one call of f, which a device may finish later: samples of as many calls as last 20 ms, each between two
/// waits for the device; 50 of them, or what fits into the limit, at least 5.
template <typename F>
Timing time(Backend& backend, double limit, const F& f) {
  using Clock = std::chrono::steady_clock;
  const auto run = [&](int calls) {
    backend.synchronise();
    const Clock::time_point begin = Clock::now();
    for (int i = 0; i < calls; ++i) f();
    backend.synchronise();
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  run(3);  // to warm up: the first calls may record, plan and allocate
  const double once = run(1);
  const int calls = static_cast<int>(std::clamp(std::ceil(0.02 / once), 1.0, 1000.0));
  const int samples = static_cast<int>(std::clamp(limit / (once * calls), 5.0, static_cast<double>(most_samples)));
  std::vector<double> seconds;
  for (int i = 0; i < samples; ++i) seconds.push_back(run(calls) / calls);
  std::nth_element(seconds.begin(), seconds.begin() + samples / 2, seconds.end());
  return {seconds[static_cast<std::size_t>(samples / 2)], samples};
}

/// One training step of a case with random data.
class Step {
 public:
  Step(const PaperCase& c, std::int64_t tile, Backend& backend)
      : net_(on(backend, c.net)),
        adam_(net_.parameters()),
        steps_(c.frames),
        tile_(tile),
        u_(uniform({c.trajectories, c.net.parameters}, 1, backend)),
        s0_(Tensor::zeros({c.trajectories, c.net.latent}, DType::float32, backend)),
        x_(uniform({c.groups(), c.points, 2}, 2, backend)),
        y_(uniform({c.groups(), c.points, c.net.channels}, 3, backend)),
        loss_(Tensor::zeros({}, DType::float32, backend)),
        recording_(backend.record([this] { compute(); })) {}

  void run() {
    adam_.begin_step(1e-3);
    recording_->run();
  }
  /// Loss of the last step.
  double loss() const { return loss_.item(); }
  const models::Ldnet& net() const { return net_; }

 private:
  static models::Ldnet on(Backend& backend, const models::LdnetArchitecture& architecture) {
    models::Ldnet net(architecture, 1);
    net.parameters().move(backend);
    return net;
  }

  void compute() {
    autodiff::Tape tape;
    const Vars w = net_.parameters().on(tape);
    const Var states = net_.trajectory(w, Vars(static_cast<std::size_t>(steps_), Var(u_)), Var(s0_));
    const Var s = reshape(states, {x_.shape()[0], states.shape()[2]});
    const Var total = models::decoding_error(net_, w, s, Var(x_), Var(y_), tile_);
    Vars trainable;
    for (const Var& weight : w)
      if (weight.tracked()) trainable.push_back(weight);
    std::vector<Tensor> gradients;
    for (const Var& gradient :
         autodiff::vjp(total, Var(Tensor::full({}, 1, DType::float32, total.value().backend())), trainable))
      gradients.push_back(gradient.value());
    nn::clip_global_norm(gradients, 1);
    adam_.update(net_.parameters(), gradients);
    loss_.backend().copy({1}, total.value(), {}, loss_, {});
  }

  models::Ldnet net_;
  nn::Adam adam_;
  std::int64_t steps_;
  std::int64_t tile_;
  Tensor u_, s0_, x_, y_, loss_;
  std::unique_ptr<autodiff::Recording> recording_;
};

/// Floating-point operations of a step: a forward and two backward products per weight and row.
double flop_of(const PaperCase& c, const models::Ldnet& net) {
  const auto count = [](std::int64_t in, std::int64_t depth, std::int64_t width, std::int64_t out) {
    return static_cast<double>(in * width + (depth - 1) * width * width + width * out);
  };
  const models::LdnetArchitecture& a = c.net;
  return 6 * (static_cast<double>(net.decoder_weights()) * static_cast<double>(c.rows()) +
              count(a.parameters + a.latent, a.dynamics_depth, a.dynamics_width, a.latent) *
                  static_cast<double>(c.groups()));
}

Json step_of(const PaperCase& c, const std::string& precision, const Options& options, Backend& backend) {
  Step step(c, options.tile, backend);
  step.run();
  const double first = step.loss();
  const Timing timing = time(backend, options.seconds, [&] { step.run(); });
  const double last = step.loss();
  if (!(last < first))
    throw Error(fmt::format("{}: the loss was {} after the first step and is {} now", c.name, first, last));
  const double flop = flop_of(c, step.net());
  return {{"case", c.name},
          {"precision", precision},
          {"mode", "levda"},
          {"seconds", timing.seconds},
          {"samples", timing.samples},
          {"peak_bytes", backend.memory().peak},
          {"tile", options.tile},
          {"flop", flop},
          {"flop_per_second", flop / timing.seconds},
          {"first_loss", first},
          {"last_loss", last}};
}

/// The products of a hidden layer over a tile: forward, and the gradients of input and weight.
Json products_of(const PaperCase& c, const std::string& precision, const Options& options, Backend& backend) {
  const std::int64_t width = c.net.decoder_width;
  const std::int64_t rows = std::min(c.groups(), options.tile) * c.points;
  Json all = Json::array();
  for (const auto& [name, p] : {std::pair<const char*, Product>{"x W", {rows, width, width, false, false}},
                                std::pair<const char*, Product>{"g W'", {rows, width, width, false, true}},
                                std::pair<const char*, Product>{"x' g", {width, rows, width, true, false}}}) {
    const Tensor a = uniform(p.transpose_a ? Shape{p.inner, p.rows} : Shape{p.rows, p.inner}, 1, backend);
    const Tensor b = uniform(p.transpose_b ? Shape{p.columns, p.inner} : Shape{p.inner, p.columns}, 2, backend);
    Tensor y = Tensor::empty({p.rows, p.columns}, DType::float32, backend);
    const Timing timing =
        time(backend, options.seconds / 4, [&] { backend.matmul(a, p.transpose_a, b, p.transpose_b, nullptr, y); });
    const double flop = 2.0 * static_cast<double>(p.rows * p.inner * p.columns);
    Json entry{{"case", c.name},
               {"product", name},
               {"precision", precision},
               {"rows", p.rows},
               {"inner", p.inner},
               {"columns", p.columns},
               {"seconds", timing.seconds},
               {"flop_per_second", flop / timing.seconds}};
    if (backend.device() == autodiff::Device::cuda) {
      const int repeats = static_cast<int>(std::clamp(0.02 / timing.seconds, 1.0, 1000.0));
      if (const auto seconds = cublas_seconds(p, precision == "tf32", 25, repeats))
        entry["cublas_flop_per_second"] = flop / *seconds;
    }
    all.push_back(std::move(entry));
  }
  return all;
}

Options parse(int argc, char** argv) {
  Options o;
  CLI::App app("Times training steps and products at the sizes of arXiv 2411.19305", "levda_gpu_bench");
  std::vector<std::string> names;
  for (const PaperCase& c : paper_cases()) names.push_back(c.name);
  app.add_option("--case", o.wanted, "Which training")->check(CLI::IsMember(names))->capture_default_str();
  app.add_option("--device", o.device, "cuda or cpu")->check(CLI::IsMember({"cuda", "cpu"}))->capture_default_str();
  app.add_option("--precision", o.precisions, "Of products: float32, tf32 (repeatable)")
      ->check(CLI::IsMember({"float32", "tf32"}));
  app.add_option("--out", o.out, "JSON file (default: standard output)");
  app.add_option("--scale", o.scale, "Factor of widths, frames and points, at most 1")->check(CLI::Range(1e-6, 1.0));
  app.add_option("--tile", o.tile, "Groups that are decoded together (default: as training has it)")
      ->check(CLI::PositiveNumber);
  app.add_option("--seconds", o.seconds, "For the samples of a figure; fewer than 50 where they do not fit")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--truths", o.truths, "Assimilate the first N of 256 truths instead")->check(CLI::Range(1, 256));
  app.add_option("--threads", o.threads, "Of the CPU")->check(CLI::Range(1, 1024))->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error) == 0 ? 0 : 2);
  }
  return o;
}

void write(const Json& result, const Options& options) {
  const std::string text = result.dump(1) + "\n";
  if (options.out.empty())
    fmt::print("{}", text);
  else
    nn::write_text_file(options.out, text);
}

int run(int argc, char** argv) {
  Options options = parse(argc, argv);
  const oneapi::tbb::global_control threads(oneapi::tbb::global_control::max_allowed_parallelism,
                                            static_cast<std::size_t>(options.threads));
  Backend& backend = autodiff::backend_of(options.device == "cuda" ? autodiff::Device::cuda : autodiff::Device::cpu);
  if (options.truths > 0) {
    Json result = many_truths(options.truths, backend);
    result["threads"] = options.threads;
    fmt::print(stderr, "{} truths: {:.3f} s\n", options.truths, result["seconds"].get<double>());
    write(result, options);
    return 0;
  }
  PaperCase chosen = paper_cases().front();
  for (const PaperCase& c : paper_cases())
    if (c.name == options.wanted) chosen = c;
  chosen = scaled(chosen, options.scale);
  if (options.tile == 0) options.tile = models::tile_of(chosen.net, chosen.training, chosen.points, backend);
  Json result{{"program", "levda " + experiments::version()},
              {"device", backend.description()},
              {"machine", experiments::machine()},
              {"made", experiments::timestamp()},
              {"scale", options.scale},
              {"trajectories", chosen.trajectories},
              {"frames", chosen.frames},
              {"points", chosen.points},
              {"published_error", chosen.published_error},
              {"steps", Json::array()},
              {"products", Json::array()}};
  for (const std::string& precision : options.precisions) {
    backend.set_matmul_precision(precision == "tf32" ? MatmulPrecision::tf32 : MatmulPrecision::float32);
    result["steps"].push_back(step_of(chosen, precision, options, backend));
    for (Json& product : products_of(chosen, precision, options, backend))
      result["products"].push_back(std::move(product));
    const Json& step = result["steps"].back();
    fmt::print(stderr, "{} {}: {:.3f} ms, {:.2f} TFLOP/s, peak {:.2f} GB\n", chosen.name, precision,
               1e3 * step["seconds"].get<double>(), 1e-12 * step["flop_per_second"].get<double>(),
               1e-9 * step["peak_bytes"].get<double>());
  }
  write(result, options);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "levda_gpu_bench: {}\n", error.what());
    return 2;
  }
}
