/// LEVDA against closed forms: with linear dynamics and observations it is the Kalman smoother in the ensemble's span.

#include "da/levda.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autodiff/error.h"
#include "tests/autodiff/compare.h"
#include "tests/da/linear_model.h"

using namespace levda;
using namespace levda::da;
using autodiff::Random;
using autodiff::Tensor;

namespace {

struct Twin {
  LinearModel model;
  Ensemble prior;
  Observations observations;
  DiagonalCovariance covariance;
  std::vector<double> times;

  Problem problem() const { return {prior, model, observations, covariance, times}; }
};

/// n controls, N members, `steps` times with m observations each; errors of different sizes.
Twin make_twin(std::int64_t n, std::int64_t members, std::int64_t steps, std::int64_t m, std::uint64_t seed) {
  Random random(seed);
  // A rotation-like step: well conditioned over many powers, so that closed forms keep their digits.
  const Matrix step = Eigen::HouseholderQR<Matrix>(random_matrix(n, n, random)).householderQ();
  LinearModel model(step, random_matrix(m, n, random));
  Observations o;
  std::vector<double> variance;
  std::vector<double> times;
  for (std::int64_t t = 0; t < steps; ++t) {
    times.push_back(static_cast<double>(t));
    for (std::int64_t c = 0; c < m; ++c) {
      const double deviation = 0.5 + random.uniform();
      o.add(static_cast<double>(t), 0, 0, c, random.normal(), deviation);
      variance.push_back(deviation * deviation);
    }
  }
  return {std::move(model), Ensemble(tensor_of(random_matrix(members, n, random))), o, DiagonalCovariance(variance),
          times};
}

struct Gaussian {
  Vector mean;
  Matrix covariance;
};

/// Kalman's formula in state space, with the ensemble's sample covariance as the prior's.
Gaussian kalman(const Twin& twin, const Observations& o, const std::vector<double>& variance) {
  const Matrix a = matrix_of(twin.prior.anomalies()).transpose();
  const Matrix p = a * a.transpose();
  const Matrix g = twin.model.matrix(o);
  const Vector mean = matrix_of(twin.prior.mean()).reshaped<Eigen::RowMajor>();
  const Vector y = Eigen::Map<const Vector>(o.value.data(), o.size());
  const Matrix s = g * p * g.transpose() + Matrix(Eigen::Map<const Vector>(variance.data(), o.size()).asDiagonal());
  const Matrix gain = s.ldlt().solve(g * p).transpose();
  return {mean + gain * (y - g * mean), p - gain * g * p};
}

Gaussian gaussian_of(const Ensemble& ensemble) {
  const Matrix a = matrix_of(ensemble.anomalies());
  return {matrix_of(ensemble.mean()).reshaped<Eigen::RowMajor>(), a.transpose() * a};
}

Gaussian advanced(const Gaussian& x, const Matrix& m) { return {m * x.mean, m * x.covariance * m.transpose()}; }

double difference(const Gaussian& a, const Gaussian& b) {
  return std::max((a.mean - b.mean).cwiseAbs().maxCoeff(), (a.covariance - b.covariance).cwiseAbs().maxCoeff());
}

Levda plain(std::int64_t length = 0, std::int64_t shift = 0) {
  return Levda({.starts = 0, .annealing = {1}}, {.length = length, .shift = shift});
}

}  // namespace

TEST_CASE("one window with a linear model is the Kalman smoother, for fewer and for more controls than members") {
  for (const auto& [n, members] : {std::pair{5, 12}, std::pair{12, 5}}) {
    CAPTURE(n);
    const Twin twin = make_twin(n, members, 6, 3, 1);
    const Gaussian at_start = kalman(twin, twin.observations, twin.covariance.variance());
    const Analysis analysis = plain(6, 6).assimilate(twin.problem());
    REQUIRE(analysis.ensembles.size() == 6);
    for (std::int64_t t = 0; t < 6; ++t)
      CHECK(difference(gaussian_of(analysis.ensembles[t]), advanced(at_start, twin.model.power(t))) <= 1e-10);
  }
}

