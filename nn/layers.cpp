#include "nn/layers.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "autodiff/error.h"

namespace levda::nn {

using autodiff::Inputs;
using autodiff::Random;
using autodiff::Tensor;
using autodiff::Var;

namespace {

Tensor normal(const autodiff::Shape& shape, double deviation, Random& random) {
  std::vector<double> values(static_cast<std::size_t>(shape.size()));
  for (double& value : values) value = deviation * random.normal();
  return Tensor::from(std::span<const double>(values), shape, autodiff::DType::float32);
}

Tensor uniform(const autodiff::Shape& shape, double bound, Random& random) {
  std::vector<double> values(static_cast<std::size_t>(shape.size()));
  for (double& value : values) value = bound * (2 * random.uniform() - 1);
  return Tensor::from(std::span<const double>(values), shape, autodiff::DType::float32);
}

}  // namespace

const Var& weight_at(Inputs p, std::size_t position) {
  if (position >= p.size()) throw Error(fmt::format("a layer's weight {} is not in a list of {}", position, p.size()));
  return p[position];
}

Tensor glorot_normal(std::int64_t in, std::int64_t out, Random& random) {
  return normal({in, out}, std::sqrt(2.0 / static_cast<double>(in + out)), random);
}

Linear Linear::make(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t out,
                    Random& random) {
  const std::size_t weight = parameters.add(name + ".weight", glorot_normal(in, out, random));
  return {weight, parameters.add(name + ".bias", Tensor::zeros({out}))};
}

Var Linear::operator()(Inputs p, const Var& x) const { return linear(x, weight_at(p, weight), weight_at(p, bias)); }

Mlp Mlp::make(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t width, std::int64_t depth,
              std::int64_t out, Random& random, Hidden layers) {
  if (depth < 1) throw Error(name + ": a network needs at least one hidden layer");
  std::vector<Linear> hidden;
  for (std::int64_t k = 0; k < depth; ++k)
    hidden.push_back(Linear::make(parameters, name + "." + std::to_string(k), k == 0 ? in : width, width, random));
  return {std::move(hidden), Linear::make(parameters, name + ".out", width, out, random), layers};
}

Var Mlp::operator()(Inputs p, const Var& x) const {
  const auto silu_of = [&](const Linear& k, const Var& in) {
    return linear_silu(in, weight_at(p, k.weight), weight_at(p, k.bias));
  };
  const std::size_t depth = hidden.size();
  if (depth == 0) throw Error("a network needs at least one hidden layer");
  if (layers == Hidden::residual_silu) {
    Var h = silu_of(hidden[0], x);
    for (std::size_t k = 1; k < depth; ++k) h = h + silu_of(hidden[k], h);
    return output(p, h);
  }
  Var h = relu(hidden[0](p, x));
  std::size_t k = 1;
  for (; layers == Hidden::residual_relu && k + 1 < depth; k += 2)
    h = relu(hidden[k + 1](p, relu(hidden[k](p, h))) + h);
  for (; k < depth; ++k) h = relu(hidden[k](p, h));
  return output(p, h);
}

FourierFeatures FourierFeatures::make(Parameters& parameters, const std::string& name, std::int64_t features,
                                      std::int64_t coordinates, double scale, Random& random, Draw draw,
                                      bool trainable) {
  const autodiff::Shape shape{features, coordinates};
  return {parameters.add(name, draw == Draw::normal ? normal(shape, scale, random) : uniform(shape, scale, random),
                         trainable)};
}

Var FourierFeatures::operator()(Inputs p, const Var& x) const {
  const Var q = matmul(2 * std::numbers::pi * x, weight_at(p, frequencies), false, true);
  return autodiff::concat({sin(q), cos(q)}, -1);
}

}  // namespace levda::nn
