#include "nn/soap.h"

#include <doctest/doctest.h>
#include <oneapi/tbb/global_control.h>

#include <cmath>

#include "autodiff/error.h"
#include "autodiff/op.h"
#include "nn/adam.h"
#include "nn/schedule.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using namespace levda::nn;
using levda::testing::largest;
using levda::testing::largest_difference;
using levda::testing::normal_tensor;
using levda::testing::same_bits;

namespace {

/// Badly conditioned least squares in a matrix: 1/2 |A (W - W*) B|^2, condition numbers of A and B about 100.
struct Quadratic {
  Tensor a = conditioned(12, 1);
  Tensor b = conditioned(8, 2);
  Tensor target = normal_tensor({12, 8}, 3);

  static Tensor conditioned(std::int64_t n, std::uint64_t seed) {
    std::vector<double> scales(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i)
      scales[static_cast<std::size_t>(i)] = std::pow(100.0, -static_cast<double>(i) / static_cast<double>(n - 1));
    // Rows of a random matrix in falling sizes: the eigenvectors are no axes.
    const Var turned = Var(normal_tensor({n, n}, seed)) * Var(Tensor::from(std::span<const double>(scales), {n, 1}));
    return (turned * (1 / std::sqrt(static_cast<double>(n)))).value();
  }
  Tensor gradient(const Tensor& w) const {
    const Var residual = matmul(matmul(Var(a), Var(w) - Var(target)), Var(b));
    return matmul(matmul(Var(a), residual, true, false), Var(b), false, true).value();
  }
  double loss(const Tensor& w) const {
    const Var residual = matmul(matmul(Var(a), Var(w) - Var(target)), Var(b));
    return 0.5 * dot(residual, residual).value().item();
  }
  template <typename Method>
  double after(std::int64_t steps) const {
    Parameters p;
    p.add("w", Tensor::zeros({12, 8}, DType::float64));
    Method method(p);
    const CosineSchedule rate{.rate = 0.1, .steps = steps};
    for (std::int64_t step = 0; step < steps; ++step) method.step(p, std::vector<Tensor>{gradient(p[0])}, rate(step));
    return loss(p[0]);
  }
};

}  // namespace

TEST_CASE("SOAP gets further than Adam where Adam's axes are the wrong ones") {
  const Quadratic problem;
  const double start = problem.loss(Tensor::zeros({12, 8}, DType::float64));
  const double soap = problem.after<Soap>(400);
  CHECK(soap <= 1e-3 * start);
  CHECK(soap <= 0.1 * problem.after<Adam>(400));
}

TEST_CASE("SOAP on a parameter that is no matrix is Adam one step later") {
  Parameters p;
  p.add("p", normal_tensor({9}, 1));
  Parameters q;
  q.add("p", p[0].clone());
  Soap soap(p);
  Adam adam(q, {.beta1 = 0.95, .beta2 = 0.95});
  soap.step(p, std::vector<Tensor>{normal_tensor({9}, 50)}, 0.1);
  CHECK(same_bits(p[0], q[0]));  // the first step only measures
  for (std::uint64_t step = 0; step < 5; ++step) {
    const std::vector<Tensor> g{normal_tensor({9}, 100 + step)};
    soap.step(p, g, 0.1);
    adam.step(q, g, 0.1);
  }
  CHECK(same_bits(p[0], q[0]));
}

TEST_CASE("SOAP does not care how the axes are turned") {
  // A gradient G and its turned copy O G give updates that are turned copies of one another, up to how far the bases
  // have converged: here the covariances are exact after one step, with well separated eigenvalues.
  const std::int64_t m = 6;
  Tensor rotation;
  {
    // A product of plane rotations.
    Var o(Tensor::from(std::vector<double>(1, 1.0), {1, 1}));
    std::vector<double> eye(36, 0.0);
    for (std::size_t i = 0; i < 6; ++i) eye[i * 7] = 1;
    o = Var(Tensor::from(std::span<const double>(eye), {m, m}));
    for (std::size_t i = 0; i + 1 < 6; ++i) {
      std::vector<double> plane = eye;
      plane[i * 7] = plane[(i + 1) * 7] = std::cos(0.7 + 0.2 * static_cast<double>(i));
      plane[i * 6 + i + 1] = -std::sin(0.7 + 0.2 * static_cast<double>(i));
      plane[(i + 1) * 6 + i] = std::sin(0.7 + 0.2 * static_cast<double>(i));
      o = matmul(o, Var(Tensor::from(std::span<const double>(plane), {m, m})));
    }
    rotation = o.value();
  }
  std::vector<double> diagonal(36, 0.0);
  for (std::size_t i = 0; i < 6; ++i) diagonal[i * 7] = std::pow(0.2, static_cast<double>(i));
  const Tensor g = Tensor::from(std::span<const double>(diagonal), {m, m});
  const Tensor turned = matmul(Var(rotation), Var(g)).value();
  Parameters p;
  p.add("w", Tensor::zeros({m, m}, DType::float64));
  Parameters q;
  q.add("w", Tensor::zeros({m, m}, DType::float64));
  // Off the diagonal numerator and denominator are round-off; epsilon keeps their ratio small.
  Soap one(p, {.epsilon = 1e-3});
  Soap other(q, {.epsilon = 1e-3});
  for (int step = 0; step < 3; ++step) {
    one.step(p, std::vector<Tensor>{g}, 0.1);
    other.step(q, std::vector<Tensor>{turned}, 0.1);
  }
  const Tensor back = matmul(Var(rotation), Var(q[0]), true, false).value();
  // Orthogonal iteration: eight rounds at eigenvalue ratios of 1/25.
  CHECK(largest_difference(back, p[0]) <= 1e-6 * largest(p[0].to_vector()));
}