TEST_CASE("several starts and annealing do not change a linear analysis") {
  const Twin twin = make_twin(5, 12, 6, 3, 2);
  const Levda full({.starts = 3, .annealing = {100, 10, 1}, .tolerance = 1e-12});
  const Gaussian at_start = kalman(twin, twin.observations, twin.covariance.variance());
  CHECK(difference(gaussian_of(full.assimilate(twin.problem()).ensembles[0]), at_start) <= 1e-10);
}

TEST_CASE("a model with constants of float64 works under mixed precision, and gives what it gives in float64") {
  class Float64Model final : public ForwardModel {
   public:
    explicit Float64Model(const LinearModel& model) : model_(model) {}
    std::int64_t controls() const override { return model_.controls(); }
    autodiff::Var advance(const autodiff::Var& v, double duration) const override {
      return model_.advance(v, duration);
    }
    std::unique_ptr<ObservationOperator> observe(const Observations& o) const override {
      struct Operator final : ObservationOperator {
        explicit Operator(Tensor g) : g_(std::move(g)) {}
        std::int64_t size() const override { return g_.shape()[0]; }
        autodiff::Var operator()(const autodiff::Var& v) const override {
          return matmul(v, autodiff::Var(g_), false, true);
        }
        Tensor g_;
      };
      return std::make_unique<Operator>(tensor_of(model_.matrix(o)));
    }

   private:
    const LinearModel& model_;
  };
  const Twin twin = make_twin(5, 12, 6, 3, 2);
  const Float64Model model(twin.model);
  const auto analysis = [&](Precision precision) {
    return Levda({.starts = 3, .precision = precision})
        .assimilate({twin.prior, model, twin.observations, twin.covariance, twin.times})
        .ensembles[0]
        .members();
  };
  CHECK(levda::testing::same_bits(analysis(Precision::mixed), analysis(Precision::float64)));
}

TEST_CASE(
    "windows one after the other end where one window over all ends; overlapping ones count an observation once") {
  const Twin twin = make_twin(6, 15, 8, 2, 3);
  const Gaussian whole = gaussian_of(plain(8, 8).assimilate(twin.problem()).ensembles.back());
  CHECK(difference(gaussian_of(plain(4, 4).assimilate(twin.problem()).ensembles.back()), whole) <= 1e-10);
  CHECK(difference(gaussian_of(plain(4, 2).assimilate(twin.problem()).ensembles.back()), whole) <= 1e-10);
  CHECK(difference(gaussian_of(plain(5, 3).assimilate(twin.problem()).ensembles.back()), whole) <= 1e-10);
  // The analysis of the first of two windows does not depend on the observations of the second.
  const Gaussian early = gaussian_of(plain(4, 4).assimilate(twin.problem()).ensembles.front());
  CHECK(difference(early, gaussian_of(plain(8, 8).assimilate(twin.problem()).ensembles.front())) > 1e-3);
}

TEST_CASE("a single observation moves the mean by the textbook gain") {
  // One control, prior variance b, observed directly with error variance r: gain b / (b + r).
  LinearModel model(Matrix::Identity(1, 1), Matrix::Identity(1, 1));
  const Ensemble prior(Tensor::from(std::vector<double>{-1.0, 0.0, 1.0, 4.0}, {4, 1}));
  const double b = 14.0 / 3.0;  // mean 1
  const double r = 2;
  Observations o;
  o.add(0, 0, 0, 0, 5.0, std::sqrt(r));
  const DiagonalCovariance covariance({r});
  const Analysis analysis = plain().assimilate({prior, model, o, covariance, {0}});
  CHECK(std::abs(analysis.ensembles[0].mean().item() - (1 + b / (b + r) * 4)) <= 1e-12);
  CHECK(std::abs(std::pow(analysis.ensembles[0].spread()[0], 2) - b * r / (b + r)) <= 1e-12);
  // Degrees of freedom for signal: the trace of the influence matrix, b / (b + r).
  CHECK(std::abs(analysis.diagnostics.at("degrees_of_freedom")[0] - b / (b + r)) <= 1e-12);
}

