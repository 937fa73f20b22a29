/// 4D-Var against Kalman's formulas, its gradient against differences, and a truth that it recovers.

#include "da/four_d_var.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/error.h"
#include "da/step_model.h"
#include "tests/autodiff/compare.h"
#include "tests/da/linear_smoother.h"
#include "tests/da/lorenz_twin.h"

using namespace levda;
using namespace levda::da;
using namespace levda::testing;
using autodiff::Tensor;

namespace {

/// B of n controls with different variances, correlated.
Matrix some_matrix(std::int64_t n) {
  autodiff::Random random(17);
  const Matrix root = random_matrix(n, n, random);
  return 0.3 * Matrix::Identity(n, n) + 0.2 * root * root.transpose();
}

std::shared_ptr<const ErrorCovariance> some_background(std::int64_t n) {
  const Matrix b = some_matrix(n);
  return std::make_shared<FullCovariance>(std::vector<double>(b.data(), b.data() + b.size()));
}

Tensor tensor(const std::vector<double>& x) {
  return Tensor::from(std::span<const double>(x), {static_cast<std::int64_t>(x.size())});
}

}  // namespace

TEST_CASE("4D-Var: with the sample covariance it is the Kalman smoother and LEVDA") {
  for (const auto& [n, members] : {std::pair{5, 12}, std::pair{12, 5}}) {
    CAPTURE(n);
    const LinearTwin twin = linear_twin(n, members, 6, 3, 1);
    const Gaussian at_start = kalman_smoother(gaussian_of(twin.prior), twin.model, twin.observations);
    const Analysis analysis = FourDVar().assimilate(twin.problem());
    const Analysis levda = Levda({.starts = 0, .annealing = {1}}).assimilate(twin.problem());
    for (std::int64_t t = 0; t < 6; ++t) {
      CHECK(difference(gaussian_of(analysis.ensembles[t]), advanced(at_start, twin.model.power(t))) <= 1e-10);
      CHECK(largest_difference(analysis.ensembles[t], levda.ensembles[t]) <= 1e-10);
    }
    CHECK(analysis.diagnostics.at("iterations")[0] == 1);
    REQUIRE(analysis.impact.size() == levda.impact.size());
    for (std::size_t i = 0; i < levda.impact.size(); ++i) {
      CHECK(std::abs(analysis.impact[i].share - levda.impact[i].share) <= 1e-10);
      CHECK(std::abs(analysis.impact[i].sensitivity - levda.impact[i].sensitivity) <= 1e-10);
    }
    // L-BFGS ends where a gradient of 1e-8 does; H >= 1.
    const Analysis by_gradient =
        FourDVar({.minimiser = FourDVarMinimiser::lbfgs, .tolerance = 1e-8}).assimilate(twin.problem());
    CHECK(largest_difference(by_gradient.ensembles[0], levda.ensembles[0]) <= 1e-6);
  }
}

TEST_CASE("4D-Var: with B given it is Kalman's formula, whatever the prior ensemble's spread") {
  const auto background = some_background(5);
  const LinearTwin twin = linear_twin(5, 12, 6, 3, 2);
  const Vector mean = gaussian_of(twin.prior).mean;
  const Gaussian expected = kalman_smoother({mean, 4 * some_matrix(5)}, twin.model, twin.observations);
  const auto analysed = [&](FourDVarSettings settings) {
    settings.background = background;
    settings.scale = 4;
    return gaussian_of(FourDVar(settings).assimilate(twin.problem()).ensembles[0]);
  };
  CHECK(difference(analysed({}), expected) <= 1e-10);
  // The subspace of draws is the whole space where there are more members than controls.
  const Gaussian subspace = analysed({.minimiser = FourDVarMinimiser::lbfgs, .tolerance = 1e-8, .exact_controls = 0});
  CHECK((subspace.covariance - expected.covariance).cwiseAbs().maxCoeff() <= 1e-10);
  CHECK((subspace.mean - expected.mean).norm() <= 1e-6);

  // With fewer members it is not, and the mean is right all the same.
  const LinearTwin few = linear_twin(5, 3, 6, 3, 2);
  const Gaussian minimum = kalman_smoother({gaussian_of(few.prior).mean, some_matrix(5)}, few.model, few.observations);
  const FourDVar method(
      {.background = background, .minimiser = FourDVarMinimiser::lbfgs, .tolerance = 1e-8, .exact_controls = 0});
  CHECK((gaussian_of(method.assimilate(few.problem()).ensembles[0]).mean - minimum.mean).norm() <= 1e-6);
}

