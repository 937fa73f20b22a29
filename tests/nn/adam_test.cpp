#include "nn/adam.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "autodiff/error.h"
#include "nn/schedule.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using namespace levda::nn;
using levda::testing::largest_difference;
using levda::testing::normal_tensor;
using levda::testing::same_bits;

namespace {

Tensor vector_of(const std::vector<double>& values, DType dtype) {
  return Tensor::from(std::span<const double>(values), {static_cast<std::int64_t>(values.size())}, dtype);
}

/// Algorithm 1 of Kingma & Ba (arXiv 1412.6980), one number.
struct PlainAdam {
  double beta1, beta2, epsilon;
  double m = 0;
  double v = 0;
  int t = 0;
  double step(double p, double g, double rate) {
    ++t;
    m = beta1 * m + (1 - beta1) * g;
    v = beta2 * v + (1 - beta2) * g * g;
    return p - rate * (m / (1 - std::pow(beta1, t))) / (std::sqrt(v / (1 - std::pow(beta2, t))) + epsilon);
  }
};

}  // namespace

TEST_CASE("Adam: the first step is the rate against the gradient's sign") {
  Parameters p;
  p.add("p", vector_of({1, 2, 3}, DType::float64));
  Adam adam(p);
  adam.step(p, std::vector<Tensor>{vector_of({5, -1e-3, 0}, DType::float64)}, 0.1);
  // m / sqrt(v) = g / |g| up to epsilon / |g|, 1e-5 for the second; a zero gradient moves nothing.
  const std::vector<double> found = p[0].to_vector();
  CHECK(std::abs(found[0] - (1 - 0.1 * 5 / (5 + 1e-8))) <= 1e-15);
  CHECK(std::abs(found[1] - (2 + 0.1 * 1e-3 / (1e-3 + 1e-8))) <= 1e-15);
  CHECK(found[2] == 3);
  CHECK(adam.steps() == 1);
}

TEST_CASE("Adam: float32 moments take the rounded 1 - beta, not 1 - the rounded beta") {
  Parameters p;
  p.add("p", vector_of({1}, DType::float32));
  Adam adam(p);
  adam.step(p, std::vector<Tensor>{vector_of({1}, DType::float32)}, 0.1);
  const Optimiser::State state = adam.state();
  CHECK(state.at("first.p").item() == static_cast<double>(0.1F));
  CHECK(state.at("second.p").item() == static_cast<double>(0.001F));
}

TEST_CASE("Adam: twenty steps are those of the published algorithm") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Adam::Settings settings{.beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-3};
    std::vector<double> values = normal_tensor({21}, 1).to_vector();  // whole registers and a rest
    Parameters p;
    p.add("p", vector_of(values, dtype));
    p.add("frozen", vector_of({7}, dtype), false);
    p.add("q", vector_of({-1}, dtype));
    values.push_back(-1);
    Adam adam(p, settings);
    std::vector<PlainAdam> plain(22, {settings.beta1, settings.beta2, settings.epsilon});
    for (int step = 0; step < 20; ++step) {
      const double rate = 0.05 / (1 + step);
      const Tensor g = normal_tensor({21}, 10 + static_cast<std::uint64_t>(step), dtype);
      const Tensor h = vector_of({std::cos(step)}, dtype);
      std::vector<double> all = g.to_vector();
      all.push_back(h.to_vector()[0]);
      for (std::size_t i = 0; i < 22; ++i) values[i] = plain[i].step(values[i], all[i], rate);
      adam.step(p, std::vector<Tensor>{g, h}, rate);
    }
    std::vector<double> found = p[0].to_vector();
    found.push_back(p[2].to_vector()[0]);
    // Per step one rounding of a number below 4 and ten of a step below 0.05, and the start's.
    const double unit = dtype == DType::float64 ? 0x1p-53 : 0x1p-24;
    CHECK(largest_difference(found, values) <= 21 * 6 * unit);
    CHECK(p[1].to_vector()[0] == 7);
    CHECK(adam.steps() == 20);
    const Optimiser::State state = adam.state();
    CHECK(state.size() == 4);
    CHECK(std::abs(state.at("first." + p.name(2)).to_vector()[0] - plain[21].m) <= 40 * unit);
    CHECK(std::abs(state.at("second." + p.name(2)).to_vector()[0] - plain[21].v) <= 40 * unit);
  }
}

TEST_CASE("Adam: finds the least of a quadratic") {
  Parameters p;
  p.add("p", vector_of({5, -3}, DType::float64));
  Adam adam(p);
  const CosineSchedule rate{.rate = 0.1, .steps = 500};
  for (std::int64_t step = 0; step < 500; ++step) {
    const std::vector<double> x = p[0].to_vector();
    adam.step(p, std::vector<Tensor>{vector_of({2 * (x[0] - 1), 20 * (x[1] + 2)}, DType::float64)}, rate(step));
  }
  CHECK(std::abs(p[0].to_vector()[0] - 1) <= 1e-3);
  CHECK(std::abs(p[0].to_vector()[1] + 2) <= 1e-3);
}

