#include "nn/lstm.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/check.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using namespace levda::nn;
using levda::testing::largest;
using levda::testing::largest_difference;
using levda::testing::normal_tensor;
using levda::testing::same_bits;

namespace {

constexpr std::int64_t in = 3;
constexpr std::int64_t hidden = 4;
constexpr std::int64_t rows = 2;
constexpr std::size_t steps = 5;

struct Layer {
  Parameters p;
  Lstm lstm;
  Layer() {
    Random random(1);
    lstm = Lstm::make(p, "lstm", in, hidden, random);
    // All gates and units differ.
    p.set(lstm.bias, normal_tensor({4 * hidden}, 2, DType::float32));
  }
};

std::vector<Tensor> sequence() {
  std::vector<Tensor> x;
  for (std::size_t t = 0; t < steps; ++t) x.push_back(normal_tensor({rows, in}, 10 + t));
  return x;
}

Vars constants(const std::vector<Tensor>& values) { return {values.begin(), values.end()}; }

/// PyTorch's formulas by hand with its matrices: weight_ih (4 hidden, in), weight_hh (4 hidden, hidden) and two biases,
/// gates in the order i, f, g, o. h and c, (rows, hidden), are carried on.
struct ByHand {
  std::vector<double> weight_ih, weight_hh, bias_ih, bias_hh;

  explicit ByHand(const Layer& layer) {
    const std::vector<double> w = layer.p[layer.lstm.input_weight].to_vector();
    const std::vector<double> u = layer.p[layer.lstm.hidden_weight].to_vector();
    for (std::int64_t row = 0; row < 4 * hidden; ++row) {
      for (std::int64_t k = 0; k < in; ++k) weight_ih.push_back(w[k * 4 * hidden + row]);
      for (std::int64_t k = 0; k < hidden; ++k) weight_hh.push_back(u[k * 4 * hidden + row]);
    }
    for (const double b : layer.p[layer.lstm.bias].to_vector()) {
      bias_ih.push_back(0.25 * b);
      bias_hh.push_back(0.75 * b);
    }
  }

  void step(const std::vector<double>& x, std::vector<double>& h, std::vector<double>& c) const {
    const std::vector<double> before = h;
    const auto sigma = [](double z) { return 1 / (1 + std::exp(-z)); };
    for (std::int64_t row = 0; row < rows; ++row)
      for (std::int64_t unit = 0; unit < hidden; ++unit) {
        double z[4];
        for (std::int64_t gate = 0; gate < 4; ++gate) {
          const std::int64_t j = gate * hidden + unit;
          z[gate] = bias_ih[j] + bias_hh[j];
          for (std::int64_t k = 0; k < in; ++k) z[gate] += weight_ih[j * in + k] * x[row * in + k];
          for (std::int64_t k = 0; k < hidden; ++k) z[gate] += weight_hh[j * hidden + k] * before[row * hidden + k];
        }
        double& cell = c[row * hidden + unit];
        cell = sigma(z[1]) * cell + sigma(z[0]) * std::tanh(z[2]);
        h[row * hidden + unit] = sigma(z[3]) * std::tanh(cell);
      }
  }
};

}  // namespace

TEST_CASE("LSTM: names, shapes and initial weights") {
  Parameters p;
  Random random(3);
  const Lstm lstm = Lstm::make(p, "memory", 50, 100, random);
  REQUIRE(p.size() == 3);
  CHECK(p.name(lstm.input_weight) == "memory.input_weight");
  CHECK(p.name(lstm.hidden_weight) == "memory.hidden_weight");
  CHECK(p.name(lstm.bias) == "memory.bias");
  CHECK(p[lstm.input_weight].shape() == Shape{50, 400});
  CHECK(p[lstm.hidden_weight].shape() == Shape{100, 400});
  CHECK(p.count() == 150 * 400 + 400);
  for (const std::size_t i : {lstm.input_weight, lstm.hidden_weight}) {
    // Uniform on [-0.1, 0.1]: variance 0.01 / 3, that of its square 4/45 x 1e-4. Five deviations of the sample's.
    const std::vector<double> w = p[i].to_vector();
    const auto count = static_cast<double>(w.size());
    double mean = 0;
    double variance = 0;
    for (const double value : w) {
      mean += value / count;
      variance += value * value / count;
    }
    CHECK(largest(w) <= 0.1 * (1 + 0x1p-24));
    CHECK(std::abs(mean) <= 5 * std::sqrt(0.01 / 3 / count));
    CHECK(std::abs(variance - 0.01 / 3) <= 5 * 0.01 * std::sqrt(4.0 / 45 / count));
  }
  const std::vector<double> bias = p[lstm.bias].to_vector();
  for (std::size_t j = 0; j < 400; ++j) CHECK(bias[j] == (j / 100 == 1 ? 1 : 0));
}