TEST_CASE("4D-Var: B is the same in each window, the analysis is carried on") {
  const auto background = some_background(5);
  const LinearTwin twin = linear_twin(5, 12, 4, 3, 3);
  const Analysis analysis = FourDVar({.background = background}, {.length = 2}).assimilate(twin.problem());
  const Matrix b = some_matrix(5);
  const Observations early = twin.observations.part(twin.observations.in_window(0, 1.5));
  const Gaussian first = kalman_smoother({gaussian_of(twin.prior).mean, b}, twin.model, early);
  CHECK(difference(gaussian_of(analysis.ensembles[0]), first) <= 1e-10);
  Observations late = twin.observations.part(twin.observations.in_window(1.5, 9));
  for (double& t : late.time) t -= 2;
  const Gaussian second = kalman_smoother({twin.model.power(2) * first.mean, b}, twin.model, late);
  CHECK(difference(gaussian_of(analysis.ensembles[2]), second) <= 1e-10);
}

TEST_CASE("4D-Var: with fewer members than controls the covariance is right on average") {
  const auto background = some_background(6);
  const LinearTwin twin = linear_twin(6, 5, 3, 2, 4);
  const Gaussian expected =
      kalman_smoother({gaussian_of(twin.prior).mean, some_matrix(6)}, twin.model, twin.observations);
  Problem problem = twin.problem();
  constexpr int draws = 300;
  Matrix sum = Matrix::Zero(6, 6);
  for (int k = 0; k < draws; ++k) {
    problem.seed = static_cast<std::uint64_t>(k);
    const Gaussian one = gaussian_of(FourDVar({.background = background}).assimilate(problem).ensembles[0]);
    CHECK((one.mean - expected.mean).norm() <= 1e-10);
    sum += one.covariance;
  }
  // An element of a sample covariance of 5 members has the variance (p_ij^2 + p_ii p_jj) / 4; five errors of the mean.
  const Vector p = expected.covariance.diagonal();
  const Matrix variance = (expected.covariance.cwiseAbs2() + p * p.transpose()) / 4;
  CHECK(((sum / draws - expected.covariance).array() / (variance / draws).array().sqrt()).abs().maxCoeff() <= 5);
}

TEST_CASE("4D-Var: twice the cost at the minimum is chi-square distributed with m degrees of freedom") {
  LinearTwin twin = linear_twin(4, 3, 3, 2, 8);
  const auto background = some_background(4);
  const Vector mean = gaussian_of(twin.prior).mean;
  const Matrix root = some_matrix(4).llt().matrixL();
  const FourDVar method({.background = background});
  autodiff::Random random(9);
  std::vector<double> values;
  for (int k = 0; k < 400; ++k) {
    draw_observations(twin, mean, root, random);
    values.push_back(2 * method.assimilate(twin.problem()).diagnostics.at("cost")[0]);
  }
  CHECK(chi_square_statistic(values, 6) <= 1.95);
}