TEST_CASE("Adam: a restored optimiser goes on with the same bits") {
  const auto gradient = [](std::int64_t step) {
    return std::vector<Tensor>{normal_tensor({9}, static_cast<std::uint64_t>(step), DType::float32)};
  };
  Parameters through;
  through.add("p", normal_tensor({9}, 99, DType::float32));
  Adam adam(through);
  for (std::int64_t step = 0; step < 5; ++step) adam.step(through, gradient(step), 0.01);
  Parameters resumed;
  resumed.add("p", through[0].clone());
  Adam other(resumed);
  other.restore(adam.steps(), adam.state());
  CHECK(other.steps() == 5);
  for (std::int64_t step = 5; step < 10; ++step) {
    adam.step(through, gradient(step), 0.01);
    other.step(resumed, gradient(step), 0.01);
  }
  CHECK(same_bits(through[0], resumed[0]));
  CHECK(same_bits(adam.state().at("second.p"), other.state().at("second.p")));
}

TEST_CASE("AdamW: closed forms of a constant and of no gradient, and frozen parameters") {
  // A constant gradient g makes Adam's step rate s, s = g / (|g| + epsilon). With a = 1 - rate x weight_decay:
  // p_n = a p_(n-1) - rate s, so p_n = a^n p_0 - (1 - a^n) s / weight_decay.
  const double rate = 0.05;
  const double weight_decay = 0.4;
  const double epsilon = 1e-3;
  const double g = -0.7;
  Parameters p;
  p.add("p", vector_of({2, -3}, DType::float64));
  p.add("frozen", vector_of({7}, DType::float64), false);
  p.add("still", vector_of({5}, DType::float64));
  Adam adam(p, {.epsilon = epsilon, .weight_decay = weight_decay});
  const std::vector<Tensor> gradients{vector_of({g, g}, DType::float64), vector_of({0}, DType::float64)};
  const int steps = 30;
  for (int step = 0; step < steps; ++step) adam.step(p, gradients, rate);
  const double left = std::pow(1 - rate * weight_decay, steps);
  const double pull = (1 - left) * g / (std::abs(g) + epsilon) / weight_decay;
  // Per step some ten roundings of numbers of at most 5.
  const double bound = steps * 10 * 5 * 0x1p-53;
  CHECK(largest_difference(p[0].to_vector(), std::vector<double>{2 * left - pull, -3 * left - pull}) <= bound);
  CHECK(std::abs(p[2].item() - 5 * left) <= bound);
  CHECK(p[1].item() == 7);
}

TEST_CASE("AdamW: a decay of 0 is Adam, bit for bit, and the moments never see the decay") {
  const auto run = [](const Adam::Settings& settings) {
    Parameters p;
    p.add("p", normal_tensor({9}, 1, DType::float32));
    Adam adam(p, settings);
    for (std::uint64_t step = 0; step < 10; ++step)
      adam.step(p, std::vector<Tensor>{normal_tensor({9}, 10 + step, DType::float32)}, 0.1);
    return std::pair(p[0], adam.state().at("second.p"));
  };
  const auto [plain, plain_moment] = run({});
  CHECK(same_bits(run({.weight_decay = 0}).first, plain));
  const auto [decayed, decayed_moment] = run({.weight_decay = 0.1});
  CHECK_FALSE(same_bits(decayed, plain));
  CHECK(same_bits(decayed_moment, plain_moment));
}

TEST_CASE("Adam: errors") {
  Parameters p;
  p.add("p", Tensor::zeros({3}));
  p.add("q", Tensor::zeros({2}));
  Adam adam(p);
  const char* gradients = "[adam] the gradients do not match the parameters";
  CHECK_THROWS_WITH_AS(adam.step(p, std::vector<Tensor>{Tensor::zeros({3})}, 0.1), gradients, levda::Error);
  CHECK_THROWS_WITH_AS(adam.step(p, std::vector<Tensor>{Tensor::zeros({2}), Tensor::zeros({2})}, 0.1), gradients,
                       levda::Error);
  const std::vector<Tensor> too_many{Tensor::zeros({3}), Tensor::zeros({2}), Tensor::zeros({1})};
  CHECK_THROWS_WITH_AS(adam.step(p, too_many, 0.1), gradients, levda::Error);
  CHECK(adam.steps() == 0);
  Optimiser::State state = adam.state();
  state["second.q"] = Tensor::zeros({3});
  CHECK_THROWS_WITH_AS(adam.restore(1, state), "[adam] second.q is float32 (3), not float32 (2)", levda::Error);
  state.erase("second.q");
  CHECK_THROWS_WITH_AS(adam.restore(1, state), "[adam] second.q is missing", levda::Error);
}

TEST_CASE("clipping: the global norm, and at most the limit") {
  const std::vector<Tensor> original{vector_of({3, 0}, DType::float64), vector_of({0, 4, 12}, DType::float64)};
  CHECK(std::abs(global_norm(original).item() - 13) <= 4 * 13 * 0x1p-53);

  std::vector<Tensor> g = original;
  CHECK(clip_global_norm(g, 13.5).item() == global_norm(original).item());
  CHECK(same_bits(g[1], original[1]));

  CHECK(clip_global_norm(g, 1).item() == global_norm(original).item());
  CHECK(std::abs(global_norm(g).item() - 1) <= 8 * 0x1p-53);
  CHECK(largest_difference(g[1].to_vector(), std::vector<double>{0, 4.0 / 13, 12.0 / 13}) <= 2 * 0x1p-53);
  CHECK(original[1].to_vector()[1] == 4);  // what others hold is not touched

  std::vector<Tensor> bad{vector_of({1, std::numeric_limits<double>::quiet_NaN()}, DType::float64)};
  CHECK(std::isnan(clip_global_norm(bad, 1).item()));
}