TEST_CASE("the order of observations does not matter") {
  const Twin twin = make_twin(5, 10, 5, 3, 4);
  std::vector<std::int64_t> order = Random(5).permutation(twin.observations.size());
  const Observations shuffled = twin.observations.part(order);
  const auto covariance = twin.covariance.part(order, std::vector<double>(order.size(), 1.0));
  const Analysis a = plain(5, 5).assimilate(twin.problem());
  const Analysis b = plain().assimilate({twin.prior, twin.model, shuffled, *covariance, twin.times});
  CHECK(difference(gaussian_of(a.ensembles[2]), gaussian_of(b.ensembles[2])) <= 1e-12);
}

TEST_CASE("with more controls than members the posterior stays in the prior's span") {
  const Twin twin = make_twin(20, 6, 4, 5, 6);
  const Matrix prior = matrix_of(twin.prior.members()).rowwise() - matrix_of(twin.prior.mean()).row(0);
  const Matrix posterior = matrix_of(plain(4, 4).assimilate(twin.problem()).ensembles[0].members()).rowwise() -
                           matrix_of(twin.prior.mean()).row(0);
  const Eigen::ColPivHouseholderQR<Matrix> span(prior.transpose());
  const Matrix residual = prior.transpose() * span.solve(Matrix(posterior.transpose())) - posterior.transpose();
  CHECK(residual.cwiseAbs().maxCoeff() <= 1e-12 * posterior.cwiseAbs().maxCoeff() * 20);
}

TEST_CASE("a linear problem needs one Gauss-Newton iteration") {
  // One to reach the minimum, one to see that nothing is left to gain.
  const Analysis analysis = plain(6, 6).assimilate(make_twin(5, 12, 6, 3, 7).problem());
  CHECK(analysis.diagnostics.at("iterations")[0] <= 2);
  CHECK(analysis.diagnostics.at("gradient_norm")[0] <= 1e-10);
}

TEST_CASE("twice the cost at the minimum is chi-square distributed with m degrees of freedom") {
  // Truth from N(mean, A A'), observations with their stated errors: E = m, variance 2 m.
  constexpr int draws = 400;
  double sum = 0;
  Twin twin = make_twin(4, 9, 3, 2, 8);
  const auto m = static_cast<double>(twin.observations.size());
  const Matrix a = matrix_of(twin.prior.anomalies()).transpose();
  const Vector mean = matrix_of(twin.prior.mean()).reshaped<Eigen::RowMajor>();
  const Matrix g = twin.model.matrix(twin.observations);
  Random random(9);
  for (int k = 0; k < draws; ++k) {
    const Vector truth = mean + a * Vector(random_matrix(a.cols(), 1, random));
    const Vector y = g * truth;
    for (std::int64_t i = 0; i < twin.observations.size(); ++i)
      twin.observations.value[i] = y[i] + twin.observations.error_std[i] * random.normal();
    sum += 2 * plain(3, 3).assimilate(twin.problem()).diagnostics.at("cost")[0];
  }
  // Four standard errors of the mean over the draws.
  CHECK(std::abs(sum / draws - m) <= 4 * std::sqrt(2 * m / draws));
}

TEST_CASE("the gradient of one reverse sweep is the one that forward sweeps give, and differences of the cost") {
  const Twin twin = make_twin(5, 8, 4, 3, 10);
  const auto observe = twin.model.observe(twin.observations);
  const Tensor values = Tensor::from(std::span<const double>(twin.observations.value), {twin.observations.size()});
  Random random(11);
  std::vector<double> w(8);
  for (double& x : w) x = random.normal();
  const CostGradient exact = cost_and_gradient(twin.prior, *observe, values, twin.covariance, w);
  const Matrix a = matrix_of(twin.prior.anomalies()).transpose();
  const Matrix y = twin.model.matrix(twin.observations) * a;
  const Eigen::Map<const Vector> weights(w.data(), 8);
  const Vector mean = matrix_of(twin.prior.mean()).reshaped<Eigen::RowMajor>();
  Vector innovation = Eigen::Map<const Vector>(twin.observations.value.data(), y.rows()) -
                      twin.model.matrix(twin.observations) * mean - y * weights;
  for (std::int64_t i = 0; i < innovation.size(); ++i) innovation[i] /= twin.covariance.variance()[i];
  const Vector expected = weights - y.transpose() * innovation;
  for (std::int64_t i = 0; i < 8; ++i) CHECK(std::abs(exact.gradient[i] - expected[i]) <= 1e-12 * expected.norm());
  constexpr double h = 1e-4;
  for (std::size_t i = 0; i < 8; ++i) {
    std::vector<double> up = w;
    std::vector<double> down = w;
    up[i] += h;
    down[i] -= h;
    const double slope = (cost_and_gradient(twin.prior, *observe, values, twin.covariance, up).cost -
                          cost_and_gradient(twin.prior, *observe, values, twin.covariance, down).cost) /
                         (2 * h);
    // The cost is quadratic: only round-off of the cost over h is left.
    CHECK(std::abs(slope - exact.gradient[i]) <= 1e-14 * exact.cost / h * 10);
  }
}

