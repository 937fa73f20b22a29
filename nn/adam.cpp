#include "nn/adam.h"

#include <fmt/format.h>

#include <cmath>

#include "autodiff/error.h"
#include "autodiff/op.h"

namespace levda::nn {

using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;

Adam::Adam(const Parameters& parameters, const Settings& settings) : settings_(settings) {
  check_averages(name(), settings.beta1, settings.beta2, settings.epsilon);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters.trainable(i)) continue;
    const Tensor& p = parameters[i];
    names_.push_back(parameters.name(i));
    first_.push_back(Tensor::zeros(p.shape(), p.dtype(), p.backend()));
    second_.push_back(Tensor::zeros(p.shape(), p.dtype(), p.backend()));
  }
  now_ = Tensor::zeros({4}, DType::float64, first_.empty() ? autodiff::cpu() : first_.front().backend());
}

void Adam::begin_step(double rate) {
  ++steps_;
  const auto t = static_cast<double>(steps_);
  const double now[] = {rate, 1 / (1 - std::pow(settings_.beta1, t)), 1 / (1 - std::pow(settings_.beta2, t)),
                        rate * settings_.weight_decay};
  now_.set(std::span<const double>(now));
}

void Adam::update(Parameters& parameters, std::span<const Tensor> gradients) {
  const std::vector<Tensor> moments(first_.begin(), first_.end());
  check_gradients(parameters, gradients, &moments);
  const autodiff::AdamConstants constants{
      .beta1 = settings_.beta1, .beta2 = settings_.beta2, .epsilon = settings_.epsilon};
  std::size_t k = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters.trainable(i)) continue;
    parameters[i].backend().adam(constants, now_, gradients[k], first_[k], second_[k], parameters[i]);
    ++k;
  }
}

Optimiser::State Adam::state() const {
  State state;
  for (std::size_t k = 0; k < names_.size(); ++k) {
    state["first." + names_[k]] = first_[k].clone();
    state["second." + names_[k]] = second_[k].clone();
  }
  return state;
}

void Adam::restore(std::int64_t steps, const State& state) {
  std::vector<OwnTensor> first;
  std::vector<OwnTensor> second;
  for (std::size_t k = 0; k < names_.size(); ++k) {
    first.push_back(restored("adam", state, "first." + names_[k], first_[k]));
    second.push_back(restored("adam", state, "second." + names_[k], second_[k]));
  }
  steps_ = steps;
  first_ = std::move(first);
  second_ = std::move(second);
}

Tensor global_norm(std::span<const Tensor> gradients) {
  if (gradients.empty()) throw Error("[global_norm] no gradients");
  Var squares(Tensor::zeros({}, DType::float64, gradients.front().backend()));
  for (const Tensor& g : gradients) squares = squares + Var(sum(square(Var(g))).value().to(DType::float64));
  return sqrt(squares).value();
}

Tensor clip_global_norm(std::vector<Tensor>& gradients, double limit) {
  if (!(limit > 0)) throw Error(fmt::format("[clip_global_norm] the limit {} is not above 0", limit));
  const Var norm(global_norm(gradients));
  const auto scalar = [&](double value) {
    return Var(Tensor::full({}, value, DType::float64, norm.value().backend()));
  };
  const Tensor factor = where(greater(norm, scalar(limit)), scalar(limit) / norm, scalar(1)).value();
  for (Tensor& g : gradients) g = (Var(g) * Var(factor.to(g.dtype()))).value();
  return norm.value();
}

}  // namespace levda::nn
