#include "da/quality_control.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "da/four_d_en_var.h"
#include "da/levda.h"
#include "tests/autodiff/compare.h"
#include "tests/da/linear_model.h"

using namespace levda;
using namespace levda::da;
using autodiff::Random;
using autodiff::Tensor;
using autodiff::Var;

namespace {

constexpr double no_number = std::numeric_limits<double>::quiet_NaN();

/// A linear system, a truth from the prior, observations with their stated errors.
struct Twin {
  LinearModel model;
  Ensemble prior;
  Observations observations;
  DiagonalCovariance covariance;
  std::vector<double> times;
  Vector truth;

  Problem problem() const { return {prior, model, observations, covariance, times}; }
};

Twin make_twin(std::uint64_t seed, double prior_spread = 1) {
  constexpr std::int64_t n = 4;
  constexpr std::int64_t m = 6;
  constexpr std::int64_t steps = 6;
  Random random(seed);
  const Matrix step = Eigen::HouseholderQR<Matrix>(random_matrix(n, n, random)).householderQ();
  LinearModel model(step, random_matrix(m, n, random));
  const Vector truth = prior_spread * Vector(random_matrix(n, 1, random));
  Observations o;
  for (std::int64_t t = 0; t < steps; ++t)
    for (std::int64_t c = 0; c < m; ++c) o.add(static_cast<double>(t), 0, 0, c, 0, 0.1);
  const Vector y = model.matrix(o) * truth;
  for (std::int64_t i = 0; i < o.size(); ++i) o.value[i] = y[i] + 0.1 * random.normal();
  std::vector<double> times(steps);
  for (std::int64_t t = 0; t < steps; ++t) times[t] = static_cast<double>(t);
  return {std::move(model),
          Ensemble(tensor_of(Matrix(prior_spread * random_matrix(12, n, random)))),
          o,
          DiagonalCovariance(std::vector<double>(static_cast<std::size_t>(o.size()), 0.01)),
          times,
          truth};
}

Levda checking(double gross_error) {
  return Levda({.starts = 0, .annealing = {1}}, {.length = 4, .shift = 2, .gross_error = gross_error});
}

double difference(const Ensemble& a, const Ensemble& b) {
  return (matrix_of(a.members()) - matrix_of(b.members())).cwiseAbs().maxCoeff();
}

}  // namespace

TEST_CASE("quality control: the codes of single values") {
  // Two members at -1 and 1: spread sqrt(2), error variance 2, so 2 is one predictive standard deviation.
  const std::vector<double> predictions{0,  0,  no_number, 0,         0,          //
                                        1,  1,  1,         1,         no_number,  //
                                        -1, -1, -1,        no_number, no_number};
  const Tensor all = Tensor::from(std::span<const double>(predictions), {3, 5});
  const std::vector<double> values{5.9, -6.1, 0, 0, 0};
  const std::vector<double> variance(5, 2.0);
  CHECK(check_gross_errors(values, variance, all, 3) ==
        std::vector<std::int32_t>{used, outlier, operator_failed, used, operator_failed});
  CHECK(check_gross_errors(std::vector<double>{no_number, 0, 0, 0, 0}, variance, all, 3)[0] == outlier);
}

TEST_CASE("quality control: a masked covariance is that of the rest, no number where it is left out does not matter") {
  const DiagonalCovariance r({1.0, 4.0, 9.0, 16.0});
  const MaskedCovariance masked(r, {true, false, true, false});
  const Var x(Tensor::from(std::vector<double>{2.0, no_number, 3.0, no_number}, {1, 4}));
  CHECK(masked.whiten(x).value().to_vector() == std::vector<double>{2, 0, 1, 0});
  CHECK(masked.solve(x).value().to_vector() == std::vector<double>{2, 0, 3.0 / 3 / 3, 0});
  CHECK(masked.colour(x).value().to_vector() == std::vector<double>{2, 0, 9, 0});
  const std::vector<double> variance = masked.variance();
  CHECK(variance[2] == 9);
  CHECK(std::isinf(variance[1]));
  const auto part = masked.part(std::vector<std::int64_t>{3, 2}, std::vector<double>{1, 4});
  CHECK(part->size() == 2);
  CHECK(part->whiten(Var(Tensor::from(std::vector<double>{no_number, 12.0}, {1, 2}))).value().to_vector() ==
        std::vector<double>{0, 2});
  CHECK_THROWS_AS(MaskedCovariance(r, std::vector<bool>(4, false)), Error);
  CHECK_THROWS_AS(masked.part(std::vector<std::int64_t>{1}, std::vector<double>{1}), Error);
}