TEST_CASE("the mean is kept by the transform, and free runs use no observation") {
  const Twin twin = make_twin(5, 10, 4, 3, 12);
  const Analysis free = FreeRun().assimilate(twin.problem());
  const Gaussian prior = gaussian_of(twin.prior);
  for (std::int64_t t = 0; t < 4; ++t)
    CHECK(difference(gaussian_of(free.ensembles[t]), advanced(prior, twin.model.power(t))) <= 1e-12);
}

TEST_CASE("several starts and annealing find the deep one of many minima") {
  // A narrow signal on a wide prior: G = exp(-(v - t)^2 / 0.02) at sites t. From the mean no site is in sight.
  class Bump final : public ForwardModel {
   public:
    std::int64_t controls() const override { return 1; }
    autodiff::Var advance(const autodiff::Var& v, double) const override { return v; }
    std::unique_ptr<ObservationOperator> observe(const Observations& o) const override {
      class Operator final : public ObservationOperator {
       public:
        explicit Operator(std::vector<double> sites)
            : sites_(Tensor::from(std::span<const double>(sites), {static_cast<std::int64_t>(sites.size())})) {}
        std::int64_t size() const override { return sites_.size(); }
        autodiff::Var operator()(const autodiff::Var& v) const override {
          return exp(-50 * square(v - autodiff::Var(sites_.to(v.dtype()))));
        }

       private:
        Tensor sites_;
      };
      return std::make_unique<Operator>(o.x);
    }
  };
  const double truth = 2.13;
  Observations o;
  std::vector<double> variance;
  for (int i = -60; i <= 60; ++i) {
    const double site = 0.05 * i;
    o.add(0, site, 0, 0, std::exp(-50 * (truth - site) * (truth - site)), 0.05);
    variance.push_back(0.0025);
  }
  std::vector<double> members;
  for (int i = 0; i < 12; ++i) members.push_back(-2.75 + 0.5 * i);
  const Ensemble prior(Tensor::from(std::span<const double>(members), {12, 1}));
  const DiagonalCovariance covariance(variance);
  const Bump model;
  const auto error = [&](const Levda& levda, const Ensemble& from) {
    return std::abs(levda.assimilate({from, model, o, covariance, {0}}).ensembles[0].mean().item() - truth);
  };
  const Levda searching({.starts = 4, .annealing = {100, 10, 1}});
  CHECK(error(plain(), prior) > 1);
  CHECK(error(searching, prior) <= 0.01);
  // When all members are far away, candidates are needed.
  for (double& member : members) member -= 2.5;
  const Ensemble far(Tensor::from(std::span<const double>(members), {12, 1}));
  const std::vector<double> others{-1, 0.9, 2, 2.05, 2.9};
  const Ensemble candidates(Tensor::from(std::span<const double>(others), {5, 1}));
  CHECK(error(searching, far) > 1);
  CHECK(error(Levda({.starts = 4, .candidates = {candidates}}), far) <= 0.01);
  // Each problem of a call has its candidates: the first has useless ones here.
  const Problem problem{far, model, o, covariance, {0}};
  const std::vector<Analysis> both =
      Levda({.starts = 4, .candidates = {far, candidates}}).assimilate_all(std::vector<Problem>(2, problem));
  CHECK(std::abs(both[0].ensembles[0].mean().item() - truth) > 1);
  CHECK(std::abs(both[1].ensembles[0].mean().item() - truth) <= 0.01);
  CHECK_THROWS_AS(Levda({.candidates = {far, far}}).assimilate_all(std::vector<Problem>(3, problem)), Error);
  CHECK_THROWS_AS(Levda({.control = Control::transform, .candidates = {far}}), Error);
  CHECK_THROWS_AS(Levda({.minimiser = Minimiser::ensemble, .candidates = {far}}), Error);
}

