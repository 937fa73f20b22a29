#include "nn/layers.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "autodiff/check.h"
#include "autodiff/error.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using namespace levda::nn;
using levda::testing::largest_difference;
using levda::testing::normal_tensor;
using levda::testing::same_bits;

namespace {

using Rows = std::vector<std::vector<double>>;

Rows rows_of(const Tensor& x) {
  const std::vector<double> values = x.to_vector();
  Rows rows;
  const auto columns = static_cast<std::size_t>(x.shape()[-1]);
  for (std::size_t i = 0; i < values.size(); i += columns)
    rows.emplace_back(values.begin() + static_cast<std::ptrdiff_t>(i),
                      values.begin() + static_cast<std::ptrdiff_t>(i + columns));
  return rows;
}

/// x W + b of one row.
std::vector<double> affine(const Parameters& p, const Linear& layer, const std::vector<double>& x) {
  const Rows w = rows_of(p[layer.weight]);
  std::vector<double> y = p[layer.bias].to_vector();
  for (std::size_t j = 0; j < y.size(); ++j)
    for (std::size_t i = 0; i < x.size(); ++i) y[j] += x[i] * w[i][j];
  return y;
}

double silu_of(double x) { return x / (1 + std::exp(-x)); }

/// Biases that are not zero, so that they are seen.
void fill_biases(Parameters& p) {
  for (std::size_t i = 0; i < p.size(); ++i)
    if (p.name(i).ends_with(".bias")) p.set(i, normal_tensor(p[i].shape(), 100 + i, DType::float32));
}

std::vector<Tensor> wide_values(const Parameters& p) {
  std::vector<Tensor> values;
  for (std::size_t i = 0; i < p.size(); ++i) values.push_back(p[i].to(DType::float64));
  return values;
}

}  // namespace

TEST_CASE("glorot_normal: mean 0, variance 2 / (in + out)") {
  Random random(1);
  const Tensor w = glorot_normal(50, 350, random);
  CHECK(w.shape() == Shape{50, 350});
  CHECK(w.dtype() == DType::float32);
  const double count = 50 * 350;
  double mean = 0;
  double variance = 0;
  for (const double value : w.to_vector()) {
    mean += value / count;
    variance += value * value / count;
  }
  const double expected = 2.0 / 400;
  // Five standard deviations of the sample's moments; in or out alone would be off by 87 % or more.
  CHECK(std::abs(mean) <= 5 * std::sqrt(expected / count));
  CHECK(std::abs(variance - expected) <= 5 * expected * std::sqrt(2 / count));
}

TEST_CASE("linear: names, shapes, zero bias, and x W + b") {
  Parameters p;
  Random random(2);
  const Linear layer = Linear::make(p, "layer", 3, 4, random);
  REQUIRE(p.size() == 2);
  CHECK(p.name(layer.weight) == "layer.weight");
  CHECK(p.name(layer.bias) == "layer.bias");
  CHECK(p[layer.weight].shape() == Shape{3, 4});
  CHECK(p[layer.bias].to_vector() == std::vector<double>(4, 0.0));
  CHECK(p.count() == 16);
  fill_biases(p);
  const Tensor x = normal_tensor({5, 3}, 3);
  const Rows y = rows_of(layer(p.constants(DType::float64), Var(x)).value());
  for (std::size_t row = 0; row < 5; ++row)
    CHECK(largest_difference(y[row], affine(p, layer, rows_of(x)[row])) <= 1e-14);  // sums of 4 terms of order one
}

TEST_CASE("residual network: the formula, against plain loops") {
  for (const std::int64_t depth : {1, 2, 4}) {
    CAPTURE(depth);
    Parameters p;
    Random random(3);
    const Mlp net = Mlp::make(p, "net", 3, 6, depth, 2, random);
    REQUIRE(net.hidden.size() == static_cast<std::size_t>(depth));
    CHECK(p.name(net.hidden[0].weight) == "net.0.weight");
    CHECK(p[net.hidden[0].weight].shape() == Shape{3, 6});
    if (depth > 1) CHECK(p[net.hidden[1].weight].shape() == Shape{6, 6});
    CHECK(p.name(net.output.bias) == "net.out.bias");
    CHECK(p[net.output.weight].shape() == Shape{6, 2});
    fill_biases(p);

    const Tensor x = normal_tensor({5, 3}, 4);
    const Tensor y = net(p.constants(DType::float64), Var(x)).value();
    REQUIRE(y.shape() == Shape{5, 2});
    for (std::size_t row = 0; row < 5; ++row) {
      std::vector<double> h = affine(p, net.hidden[0], rows_of(x)[row]);
      for (double& value : h) value = silu_of(value);
      for (std::size_t k = 1; k < net.hidden.size(); ++k) {
        const std::vector<double> z = affine(p, net.hidden[k], h);
        for (std::size_t i = 0; i < h.size(); ++i) h[i] += silu_of(z[i]);
      }
      // Five products of six terms each of order ten at most, one after the other.
      CHECK(largest_difference(rows_of(y)[row], affine(p, net.output, h)) <= 1e-12);
    }
    // float32 agrees to its own accuracy.
    CHECK(largest_difference(net(p.constants(), Var(x.to(DType::float32))).value(), y) <= 1e-4);
  }
  Parameters p;
  Random random(3);
  CHECK_THROWS_WITH_AS(Mlp::make(p, "net", 3, 6, 0, 2, random), "net: a network needs at least one hidden layer",
                       levda::Error);
}

