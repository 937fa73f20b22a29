#include "nn/adam.h"

#include <cmath>

#include "autodiff/error.h"
#include "autodiff/op.h"

namespace levda::nn {

using autodiff::Tensor;

Adam::Adam(const Parameters& parameters, const Settings& settings) : settings_(settings) {
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters.trainable(i)) continue;
    const Tensor& p = parameters[i];
    names_.push_back(parameters.name(i));
    first_.push_back(Tensor::zeros(p.shape(), p.dtype(), p.backend()));
    second_.push_back(Tensor::zeros(p.shape(), p.dtype(), p.backend()));
  }
}

void Adam::step(Parameters& parameters, std::span<const Tensor> gradients, double rate) {
  check_gradients("adam", parameters, gradients);
  ++steps_;
  const auto t = static_cast<double>(steps_);
  const autodiff::AdamStep step{.rate = rate,
                                .beta1 = settings_.beta1,
                                .beta2 = settings_.beta2,
                                .epsilon = settings_.epsilon,
                                .correction1 = 1 / (1 - std::pow(settings_.beta1, t)),
                                .correction2 = 1 / (1 - std::pow(settings_.beta2, t))};
  std::size_t k = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters.trainable(i)) continue;
    decay(parameters[i], rate * settings_.weight_decay);
    parameters[i].backend().adam(step, gradients[k], first_[k], second_[k], parameters[i]);
    ++k;
  }
}

Optimiser::State Adam::state() const {
  State state;
  for (std::size_t k = 0; k < names_.size(); ++k) {
    state["first." + names_[k]] = first_[k];
    state["second." + names_[k]] = second_[k];
  }
  return state;
}

void Adam::restore(std::int64_t steps, const State& state) {
  std::vector<Tensor> first;
  std::vector<Tensor> second;
  for (std::size_t k = 0; k < names_.size(); ++k) {
    first.push_back(restored("adam", state, "first." + names_[k], first_[k]));
    second.push_back(restored("adam", state, "second." + names_[k], second_[k]));
  }
  steps_ = steps;
  first_ = std::move(first);
  second_ = std::move(second);
}

double global_norm(std::span<const Tensor> gradients) {
  double squares = 0;
  for (const Tensor& g : gradients) squares += autodiff::sum(autodiff::square(g)).value().item();
  return std::sqrt(squares);
}

double clip_global_norm(std::vector<Tensor>& gradients, double limit) {
  const double norm = global_norm(gradients);
  if (norm > limit)
    for (Tensor& g : gradients) g = autodiff::scale(g, limit / norm).value();
  return norm;
}

}  // namespace levda::nn
