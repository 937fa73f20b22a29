#include "nn/parameters.h"

#include <fmt/format.h>

#include <algorithm>

#include "autodiff/error.h"

namespace levda::nn {

std::size_t Parameters::add(std::string name, autodiff::Tensor value, bool trainable) {
  if (std::find(names_.begin(), names_.end(), name) != names_.end())
    throw Error(fmt::format("two parameters have the name {}", name));
  if (!value || value.dtype() == autodiff::DType::int64)
    throw Error(fmt::format("parameter {} is {}", name, value ? "of int64" : "empty"));
  names_.push_back(std::move(name));
  values_.push_back(std::move(value));
  trainable_.push_back(trainable);
  return names_.size() - 1;
}

std::size_t Parameters::at(std::size_t i) const {
  if (i >= size()) throw Error(fmt::format("no parameter {} in a list of {}", i, size()));
  return i;
}

void Parameters::set(std::size_t i, autodiff::Tensor value) {
  at(i);
  if (!value) throw Error(fmt::format("parameter {} is empty", names_[i]));
  if (!(value.shape() == values_[i].shape()))
    throw Error(
        fmt::format("parameter {} has shape {}, not {}", names_[i], values_[i].shape().text(), value.shape().text()));
  values_[i] = std::move(value);
}

void Parameters::move(autodiff::Backend& backend) {
  for (OwnTensor& value : values_)
    if (&value.backend() != &backend) value = value.to(backend);
}

std::int64_t Parameters::count() const {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < size(); ++i)
    if (trainable_[i]) count += values_[i].size();
  return count;
}

autodiff::Vars Parameters::on(autodiff::Tape& tape) const {
  autodiff::Vars vars;
  for (std::size_t i = 0; i < size(); ++i)
    vars.push_back(trainable_[i] ? tape.variable(values_[i]) : autodiff::Var(values_[i]));
  return vars;
}

autodiff::Vars Parameters::constants(autodiff::DType dtype) const {
  autodiff::Vars vars;
  for (const autodiff::Tensor& value : values_) vars.emplace_back(value.to(dtype));
  return vars;
}

}  // namespace levda::nn
