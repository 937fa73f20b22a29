#include "nn/layers.h"

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

}  // namespace

Tensor glorot_normal(std::int64_t in, std::int64_t out, Random& random) {
  return normal({in, out}, std::sqrt(2.0 / static_cast<double>(in + out)), random);
}

Linear Linear::make(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t out,
                    Random& random) {
  const std::size_t weight = parameters.add(name + ".weight", glorot_normal(in, out, random));
  return {weight, parameters.add(name + ".bias", Tensor::zeros({out}))};
}

Var Linear::operator()(Inputs p, const Var& x) const { return linear(x, p[weight], p[bias]); }

ResidualMlp ResidualMlp::make(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t width,
                              std::int64_t depth, std::int64_t out, Random& random) {
  if (depth < 1) throw Error(name + ": a network without a hidden layer");
  std::vector<Linear> hidden;
  for (std::int64_t k = 0; k < depth; ++k)
    hidden.push_back(Linear::make(parameters, name + "." + std::to_string(k), k == 0 ? in : width, width, random));
  return {std::move(hidden), Linear::make(parameters, name + ".out", width, out, random)};
}

Var ResidualMlp::operator()(Inputs p, const Var& x) const {
  const auto layer = [&](const Linear& k, const Var& in) { return linear_silu(in, p[k.weight], p[k.bias]); };
  Var h = layer(hidden[0], x);
  for (std::size_t k = 1; k < hidden.size(); ++k) h = h + layer(hidden[k], h);
  return output(p, h);
}

FourierFeatures FourierFeatures::make(Parameters& parameters, const std::string& name, std::int64_t features,
                                      std::int64_t coordinates, double scale, Random& random) {
  return {parameters.add(name, normal({features, coordinates}, scale, random), false)};
}

Var FourierFeatures::operator()(Inputs p, const Var& x) const {
  const Var q = matmul(2 * std::numbers::pi * x, p[frequencies], false, true);
  return autodiff::concat({sin(q), cos(q)}, -1);
}

}  // namespace levda::nn