TEST_CASE("published networks: plain layers and blocks of two, against plain loops") {
  for (const Hidden layers : {Hidden::relu, Hidden::residual_relu})
    for (const std::int64_t depth : {1, 2, 3, 4, 5, 6}) {
      CAPTURE(depth);
      CHECK(levda::choice_of<Hidden>(levda::name_of(layers)) == layers);
      Parameters p;
      Random random(3);
      const Mlp net = Mlp::make(p, "net", 3, 6, depth, 2, random, layers);
      for (std::int64_t k = 0; k < depth; ++k)
        CHECK(p.name(net.hidden[k].weight) == "net." + std::to_string(k) + ".weight");
      fill_biases(p);
      const auto relu_of = [&](const Linear& layer, const std::vector<double>& in, const std::vector<double>& skip) {
        std::vector<double> z = affine(p, layer, in);
        for (std::size_t i = 0; i < z.size(); ++i) z[i] = std::max(0.0, z[i] + (skip.empty() ? 0 : skip[i]));
        return z;
      };
      const Tensor x = normal_tensor({5, 3}, 4);
      const Tensor y = net(p.constants(DType::float64), Var(x)).value();
      for (std::size_t row = 0; row < 5; ++row) {
        std::vector<double> h = relu_of(net.hidden[0], rows_of(x)[row], {});
        const std::int64_t blocks = layers == Hidden::relu ? 0 : (depth - 1) / 2;
        for (std::int64_t b = 0; b < blocks; ++b)
          h = relu_of(net.hidden[2 * b + 2], relu_of(net.hidden[2 * b + 1], h, {}), h);
        for (std::int64_t k = 1 + 2 * blocks; k < depth; ++k) h = relu_of(net.hidden[k], h, {});
        // Seven products of six terms each of order ten at most, one after the other.
        CHECK(largest_difference(rows_of(y)[row], affine(p, net.output, h)) <= 1e-12);
      }
      std::vector<Tensor> inputs = wide_values(p);
      inputs.push_back(x);
      const DerivativeCheck check = check_derivatives([&](const Vars& v) { return net(v, v.back()); }, inputs);
      INFO(check.text());
      CHECK(check.scale > 0);
      CHECK(check.adjoint_error() <= 1e-12);           // sums of a few hundred terms
      CHECK(check.finite_difference_error() <= 1e-8);  // no kink is near
    }
  CHECK_FALSE(levda::choice_of<Hidden>("gelu").has_value());
}

TEST_CASE("Fourier features: uniform within a bound, trained where wanted") {
  Parameters p;
  Random random(4);
  const FourierFeatures fourier =
      FourierFeatures::make(p, "frequencies", 500, 2, 0.7, random, FourierFeatures::Draw::uniform, true);
  CHECK(p.count() == 1000);
  double variance = 0;
  for (const double value : p[fourier.frequencies].to_vector()) {
    CHECK(std::abs(value) <= static_cast<float>(0.7));
    variance += value * value / 1000;
  }
  // The relative deviation of the square of a uniform variable is sqrt(4 / 5).
  CHECK(std::abs(variance - 0.49 / 3) <= 5 * 0.49 / 3 * std::sqrt(0.8 / 1000));
}

TEST_CASE("Fourier features: frozen, scaled, and their formula") {
  Parameters p;
  Random random(4);
  const FourierFeatures fourier = FourierFeatures::make(p, "frequencies", 500, 2, 0.5, random);
  CHECK(p.count() == 0);
  CHECK_FALSE(p.trainable(fourier.frequencies));
  const Rows b = rows_of(p[fourier.frequencies]);
  REQUIRE(b.size() == 500);
  double variance = 0;
  for (const auto& row : b) variance += (row[0] * row[0] + row[1] * row[1]) / 1000;
  CHECK(std::abs(variance - 0.25) <= 5 * 0.25 * std::sqrt(2.0 / 1000));

  const Tensor x = normal_tensor({3, 2}, 5);
  const Tensor features = fourier(p.constants(DType::float64), Var(x)).value();
  REQUIRE(features.shape() == Shape{3, 1000});
  double largest = 0;
  for (std::size_t row = 0; row < 3; ++row) {
    std::vector<double> expected(1000);
    for (std::size_t k = 0; k < 500; ++k) {
      const double q = 2 * std::numbers::pi * (rows_of(x)[row][0] * b[k][0] + rows_of(x)[row][1] * b[k][1]);
      expected[k] = std::sin(q);
      expected[500 + k] = std::cos(q);
      largest = std::max(largest, std::abs(q));
    }
    // The argument is rounded a few times relative to its terms.
    CHECK(largest_difference(rows_of(features)[row], expected) <= 1e-14 * (1 + 2 * largest));
  }
}

TEST_CASE("layers: derivatives with respect to weights and inputs") {
  Parameters p;
  Random random(6);
  const FourierFeatures fourier = FourierFeatures::make(p, "frequencies", 3, 2, 0.5, random);
  const Mlp net = Mlp::make(p, "net", 6, 5, 3, 2, random);
  fill_biases(p);
  std::vector<Tensor> inputs = wide_values(p);
  inputs.push_back(normal_tensor({4, 2}, 7));
  const DerivativeCheck check = check_derivatives([&](const Vars& v) { return net(v, fourier(v, v.back())); }, inputs);
  INFO(check.text());
  CHECK(check.scale > 0);
  CHECK(check.adjoint_error() <= 1e-12);  // sums of a few hundred terms
  CHECK(check.finite_difference_error() <= 1e-8);
}

TEST_CASE("layers: the random numbers decide") {
  const auto weights = [](std::uint64_t seed) {
    Parameters p;
    Random random(seed);
    Mlp::make(p, "net", 3, 6, 2, 2, random);
    return p;
  };
  CHECK(same_bits(weights(1)[2], weights(1)[2]));
  CHECK_FALSE(same_bits(weights(1)[0], weights(2)[0]));
  CHECK_FALSE(same_bits(weights(1)[0].reshaped({18}).rows(0, 12), weights(1)[4].reshaped({12})));
}