TEST_CASE("a problem has the same bits in a batch and alone, whether or not it can advance with others") {
  const Twin a = make_twin(5, 12, 8, 3, 20);
  std::vector<Ensemble> priors;
  std::vector<Observations> observations;
  std::vector<DiagonalCovariance> covariances;
  Random random(21);
  // Ensemble, values and errors differ. From the fourth problem on something else differs too, so that it cannot
  // advance with the others.
  for (std::int64_t k = 0; k < 7; ++k) {
    priors.emplace_back(tensor_of(random_matrix(k == 3 ? 4 : 12, 5, random)));
    Observations o = a.observations;
    for (double& value : o.value) value += random.normal();
    if (k == 4) o.channel[2] = 0;
    if (k == 5) o.qc[7] = outlier;
    observations.push_back(o);
    std::vector<double> variance = a.covariance.variance();
    for (double& v : variance) v *= 0.5 + random.uniform();
    covariances.emplace_back(variance);
  }
  std::vector<Problem> problems;
  for (std::size_t k = 0; k < priors.size(); ++k) {
    problems.push_back({priors[k], a.model, observations[k], covariances[k], a.times});
    if (k == 6) problems.back().times.pop_back();
  }
  const auto check = [&](const Method& method) {
    const std::vector<Analysis> together = method.assimilate_all(problems);
    REQUIRE(together.size() == problems.size());
    for (std::size_t k = 0; k < problems.size(); ++k) {
      CAPTURE(k);
      const Analysis alone = method.assimilate(problems[k]);
      CHECK(together[k].diagnostics == alone.diagnostics);
      REQUIRE(together[k].ensembles.size() == problems[k].times.size());
      for (std::size_t t = 0; t < alone.ensembles.size(); ++t)
        CHECK(testing::same_bits(together[k].ensembles[t].members(), alone.ensembles[t].members()));
    }
  };
  check(FreeRun());
  check(plain(4, 3));
  const WindowSettings windows{.length = 4, .shift = 3};
  check(Levda({.starts = 3, .annealing = {100, 10, 1}}, windows));
  check(Levda({.minimiser = Minimiser::lbfgs, .starts = 1, .annealing = {10, 1}}, windows));
  check(Levda({.minimiser = Minimiser::ensemble}, windows));
  CHECK(plain().assimilate_all({}).empty());
}

TEST_CASE("problems in step ask the model together") {
  // Counts the calls of an operator.
  class Counted final : public ForwardModel {
   public:
    explicit Counted(const LinearModel& model) : model_(model) {}
    std::int64_t controls() const override { return model_.controls(); }
    autodiff::Var advance(const autodiff::Var& v, double duration) const override {
      return model_.advance(v, duration);
    }
    std::unique_ptr<ObservationOperator> observe(const Observations& o) const override {
      class Operator final : public ObservationOperator {
       public:
        Operator(std::unique_ptr<ObservationOperator> inner, int& calls) : inner_(std::move(inner)), calls_(calls) {}
        std::int64_t size() const override { return inner_->size(); }
        autodiff::Var operator()(const autodiff::Var& v) const override { return (*inner_)(v); }
        Linearisation linearise(const Tensor& v, const Tensor& directions) const override {
          ++calls_;
          return inner_->linearise(v, directions);
        }

       private:
        std::unique_ptr<ObservationOperator> inner_;
        int& calls_;
      };
      return std::make_unique<Operator>(model_.observe(o), calls);
    }
    mutable int calls = 0;

   private:
    const LinearModel& model_;
  };
  const Twin twin = make_twin(5, 12, 6, 3, 22);
  const Counted model(twin.model);
  const Problem problem{twin.prior, model, twin.observations, twin.covariance, twin.times};
  plain().assimilate(problem);
  const int alone = model.calls;
  model.calls = 0;
  plain().assimilate_all(std::vector<Problem>(9, problem));
  CHECK(alone > 0);
  CHECK(model.calls == alone);
}

