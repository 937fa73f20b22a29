#include "nn/ema.h"

#include <fmt/format.h>

#include <cmath>

#include "autodiff/error.h"
#include "autodiff/op.h"

namespace levda::nn {

using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;

Ema::Ema(const Parameters& parameters, double decay) : decay_(decay) {
  if (!(decay >= 0 && decay < 1)) throw Error(fmt::format("[ema] a decay of {} is not in [0, 1)", decay));
  if (decay == 0) return;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters.trainable(i)) continue;
    names_.push_back(parameters.name(i));
    average_.push_back(Tensor::zeros(parameters[i].shape(), DType::float64, parameters[i].backend()));
  }
}

void Ema::check(const Parameters& parameters) const {
  std::size_t k = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters.trainable(i)) continue;
    if (k == average_.size() || !(average_[k].shape() == parameters[i].shape()))
      throw Error("[ema] it was made for other parameters");
    ++k;
  }
  if (k != average_.size()) throw Error("[ema] it was made for other parameters");
}

void Ema::update(const Parameters& parameters) {
  if (decay_ == 0) return;
  check(parameters);
  ++updates_;
  // a_n - a_(n-1) = part (w_n - a_(n-1)); the first part is 1.
  const double part = (1 - decay_) / (1 - std::pow(decay_, static_cast<double>(updates_)));
  std::size_t k = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters.trainable(i)) continue;
    const Var a(average_[k]);
    average_[k++] = (a + part * (Var(parameters[i].to(DType::float64)) - a)).value();
  }
}

void Ema::apply(Parameters& parameters) const {
  if (updates_ == 0) return;
  check(parameters);
  std::size_t k = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters.trainable(i)) continue;
    const Tensor& a = average_[k++];
    parameters.set(i, a.to(parameters[i].dtype()));
  }
}

Optimiser::State Ema::state() const {
  Optimiser::State state;
  if (decay_ == 0) return state;
  state["updates"] = Tensor::full({1}, static_cast<double>(updates_), DType::float64);
  for (std::size_t k = 0; k < names_.size(); ++k) state["average." + names_[k]] = average_[k];
  return state;
}

void Ema::restore(const Optimiser::State& state) {
  if (decay_ == 0) return;
  std::vector<Tensor> average;
  for (std::size_t k = 0; k < names_.size(); ++k)
    average.push_back(restored("ema", state, "average." + names_[k], average_[k]));
  updates_ = static_cast<std::int64_t>(restored("ema", state, "updates", Tensor::zeros({1}, DType::float64)).item());
  average_ = std::move(average);
}

}  // namespace levda::nn
