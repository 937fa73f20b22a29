/// A program of a user of the installed libraries: a gradient, and an analysis with a new model. It returns 1 when a
/// number is wrong.

#include <Eigen/Dense>
#include <cmath>
#include <cstdio>
#include <memory>

#include "autodiff/derivatives.h"
#include "autodiff/random.h"
#include "da/levda.h"
#include "da/observation_operators.h"
#include "da/step_model.h"

using namespace levda;
using namespace levda::autodiff;

namespace {

bool good = true;

void check(const char* what, double error, double tolerance) {
  const bool within = error <= tolerance;
  std::printf("%-48s %10.2e, at most %.2e%s\n", what, error, tolerance, within ? "" : "   WRONG");
  good = good && within;
}

/// Angle and angular speed of a pendulum of 1 m; channel c of an observation is control c.
class Pendulum final : public da::ForwardModel {
 public:
  std::int64_t controls() const override { return 2; }
  Var advance(const Var& v, double duration) const override {
    Var angle = slice(v, 1, 0, 1);
    Var speed = slice(v, 1, 1, 1);
    const double steps = std::ceil(duration / 0.02);
    for (double step = 0; step < steps; ++step) {
      speed = speed - duration / steps * 9.81 * sin(angle);
      angle = angle + duration / steps * speed;
    }
    return concat({angle, speed}, 1);
  }
  std::unique_ptr<da::ObservationOperator> observe(const da::Observations& o) const override {
    return std::make_unique<Operator>(*this, o);
  }

 private:
  class Operator final : public da::ObservationOperator {
   public:
    Operator(const Pendulum& model, da::Observations o) : model_(model), o_(std::move(o)) {}
    std::int64_t size() const override { return o_.size(); }
    Var operator()(const Var& v) const override {
      Vars values;
      for (std::size_t i = 0; i < o_.value.size(); ++i)
        values.push_back(slice(model_.advance(v, o_.time[i]), 1, o_.channel[i], 1));
      return concat(values, 1);
    }

   private:
    const Pendulum& model_;
    da::Observations o_;
  };
};

void gradient() {
  const auto rosenbrock = [](const Vars& p) { return square(1 - p[0]) + 100 * square(p[1] - square(p[0])); };
  const std::vector<Tensor> at{Tensor::full({}, -1.2, DType::float64), Tensor::full({}, 1, DType::float64)};
  const ValueAndGrad g = value_and_grad(rosenbrock, at);
  // 215.6 and 88 are sums of a few products of that size.
  check("gradient: d/dx = -215.6", std::abs(g.gradients[0].item() + 215.6), 1e-12);
  check("gradient: d/dy = -88", std::abs(g.gradients[1].item() + 88), 1e-12);
}

void analysis() {
  const Pendulum model;
  Random random(1);
  const std::vector<double> truth{0.8, -0.5};
  constexpr std::int64_t members = 12;
  std::vector<double> prior;
  for (std::int64_t i = 0; i < members; ++i) {
    prior.push_back(0.3 * random.normal());
    prior.push_back(random.normal());
  }
  // The angle alone, ten times in 2 s.
  da::Observations observations;
  std::vector<double> times{0};
  constexpr double deviation = 0.02;
  for (int i = 1; i <= 10; ++i) {
    times.push_back(0.2 * i);
    const Var v = model.advance(Var(Tensor::from(truth, {1, 2})), times.back());
    observations.add(times.back(), 0, 0, 0, v.value().to_vector()[0] + deviation * random.normal(), deviation);
  }
  const da::Ensemble ensemble(Tensor::from(prior, {members, 2}));
  const da::DiagonalCovariance covariance(std::vector<double>(10, deviation * deviation));
  const da::Levda method(da::LevdaSettings{});
  const da::Analysis found = method.assimilate({ensemble, model, observations, covariance, times});
  const std::vector<double> mean = found.ensembles[0].mean().to_vector();
  const std::vector<double> spread = found.ensembles[0].spread();
  const std::vector<double> before = ensemble.spread();
  // The truth within four standard deviations, and those much smaller than before.
  check("analysis: error of the angle", std::abs(mean[0] - truth[0]), 4 * spread[0]);
  check("analysis: error of the speed", std::abs(mean[1] - truth[1]), 4 * spread[1]);
  check("analysis: spread of the angle", spread[0], 0.2 * before[0]);
  check("analysis: spread of the speed", spread[1], 0.2 * before[1]);
}

const da::RegisteredOperator cube{{.name = "cube",
                                   .help = "the third power of the channel",
                                   .apply = [](const da::Seen& s) { return s.average(pow(s.field(0), 3)); }}};

/// A new observation operator.
void observation_operator() {
  const da::StepModel still(2, 1, [](const Var& v) { return v; });
  da::Observations observations;
  observations.add(0, 0, 0, 1, 0, 1, da::used, "cube");
  const auto observe = still.observe(observations);
  const Tensor at = Tensor::from(std::vector<double>{5, 2}, {2});
  const da::Linearisation found = observe->linearise(at, Tensor::from(std::vector<double>{0, 1}, {1, 2}));
  check("own operator: 2 cubed", std::abs(found.value.item() - 8), 1e-14);
  check("own operator: its slope, 12", std::abs(found.tangents.item() - 12), 1e-14);
}

/// A user's own Eigen has other flags than ours. Both in one program must not be mixed: its allocator pads by what the
/// flags say, its packed panels are as wide as the registers.
void eigen() {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  constexpr int n = 40;
  const Matrix a = Matrix::Identity(n, n) + 0.1 / n * Matrix::Random(n, n);
  const Matrix b = Matrix::Random(n, 3);
  const auto tensor = [](const Matrix& x) {
    return Var(
        Tensor::from(std::span<const double>(x.data(), static_cast<std::size_t>(x.size())), {x.rows(), x.cols()}));
  };
  const std::vector<double> ours = solve(tensor(a), tensor(b)).value().to_vector();
  const std::vector<double> product = matmul(tensor(a), tensor(b)).value().to_vector();
  // |x| and |a| are about 1, the condition number 1.2: a few n roundings.
  check("Eigen's solution less ours", (a.partialPivLu().solve(b) - Eigen::Map<const Matrix>(ours.data(), n, 3)).norm(),
        n * 1e-15);
  check("Eigen's product less ours", (a * b - Eigen::Map<const Matrix>(product.data(), n, 3)).norm(), n * 1e-15);
}

}  // namespace

int main() {
  gradient();
  analysis();
  observation_operator();
  eigen();
  return good ? 0 : 1;
}
