#include "nn/lstm.h"

#include <algorithm>
#include <cmath>

#include "autodiff/error.h"
#include "nn/layers.h"

namespace levda::nn {

using autodiff::Inputs;
using autodiff::Random;
using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

namespace {

Tensor uniform(const autodiff::Shape& shape, double bound, Random& random) {
  std::vector<double> values(static_cast<std::size_t>(shape.size()));
  for (double& value : values) value = bound * (2 * random.uniform() - 1);
  return Tensor::from(std::span<const double>(values), shape, autodiff::DType::float32);
}

}  // namespace

Lstm Lstm::make(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t hidden, Random& random) {
  if (hidden < 1) throw Error(name + ": an LSTM needs at least one hidden unit");
  const double bound = 1 / std::sqrt(static_cast<double>(hidden));
  const std::size_t w = parameters.add(name + ".input_weight", uniform({in, 4 * hidden}, bound, random));
  const std::size_t u = parameters.add(name + ".hidden_weight", uniform({hidden, 4 * hidden}, bound, random));
  std::vector<double> bias(static_cast<std::size_t>(4 * hidden), 0.0);
  std::fill(bias.begin() + hidden, bias.begin() + 2 * hidden, 1.0);
  const Tensor b = Tensor::from(std::span<const double>(bias), {4 * hidden}, autodiff::DType::float32);
  return {w, u, parameters.add(name + ".bias", b)};
}

Lstm::State Lstm::step(Inputs p, const Var& x, const State& state) const {
  const std::int64_t hidden = weight_at(p, hidden_weight).shape()[0];
  if (static_cast<bool>(state.h) != static_cast<bool>(state.c)) throw Error("an LSTM's state needs both h and c");
  Var z = linear(x, weight_at(p, input_weight), weight_at(p, bias));
  if (state.h) z = z + matmul(state.h, weight_at(p, hidden_weight));
  const auto gate = [&](std::int64_t k) { return slice(z, -1, k * hidden, hidden); };
  const Var i = sigmoid(gate(0));
  const Var f = sigmoid(gate(1));
  const Var g = tanh(gate(2));
  const Var o = sigmoid(gate(3));
  const Var c = state.c ? f * state.c + i * g : i * g;
  return {o * tanh(c), c};
}

Lstm::Result Lstm::operator()(Inputs p, const Vars& x, const State& first) const {
  Result result{.h = {}, .last = first};
  for (const Var& input : x) {
    result.last = step(p, input, result.last);
    result.h.push_back(result.last.h);
  }
  return result;
}

}  // namespace levda::nn