TEST_CASE("LSTM: the formula, against plain loops, from zero and from a given state") {
  const Layer layer;
  const ByHand hand(layer);
  const std::vector<Tensor> x = sequence();
  // A step rounds sums of nine terms, about 10 in size, nine times: 1e-14. Ten times that for what five steps pass on
  // through gates below one and weights below a half.
  const double bound = 1e-13;
  const Tensor h0 = normal_tensor({rows, hidden}, 20);
  const Tensor c0 = normal_tensor({rows, hidden}, 21);
  for (const bool given : {false, true}) {
    CAPTURE(given);
    const Lstm::State first = given ? Lstm::State{Var(h0), Var(c0)} : Lstm::State{};
    const Lstm::Result result = layer.lstm(layer.p.constants(DType::float64), constants(x), first);
    REQUIRE(result.h.size() == steps);
    std::vector<double> h = given ? h0.to_vector() : std::vector<double>(rows * hidden, 0.0);
    std::vector<double> c = given ? c0.to_vector() : h;
    for (std::size_t t = 0; t < steps; ++t) {
      hand.step(x[t].to_vector(), h, c);
      REQUIRE(result.h[t].shape() == Shape{rows, hidden});
      CHECK(largest_difference(result.h[t].value().to_vector(), h) <= bound);
    }
    CHECK(same_bits(result.last.h.value(), result.h.back().value()));
    CHECK(largest_difference(result.last.c.value().to_vector(), c) <= bound);
  }
  // float32 agrees to its own accuracy, by the same count.
  Vars narrow;
  for (const Tensor& value : x) narrow.emplace_back(value.to(DType::float32));
  CHECK(largest_difference(layer.lstm(layer.p.constants(), narrow).last.c.value(),
                           layer.lstm(layer.p.constants(DType::float64), constants(x)).last.c.value()) <=
        bound * 0x1p29);
}

TEST_CASE("LSTM: a sequence in two parts is the sequence") {
  const Layer layer;
  const Vars x = constants(sequence());
  const Vars p = layer.p.constants(DType::float64);
  const Lstm::Result whole = layer.lstm(p, x);
  const Lstm::Result head = layer.lstm(p, {x.begin(), x.begin() + 2});
  const Lstm::Result tail = layer.lstm(p, {x.begin() + 2, x.end()}, head.last);
  for (std::size_t t = 0; t < steps; ++t)
    CHECK(same_bits(whole.h[t].value(), (t < 2 ? head.h[t] : tail.h[t - 2]).value()));
  CHECK(same_bits(whole.last.c.value(), tail.last.c.value()));
  // Zeros by hand are the empty state, but for the order of additions.
  const Var zero(Tensor::zeros({rows, hidden}, DType::float64));
  CHECK(largest_difference(layer.lstm(p, x, {zero, zero}).last.h.value(), whole.last.h.value()) <= 1e-13);
  CHECK(layer.lstm(p, {}, head.last).h.empty());
}

TEST_CASE("LSTM: saturated gates stay finite") {
  const Layer layer;
  for (const double size : {-1e4, 1e4}) {
    const Vars x(3, Var(Tensor::full({rows, in}, size, DType::float32)));
    for (const Var& h : layer.lstm(layer.p.constants(), x).h) CHECK(largest(h.value().to_vector()) <= 1);
  }
}

TEST_CASE("LSTM: derivatives with respect to weights, inputs and the state before") {
  const Layer layer;
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < layer.p.size(); ++i) inputs.push_back(layer.p[i].to(DType::float64));
  const std::size_t weights = inputs.size();
  for (const Tensor& x : sequence()) inputs.push_back(x);
  inputs.push_back(normal_tensor({rows, hidden}, 30));
  inputs.push_back(normal_tensor({rows, hidden}, 31));
  const DerivativeCheck check = check_derivatives(
      [&](const Vars& v) {
        const Vars x(v.begin() + static_cast<std::ptrdiff_t>(weights), v.end() - 2);
        Lstm::Result result = layer.lstm(v, x, {v[v.size() - 2], v.back()});
        result.h.push_back(result.last.c);
        return concat(result.h, 0);
      },
      inputs);
  INFO(check.text());
  CHECK(check.scale > 0);
  CHECK(check.adjoint_error() <= 1e-12);  // sums of a few hundred terms
  CHECK(check.finite_difference_error() <= 1e-8);
}