TEST_CASE("the impact of observations adds up to the degrees of freedom for signal, its slope is that of the cost") {
  Twin twin = make_twin(5, 12, 6, 3, 30);
  const auto tight = [&] { return plain(6, 6).assimilate(twin.problem()); };
  const Analysis analysis = tight();
  REQUIRE(analysis.impact.size() == 18);
  // K of the Kalman smoother: H K = P_y (P_y + R)^-1, of which whitening keeps the diagonal.
  const Matrix a = matrix_of(twin.prior.anomalies()).transpose();
  const Matrix y = twin.model.matrix(twin.observations) * a;
  Matrix s = y * y.transpose();
  const Matrix p = s;
  for (std::int64_t i = 0; i < 18; ++i) s(i, i) += twin.covariance.variance()[static_cast<std::size_t>(i)];
  const Matrix hk = p * s.inverse();
  double sum = 0;
  for (const Impact& impact : analysis.impact) {
    CHECK(std::abs(impact.share - hk(impact.observation, impact.observation)) <= 1e-10);
    sum += impact.share;
  }
  CHECK(std::abs(sum - analysis.diagnostics.at("degrees_of_freedom")[0]) <= 1e-10);
  const auto cost = [&] { return tight().diagnostics.at("cost")[0]; };
  constexpr double h = 1e-3;
  for (const std::size_t i : {std::size_t{0}, std::size_t{7}, std::size_t{17}}) {
    twin.observations.value[i] += h;
    const double up = cost();
    twin.observations.value[i] -= 2 * h;
    const double down = cost();
    twin.observations.value[i] += h;
    // Quadratic: only round-off of the cost over h is left.
    CHECK(std::abs((up - down) / (2 * h) - analysis.impact[i].sensitivity) <= 1e-14 * up / h * 10);
  }
}

TEST_CASE("iterations are reported: the cost falls at one factor of R, gradients of a linear model agree") {
  const Twin twin = make_twin(5, 12, 6, 3, 31);
  for (const Minimiser minimiser : {Minimiser::gauss_newton, Minimiser::lbfgs}) {
    const Levda method({.minimiser = minimiser, .starts = 2, .annealing = {100, 1}}, {.length = 4, .shift = 2});
    const Analysis analysis = method.assimilate(twin.problem());
    REQUIRE(analysis.iterations.size() >= 4);
    CHECK(analysis.iterations.front().window == 0);
    CHECK(analysis.iterations.front().factor == 100);
    CHECK(analysis.iterations.back().window == 1);
    CHECK(analysis.iterations.back().factor == 1);
    const auto total = [](const Iteration& x) { return x.cost_background + x.cost_observations; };
    for (std::size_t i = 0; i < analysis.iterations.size(); ++i) {
      const Iteration& now = analysis.iterations[i];
      // float32 while R is inflated: the exact gradient is then off by 1e-7 of its parts.
      CHECK(now.gradient_difference <= (now.factor > 1 ? 1e-4 : 1e-9));
      if (i == 0) continue;
      const Iteration& before = analysis.iterations[i - 1];
      if (before.window == now.window && before.factor == now.factor) CHECK(total(now) <= total(before));
    }
    CHECK(std::abs(total(analysis.iterations.back()) - analysis.diagnostics.at("cost").back()) <= 1e-12);
    // The order of sums differs, with terms of about 10.
    CHECK(std::abs(analysis.iterations.back().gradient_norm - analysis.diagnostics.at("gradient_norm").back()) <=
          1e-12);
  }
}