TEST_CASE("SOAP: decoupled weight decay of matrices and others, not in the first step") {
  // The gradients do not depend on the parameters, so both runs move by the same u_n: p_n = a p_(n-1) + u_n.
  const double rate = 0.1;
  const double weight_decay = 0.5;
  const auto fresh = [] {
    Parameters p;
    p.add("w", normal_tensor({4, 3}, 1));
    p.add("b", normal_tensor({5}, 2));
    return p;
  };
  Parameters plain = fresh();
  Parameters decayed;
  for (std::size_t i = 0; i < 2; ++i) decayed.add(plain.name(i), plain[i].clone());
  Soap one(plain);
  Soap other(decayed, {.weight_decay = weight_decay});
  std::vector<std::vector<double>> expected{plain[0].to_vector(), plain[1].to_vector()};
  const int steps = 12;
  for (std::uint64_t step = 0; step < steps; ++step) {
    const std::vector<Tensor> g{normal_tensor({4, 3}, 10 + step), normal_tensor({5}, 40 + step)};
    const std::vector<std::vector<double>> before{plain[0].to_vector(), plain[1].to_vector()};
    one.step(plain, g, rate);
    other.step(decayed, g, rate);
    for (std::size_t i = 0; i < 2; ++i) {
      const std::vector<double> after = plain[i].to_vector();
      for (std::size_t k = 0; k < after.size(); ++k)
        expected[i][k] = (step == 0 ? 1 : 1 - rate * weight_decay) * expected[i][k] + (after[k] - before[i][k]);
    }
    if (step == 0) CHECK(same_bits(decayed[0], plain[0]));
  }
  // Per step five roundings of numbers below 4.
  for (std::size_t i = 0; i < 2; ++i)
    CHECK(largest_difference(decayed[i].to_vector(), expected[i]) <= steps * 5 * 4 * 0x1p-53);
}

TEST_CASE("SOAP: a restored optimiser goes on with the same bits, at any number of threads; errors") {
  const auto gradient = [](std::uint64_t step) {
    return std::vector<Tensor>{normal_tensor({7, 5}, step, DType::float32),
                               normal_tensor({5}, 100 + step, DType::float32)};
  };
  const auto fresh = [] {
    Parameters p;
    p.add("w", normal_tensor({7, 5}, 99, DType::float32));
    p.add("b", normal_tensor({5}, 98, DType::float32));
    return p;
  };
  Parameters through = fresh();
  Soap soap(through);
  for (std::uint64_t step = 0; step < 15; ++step) soap.step(through, gradient(step), 0.01);
  Parameters resumed;
  resumed.add("w", through[0].clone());
  resumed.add("b", through[1].clone());
  Soap other(resumed);
  other.restore(soap.steps(), soap.state());
  for (std::uint64_t step = 15; step < 30; ++step) {
    soap.step(through, gradient(step), 0.01);
    const oneapi::tbb::global_control one(oneapi::tbb::global_control::max_allowed_parallelism, 1);
    other.step(resumed, gradient(step), 0.01);
  }
  CHECK(same_bits(through[0], resumed[0]));
  CHECK(same_bits(through[1], resumed[1]));

  Optimiser::State state = soap.state();
  state.erase("left_basis.w");
  CHECK_THROWS_WITH_AS(other.restore(1, state), "[soap] left_basis.w is missing", levda::Error);
  CHECK(other.steps() == 30);
  CHECK_THROWS_WITH_AS(soap.step(through, std::vector<Tensor>{Tensor::zeros({7, 5})}, 0.1),
                       "[soap] the gradients do not match the parameters", levda::Error);
}