TEST_CASE("4D-Var: the gradient passes differences and Taylor's test on Lorenz-63") {
  const LorenzTwin twin = lorenz_63_twin({.members = 4, .cycles = 4, .steps = 5, .error_variance = 2}, 5);
  const auto background = some_background(3);
  const auto observe = twin.model.observe(twin.observations);
  const Tensor values = tensor(twin.observations.value);
  const auto at = [&](const std::vector<double>& z) {
    return four_d_var_cost(twin.prior.mean(), *background, *observe, values, twin.covariance, z);
  };
  const std::vector<double> z{0.3, -0.5, 0.2};
  const std::vector<double> direction{0.6, 0.64, -0.48};  // of length 1
  const CostGradient here = at(z);
  const auto moved = [&](double h) {
    std::vector<double> there = z;
    for (std::size_t i = 0; i < 3; ++i) there[i] += h * direction[i];
    return at(there).cost;
  };
  double slope = 0;
  for (std::size_t i = 0; i < 3; ++i) slope += here.gradient[i] * direction[i];
  // The remainder after the linear term falls with the square of the step ..
  const auto remainder = [&](double h) { return std::abs(moved(h) - here.cost - h * slope); };
  for (const double h : {1e-2, 1e-3, 1e-4}) CHECK(std::abs(std::log10(remainder(h) / remainder(h / 10)) - 2) <= 0.1);
  // .. and each component is the central difference, to its own second-order error and round-off.
  for (std::size_t i = 0; i < 3; ++i) {
    constexpr double h = 1e-5;
    std::vector<double> up = z;
    std::vector<double> down = z;
    up[i] += h;
    down[i] -= h;
    CHECK(std::abs((at(up).cost - at(down).cost) / (2 * h) - here.gradient[i]) <= 1e-7 * std::abs(here.cost));
  }
}

TEST_CASE("4D-Var: from a first guess it recovers a truth of Lorenz-63 from observations without noise") {
  const StepModel model(3, 0.01, [](const autodiff::Var& v) { return models::Lorenz63{}.step(v, 0.01); });
  const std::vector<double> truth{1.509, -1.531, 25.46};
  Observations o;
  Tensor x = Tensor::from(std::span<const double>(truth), {1, 3});
  for (int k = 1; k <= 5; ++k) {
    x = model.forecast(x, 0.05);
    for (std::int64_t i = 0; i < 3; ++i) o.add(0.05 * k, 0, 0, i, x.to_vector()[i], 1e-4);
  }
  // The first guess is off by a background deviation per component; it weighs 1e-8 of an observation.
  std::vector<double> members;
  for (const double e : {-0.5, 0.0, 0.2, 0.3})
    for (const double t : truth) members.push_back(t + 1 + e);
  const Ensemble prior(Tensor::from(std::span<const double>(members), {4, 3}));
  const DiagonalCovariance covariance(std::vector<double>(15, 1e-8));
  const auto background = std::make_shared<DiagonalCovariance>(std::vector<double>(3, 1.0));
  const Problem problem{prior, model, o, covariance, {0}};
  const Analysis analysis = FourDVar({.background = background}).assimilate(problem);
  CHECK(analysis.diagnostics.at("iterations")[0] <= 30);
  const std::vector<double> mean = analysis.ensembles[0].mean().to_vector();
  for (std::size_t i = 0; i < 3; ++i) CHECK(std::abs(mean[i] - truth[i]) <= 1e-6);
}

TEST_CASE("4D-Var: problems do not mix, and settings out of range are refused") {
  const LorenzTwin twin = lorenz_63_twin({.members = 6, .cycles = 6, .steps = 5, .error_variance = 2}, 6);
  const LorenzTwin other = lorenz_63_twin({.members = 6, .cycles = 6, .steps = 5, .error_variance = 2}, 7);
  const std::vector<Problem> problems{
      twin.problem(), {other.prior, twin.model, other.observations, other.covariance, other.times, other.seed}};
  const FourDVar method({.background = some_background(3)}, {.length = 3, .shift = 2});
  const std::vector<Analysis> together = method.assimilate_all(problems);
  for (std::size_t k = 0; k < 2; ++k)
    CHECK(same_bits(together[k].ensembles[5].members(), method.assimilate(problems[k]).ensembles[5].members()));

  CHECK_THROWS_AS(FourDVar({.scale = 0}), Error);
  CHECK_THROWS_AS(FourDVar({.iterations = 0}), Error);
  CHECK_THROWS_AS(FourDVar({.tolerance = -1}), Error);
  CHECK_THROWS_WITH_AS(FourDVar({.background = some_background(4)}).assimilate(problems[0]),
                       "4dvar: B of 4 controls for a model of 3", Error);
  CHECK_THROWS_WITH_AS(FourDVar({.background = some_background(3), .exact_controls = 2}).assimilate(problems[0]),
                       "4dvar: Gauss-Newton with 3 controls, exact_controls is 2", Error);
}