TEST_CASE("inflation multiplies the spread of each window's posterior and keeps its mean") {
  const Twin twin = make_twin(5, 12, 6, 3, 32);
  const Levda inflating({.starts = 0, .annealing = {1}, .inflation = {.factor = 1.5}});
  const Gaussian a = gaussian_of(plain(6, 6).assimilate(twin.problem()).ensembles[0]);
  const Gaussian b = gaussian_of(inflating.assimilate(twin.problem()).ensembles[0]);
  CHECK(difference({a.mean, 2.25 * a.covariance}, b) <= 1e-12);
  const Levda relaxing({.starts = 0, .annealing = {1}, .inflation = {.relaxation = 1}});
  const std::vector<double> kept = relaxing.assimilate(twin.problem()).ensembles[0].spread();
  for (std::size_t k = 0; k < kept.size(); ++k) CHECK(std::abs(kept[k] - twin.prior.spread()[k]) <= 1e-12);
  CHECK_THROWS_AS(Levda({.inflation = {.factor = 0}}), Error);
}

TEST_CASE("where windows overlap an analysis has used each observation's share so far: never over-confident") {
  for (const auto& [length, shift] : {std::pair{5, 1}, std::pair{4, 3}, std::pair{3, 2}, std::pair{6, 4}}) {
    const Twin twin = make_twin(5, 12, 8, 2, 33);
    CAPTURE(length);
    const Analysis analysis = plain(length, shift).assimilate(twin.problem());
    const Gaussian all = kalman(twin, twin.observations, twin.covariance.variance());
    // Windows by their definition: k shift .. k shift + length - 1, the last one ends with the times.
    std::vector<std::pair<std::int64_t, std::int64_t>> spans;
    for (std::int64_t begin = 0;; begin += shift) {
      spans.emplace_back(begin, std::min<std::int64_t>(begin + length, 8));
      if (spans.back().second == 8) break;
    }
    const auto entered = [&](std::int64_t t, std::size_t until) {
      return std::count_if(spans.begin(), spans.begin() + static_cast<std::ptrdiff_t>(until),
                           [&](const auto& s) { return s.first <= t && t < s.second; });
    };
    for (std::int64_t t = 0; t < 8; ++t) {
      std::size_t last = 0;
      for (std::size_t w = 0; w < spans.size(); ++w)
        if (spans[w].first <= t && t < spans[w].second) last = w + 1;
      // An observation of k windows, c of which are over, counts as one with R k / c.
      std::vector<std::int64_t> known;
      std::vector<double> variance;
      for (std::int64_t i = 0; i < twin.observations.size(); ++i) {
        const auto at = static_cast<std::int64_t>(twin.observations.time[static_cast<std::size_t>(i)]);
        if (entered(at, last) == 0) continue;
        known.push_back(i);
        variance.push_back(twin.covariance.variance()[static_cast<std::size_t>(i)] *
                           static_cast<double>(entered(at, spans.size())) / static_cast<double>(entered(at, last)));
      }
      const Gaussian mine = gaussian_of(analysis.ensembles[static_cast<std::size_t>(t)]);
      const Matrix power = twin.model.power(t);
      CHECK(difference(mine, advanced(kalman(twin, twin.observations.part(known), variance), power)) <= 1e-9);
      const Matrix excess = mine.covariance - advanced(all, power).covariance;
      const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(excess);
      CHECK(eigen.eigenvalues().minCoeff() >= -1e-9);
    }
  }
}

TEST_CASE("settings and problems that do not fit are refused") {
  CHECK_THROWS_AS(Levda({.annealing = {10}}), Error);
  CHECK_THROWS_AS(Levda({.annealing = {}}), Error);
  CHECK_THROWS_AS(Levda({.annealing = {0.5, 1}}), Error);
  CHECK_THROWS_AS(Levda({.iterations = 0}), Error);
  const Twin twin = make_twin(5, 10, 4, 3, 12);
  CHECK_THROWS_WITH_AS(plain(4, 5), "windows of length 4 and shift 5", Error);
  const DiagonalCovariance few({1.0});
  CHECK_THROWS_WITH_AS(plain().assimilate({twin.prior, twin.model, twin.observations, few, twin.times}),
                       "a covariance of 1 errors for 12 observations", Error);
  const Ensemble other(tensor_of(Matrix::Random(10, 6)));
  CHECK_THROWS_WITH_AS(plain().assimilate({other, twin.model, twin.observations, twin.covariance, twin.times}),
                       "an ensemble of 6 controls for a model of 5", Error);
}
