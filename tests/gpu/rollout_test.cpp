/// The rollout as one operation on the CUDA backend.

#include "models/rollout.h"

#include <doctest/doctest.h>

#include "autodiff/derivatives.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using levda::models::rollout;
using levda::models::rollout_by_steps;
using levda::testing::largest;
using levda::testing::largest_difference;
using levda::testing::normal_tensor;

namespace {

using Way = decltype(&rollout);

/// A rollout of 20 steps and its gradients with respect to weights, parameters and start, all left in place.
struct Gradients {
  levda::nn::Mlp f;
  std::vector<Tensor> inputs;
  Tensor cotangent;
  std::vector<Tensor> results;

  Gradients(Backend& backend, DType dtype) {
    levda::nn::Parameters list;
    Random random(3);
    f = levda::nn::Mlp::make(list, "f", 12, 32, 4, 10, random);
    for (std::size_t i = 0; i < list.size(); ++i) inputs.push_back(list[i].to(dtype).to(backend));
    inputs.push_back(normal_tensor({8, 2}, 1, dtype).to(backend));
    inputs.push_back(normal_tensor({8, 10}, 2, dtype).to(backend));
    cotangent = normal_tensor({20, 8, 10}, 3, dtype).to(backend);
    for (const Tensor& x : inputs) results.push_back(Tensor::zeros(x.shape(), dtype, backend));
    results.push_back(Tensor::zeros(cotangent.shape(), dtype, backend));
  }
  void run(Way way) {
    Tape tape;
    const Vars x = tape.variables(inputs);
    const Var y = way(f, x, Vars(20, x[x.size() - 2]), x.back(), 0.1);
    const Vars g = vjp(y, Var(cotangent), x);
    Backend& backend = cotangent.backend();
    for (std::size_t i = 0; i < g.size(); ++i) backend.scale(g[i].value(), 1, 0, results[i]);
    backend.scale(y.value(), 1, 0, results.back());
  }
  std::vector<std::vector<double>> values() const {
    std::vector<std::vector<double>> all;
    for (const Tensor& x : results) all.push_back(x.to_vector());
    return all;
  }
};

}  // namespace

TEST_CASE("gpu: a rollout and its gradients are the CPU's, and a recording holds them") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    Gradients here(cpu(), dtype);
    here.run(rollout_by_steps);
    const auto expected = here.values();
    Gradients there(cuda(), dtype);
    there.run(rollout);
    const auto found = there.values();
    // Ways of some 3000 roundings, which mostly cancel: their root, and a factor for terms that cancel.
    const double tolerance = (dtype == DType::float32 ? 0x1p-24 : 0x1p-53) * 55 * 20;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CAPTURE(i);
      CHECK(largest(expected[i]) > 0);
      CHECK(largest_difference(found[i], expected[i]) <= tolerance * largest(expected[i]));
    }

    const std::unique_ptr<Recording> recording = cuda().record([&] { there.run(rollout); });
    for (std::uint64_t k = 0; k < 4; ++k) {
      const Tensor start = normal_tensor({8, 10}, 20 + k, dtype);
      if (dtype == DType::float32)
        there.inputs.back().set(std::span<const float>(start.to_floats()));
      else
        there.inputs.back().set(std::span<const double>(start.to_vector()));
      recording->run();
      const auto replayed = there.values();
      there.run(rollout);
      CHECK(there.values() == replayed);
      CHECK(replayed.back() != found.back());
    }
  }
}
