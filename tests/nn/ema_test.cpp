#include "nn/ema.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/error.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using namespace levda::nn;
using levda::testing::largest_difference;
using levda::testing::normal_tensor;
using levda::testing::same_bits;

namespace {

/// Weights of the k-th step, k = 1, 2, ..
Parameters weights(std::uint64_t k, DType dtype) {
  Parameters p;
  p.add("w", normal_tensor({3, 4}, 10 + k, dtype));
  p.add("frozen", Tensor::full({2}, 7, dtype), false);
  p.add("b", normal_tensor({5}, 100 + k, dtype));
  return p;
}

}  // namespace

TEST_CASE("average of weights: the formula, from the first update on") {
  const double d = 0.9;
  for (const DType dtype : {DType::float32, DType::float64}) {
    const double unit = dtype == DType::float64 ? 0x1p-53 : 0x1p-24;
    Ema ema(weights(0, dtype), d);
    for (std::uint64_t n = 1; n <= 25; ++n) {
      ema.update(weights(n, dtype));
      Parameters p = weights(1000, dtype);
      ema.apply(p);
      for (const std::size_t i : {0, 2}) {
        std::vector<double> expected(static_cast<std::size_t>(p[i].size()), 0.0);
        for (std::uint64_t k = 1; k <= n; ++k) {
          const std::vector<double> w = weights(k, dtype)[i].to_vector();
          const double share = (1 - d) * std::pow(d, n - k) / (1 - std::pow(d, n));
          for (std::size_t j = 0; j < w.size(); ++j) expected[j] += share * w[j];
        }
        CHECK(p[i].dtype() == dtype);
        // Numbers below 4: five roundings in float64 an update, which fade, and one to the type.
        CHECK(largest_difference(p[i].to_vector(), expected) <= 4 * unit + 25 * 5 * 4 * 0x1p-53);
        if (n == 1) CHECK(same_bits(p[i], weights(1, dtype)[i]));
      }
      CHECK(p[1].to_vector() == std::vector<double>{7, 7});
    }
  }
}

TEST_CASE("average of weights: small changes of float32 weights are not lost") {
  // After 100 updates the average takes 1.6 % of a change at most: of 2^-20 that is far below a unit of float32 at 1.
  const auto constant = [](float value) {
    Parameters p;
    p.add("w", Tensor::full({1}, value));
    return p;
  };
  Ema ema(constant(1), 0.99);
  for (int k = 0; k < 100; ++k) ema.update(constant(1));
  for (int k = 0; k < 2000; ++k) ema.update(constant(1 + 0x1p-20F));
  Parameters p = constant(0);
  ema.apply(p);
  CHECK(p[0].item() == 1 + 0x1p-20);  // all but 0.99^2000
}

TEST_CASE("average of weights: in place for a while, and then the weights as before") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    Parameters p = weights(1, dtype);
    Ema ema(p, 0.5);
    ema.update(p);
    ema.update(weights(2, dtype));
    const float* address = dtype == DType::float32 ? p[0].data<float>() : nullptr;
    const Tensor before = p[0].clone();
    const auto inside = [&] {
      const AverageInPlace average(p, ema);
      // (0.5 w_2 + 0.25 w_1) / 0.75
      const double expected = (2 * weights(2, dtype)[0].to_vector()[0] + before.to_vector()[0]) / 3;
      CHECK(std::abs(p[0].to_vector()[0] - expected) <= 16 * (dtype == DType::float64 ? 0x1p-53 : 0x1p-24));
      throw levda::Error("validation failed");
    };
    CHECK_THROWS_WITH_AS(inside(), "validation failed", levda::Error);
    CHECK(same_bits(p[0], before));
    if (address != nullptr) CHECK(p[0].data<float>() == address);

    // apply() copies: when an optimiser writes into the weights, the average does not change.
    ema.apply(p);
    const Tensor applied = p[0].clone();
    p[0].backend().fill(p[0], 0);
    ema.apply(p);
    CHECK(same_bits(p[0], applied));
  }
}

TEST_CASE("average of weights: goes on from its state with the same bits") {
  Ema through(weights(0, DType::float32), 0.9);
  for (std::uint64_t k = 1; k <= 4; ++k) through.update(weights(k, DType::float32));
  Ema resumed(weights(0, DType::float32), 0.9);
  const Optimiser::State saved = through.state();
  CHECK(saved.size() == 3);
  resumed.restore(saved);
  for (std::uint64_t k = 5; k <= 9; ++k) {
    through.update(weights(k, DType::float32));
    resumed.update(weights(k, DType::float32));
  }
  CHECK(same_bits(resumed.state().at("average.w"), through.state().at("average.w")));
  CHECK(same_bits(resumed.state().at("average.b"), through.state().at("average.b")));
  CHECK(resumed.state().at("updates").item() == 9);
  CHECK(saved.at("updates").item() == 4);  // saved tensors do not change
  CHECK_FALSE(same_bits(saved.at("average.w"), through.state().at("average.w")));
}

TEST_CASE("average of weights: off, before the first update, and errors") {
  Parameters p = weights(1, DType::float32);
  Ema off(p, 0);
  off.update(weights(2, DType::float32));
  off.apply(p);
  CHECK(same_bits(p[0], weights(1, DType::float32)[0]));
  CHECK(off.state().empty());
  off.restore({});

  Ema ema(p, 0.9);
  ema.apply(p);
  CHECK(same_bits(p[0], weights(1, DType::float32)[0]));
  for (const double decay : {1.0, -0.1, std::nan("")}) CHECK_THROWS_AS(Ema(p, decay), levda::Error);
  CHECK_THROWS_WITH_AS(Ema(p, 1.5), "[ema] a decay of 1.5 is not in [0, 1)", levda::Error);
  ema.update(p);
  Optimiser::State state = ema.state();
  state.erase("average.b");
  CHECK_THROWS_WITH_AS(ema.restore(state), "[ema] average.b is missing", levda::Error);
  state = ema.state();
  state.erase("updates");
  CHECK_THROWS_WITH_AS(ema.restore(state), "[ema] updates is missing", levda::Error);
  CHECK(ema.state().at("updates").item() == 1);
}