TEST_CASE("quality control: an outlier is recorded, and the analysis is the one without it") {
  Twin twin = make_twin(1);
  twin.observations.value[3] += 50;    // before the analysis
  twin.observations.value[20] -= 1.5;  // only after it: within the prior's spread
  twin.observations.qc[7] = incoming_rejected;
  twin.observations.value[7] = no_number;
  const Analysis analysis = checking(5).assimilate(twin.problem());
  std::vector<std::int32_t> expected(static_cast<std::size_t>(twin.observations.size()), used);
  expected[3] = expected[20] = outlier;
  expected[7] = incoming_rejected;
  CHECK(analysis.qc == expected);
  CHECK(checking(0).assimilate(twin.problem()).qc == twin.observations.qc);

  Twin without = twin;
  without.observations.qc = expected;
  const Analysis clean = checking(0).assimilate(without.problem());
  for (std::size_t t = 0; t < twin.times.size(); ++t)
    CHECK(difference(analysis.ensembles[t], clean.ensembles[t]) <= 1e-10);
  for (const Impact& impact : analysis.impact) CHECK(expected[static_cast<std::size_t>(impact.observation)] == used);
  // Another window method, which does not mention the check.
  CHECK(FourDEnVar({}, {.length = 4, .shift = 2, .gross_error = 5}).assimilate(twin.problem()).qc == expected);
}

TEST_CASE("quality control: problems in step do not touch each other") {
  std::vector<Twin> twins;
  for (int k = 0; k < 4; ++k) {
    twins.push_back(make_twin(2));
    for (double& value : twins.back().observations.value) value += 0.01 * k;
  }
  twins[1].observations.value[5] += 40;
  twins[2].observations.value[9] += 1;
  for (double& value : twins[3].observations.value) value += 1000;  // nothing is left
  std::vector<Problem> problems;
  for (const Twin& twin : twins)
    problems.push_back({twin.prior, twins[0].model, twin.observations, twin.covariance, twin.times});
  const std::vector<Analysis> together = checking(4).assimilate_all(problems);
  for (std::size_t k = 0; k < problems.size(); ++k) {
    const Analysis alone = checking(4).assimilate(problems[k]);
    CHECK(alone.qc == together[k].qc);
    CHECK(alone.diagnostics == together[k].diagnostics);
    CHECK(alone.impact == together[k].impact);
    CHECK(alone.iterations == together[k].iterations);
    for (std::size_t t = 0; t < alone.ensembles.size(); ++t)
      CHECK(testing::same_bits(alone.ensembles[t].members(), together[k].ensembles[t].members()));
  }
  const Analysis free = FreeRun().assimilate(problems[3]);
  CHECK(difference(free.ensembles.back(), together[3].ensembles.back()) <= 1e-12);
  CHECK(together[3].impact.empty());
}

TEST_CASE("quality control: 5% gross errors are found under a wide prior, and good values stay") {
  std::int64_t wrong = 0;
  std::int64_t found = 0;
  std::int64_t good = 0;
  std::int64_t lost = 0;
  double error = 0;
  double clean_error = 0;
  for (std::uint64_t seed = 10; seed < 30; ++seed) {
    Twin twin = make_twin(seed, 3);
    const auto missed = [&](const Analysis& analysis) {
      const Vector mean = matrix_of(analysis.ensembles[0].mean()).reshaped<Eigen::RowMajor>();
      return (mean - twin.truth).squaredNorm();
    };
    clean_error += missed(checking(0).assimilate(twin.problem()));
    Random random(seed, 1);
    std::vector<bool> gross;
    for (double& value : twin.observations.value) {
      gross.push_back(random.uniform() < 0.05);
      if (gross.back()) value += (random.uniform() < 0.5 ? -1.0 : 1.0) * 10 * 0.1;
    }
    const Analysis analysis = checking(4).assimilate(twin.problem());
    error += missed(analysis);
    for (std::size_t i = 0; i < gross.size(); ++i) {
      (gross[i] ? wrong : good) += 1;
      if (analysis.qc[i] == outlier) (gross[i] ? found : lost) += 1;
    }
  }
  CHECK(wrong >= 20);
  CHECK(static_cast<double>(found) >= 0.95 * static_cast<double>(wrong));
  CHECK(static_cast<double>(lost) <= 0.02 * static_cast<double>(good));
  CHECK(std::sqrt(error) <= 1.1 * std::sqrt(clean_error));
}
