#include "nn/soap.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <Eigen/QR>
#include <cmath>

#include "autodiff/error.h"
#include "autodiff/op.h"

namespace levda::nn {

using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;

namespace {

Tensor identity(std::int64_t n, const Tensor& like) {
  std::vector<double> values(static_cast<std::size_t>(n * n), 0.0);
  for (std::int64_t i = 0; i < n; ++i) values[static_cast<std::size_t>(i * (n + 1))] = 1;
  return Tensor::from(std::span<const double>(values), {n, n}, like.dtype(), like.backend());
}

/// beta old + (1 - beta) fresh.
Tensor mix(double beta, const Tensor& old, const Var& fresh) { return (beta * Var(old) + (1 - beta) * fresh).value(); }

/// One step of orthogonal iteration towards the eigenvectors of C: Q of C Q = Q R.
Tensor follow(const Tensor& covariance, const Tensor& basis) {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const std::vector<double> turned = matmul(Var(covariance), Var(basis)).value().to_vector();
  const std::int64_t n = basis.shape()[0];
  const Eigen::HouseholderQR<Matrix> qr(Eigen::Map<const Matrix>(turned.data(), n, n));
  const Matrix q = qr.householderQ();
  return Tensor::from(std::span<const double>(q.data(), static_cast<std::size_t>(q.size())), {n, n}, basis.dtype(),
                      basis.backend());
}

/// Subtracts `part` of the parameter from it in place. part = 0 keeps all bits.
void decay(Tensor& parameter, double part) {
  if (part == 0) return;
  // A difference, not a product with 1 - part: float32 would round the part to a few digits.
  const Tensor share = autodiff::scale(parameter, part).value();
  parameter.backend().binary(autodiff::Binary::sub, parameter, share, parameter);
}

}  // namespace

template <typename Self, typename F>
void Soap::Memory::for_each(Self& self, F&& f) {
  f("momentum." + self.name, self.momentum);
  f("second." + self.name, self.second);
  if (!self.matrix) return;
  f("left." + self.name, self.left);
  f("right." + self.name, self.right);
  f("left_basis." + self.name, self.left_basis);
  f("right_basis." + self.name, self.right_basis);
}

Soap::Soap(const Parameters& parameters, const Settings& settings) : settings_(settings) {
  check_averages(name(), settings.beta1, settings.beta2, settings.epsilon);
  if (settings.period < 1) throw Error(fmt::format("[soap] a period of {} steps is not positive", settings.period));
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters.trainable(i)) continue;
    const Tensor& p = parameters[i];
    const auto zeros = [&](const autodiff::Shape& shape) { return Tensor::zeros(shape, p.dtype(), p.backend()); };
    Memory memory{.name = parameters.name(i),
                  .matrix = p.shape().rank() == 2,
                  .momentum = zeros(p.shape()),
                  .second = zeros(p.shape()),
                  .left = {},
                  .right = {},
                  .left_basis = {},
                  .right_basis = {}};
    if (memory.matrix) {
      const std::int64_t m = p.shape()[0];
      const std::int64_t n = p.shape()[1];
      memory.left = zeros({m, m});
      memory.right = zeros({n, n});
      memory.left_basis = identity(m, p);
      memory.right_basis = identity(n, p);
    }
    memories_.push_back(std::move(memory));
  }
}

void Soap::update_matrix(Memory& s, const Tensor& gradient, Tensor& weight) const {
  const Var g(gradient);
  s.left = mix(settings_.beta2, s.left, matmul(g, g, false, true));
  s.right = mix(settings_.beta2, s.right, matmul(g, g, true, false));
  if (steps_ > 1) decay(weight, rate_ * settings_.weight_decay);
  const auto t = static_cast<double>(steps_ - 1);
  if (steps_ == 1) {
    // A few rounds are needed from the identity; later one is enough.
    constexpr int rounds = 8;
    for (int k = 0; k < rounds; ++k) {
      s.left_basis = follow(s.left, s.left_basis);
      s.right_basis = follow(s.right, s.right_basis);
    }
    return;
  }
  const auto turned = [&](const Var& x) {
    return matmul(matmul(Var(s.left_basis), x, true, false), Var(s.right_basis));
  };
  s.momentum = mix(settings_.beta1, s.momentum, g);
  s.second = mix(settings_.beta2, s.second, square(turned(g)));
  const Var m = turned(Var(s.momentum)) * (1 / (1 - std::pow(settings_.beta1, t)));
  const Var v = Var(s.second) * (1 / (1 - std::pow(settings_.beta2, t)));
  const Var direction = m / (sqrt(v) + settings_.epsilon);
  const Var back = matmul(matmul(Var(s.left_basis), direction), Var(s.right_basis), false, true);
  const Tensor step = (rate_ * back).value();
  weight.backend().binary(autodiff::Binary::sub, weight, step, weight);
  if (steps_ % settings_.period == 0) {
    s.left_basis = follow(s.left, s.left_basis);
    s.right_basis = follow(s.right, s.right_basis);
  }
}

void Soap::begin_step(double rate) {
  ++steps_;
  rate_ = rate;
}

void Soap::update(Parameters& parameters, std::span<const Tensor> gradients) {
  std::vector<Tensor> own;
  for (const Memory& memory : memories_) own.push_back(memory.momentum);
  check_gradients(parameters, gradients, &own);
  std::vector<std::size_t> trainable;
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (parameters.trainable(i)) trainable.push_back(i);
  const auto t = static_cast<double>(steps_ - 1);
  const double now[] = {rate_, 1 / (1 - std::pow(settings_.beta1, t)), 1 / (1 - std::pow(settings_.beta2, t)),
                        rate_ * settings_.weight_decay};
  const autodiff::AdamConstants constants{
      .beta1 = settings_.beta1, .beta2 = settings_.beta2, .epsilon = settings_.epsilon};
  const auto update_one = [&](std::size_t k) {
    Memory& memory = memories_[k];
    Tensor& parameter = parameters[trainable[k]];
    if (memory.matrix)
      update_matrix(memory, gradients[k], parameter);
    else if (steps_ > 1)
      parameter.backend().adam(constants,
                               Tensor::from(std::span<const double>(now), {4}, DType::float64, parameter.backend()),
                               gradients[k], memory.momentum, memory.second, parameter);
  };
  if (!memories_.empty() && memories_.front().momentum.backend().prefers_large_batches()) {
    for (std::size_t k = 0; k < trainable.size(); ++k) update_one(k);
    return;
  }
  // The parameters are independent, and each product is too small for several threads.
  oneapi::tbb::parallel_for(std::size_t{0}, trainable.size(), update_one);
}

Optimiser::State Soap::state() const {
  State state;
  for (const Memory& memory : memories_)
    Memory::for_each(memory, [&](const std::string& name, const Tensor& tensor) { state[name] = tensor.clone(); });
  return state;
}

void Soap::restore(std::int64_t steps, const State& state) {
  std::vector<Memory> memories = memories_;
  for (Memory& memory : memories)
    Memory::for_each(memory,
                     [&](const std::string& name, Tensor& tensor) { tensor = restored("soap", state, name, tensor); });
  memories_ = std::move(memories);
  steps_ = steps;
}

}  // namespace levda::nn
