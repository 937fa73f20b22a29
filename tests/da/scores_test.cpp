/// Scores against closed forms.

#include "da/scores.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <tuple>

#include "autodiff/error.h"

using namespace levda::da;
using levda::autodiff::Random;

namespace {

/// Points of an ensemble whose members and truth come from the same normal distribution N(m_i, s^2), m_i = 3 N(0, 1);
/// the surrogate adds an error of variance r to the truth.
FieldScores perfect_ensemble(std::size_t points, std::size_t members, double s, double r, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> x(members * points);
  std::vector<float> truth(points);
  for (std::size_t i = 0; i < points; ++i) {
    const double centre = 3 * random.normal();
    for (std::size_t k = 0; k < members; ++k) x[k * points + i] = static_cast<float>(centre + s * random.normal());
    truth[i] = static_cast<float>(centre + s * random.normal() + std::sqrt(r) * random.normal());
  }
  FieldScores scores;
  scores.add(x, truth, std::vector<double>{r}, random);
  return scores;
}

}  // namespace

TEST_CASE("fair CRPS: two members by hand, and its expectation for a normal ensemble") {
  std::vector<double> two{1.0, 3.0};
  // (|1 - 2| + |3 - 2|) / 2 - |1 - 3| * 2 / (2 * 2 * 1)
  CHECK(std::abs(fair_crps(two, 2.0) - 0.0) <= 1e-15);
  // Closed form of the CRPS of N(0, 1) at t (Gneiting et al. 2005): t (2 Phi(t) - 1) + 2 phi(t) - 1 / sqrt(pi). The
  // fair score of an ensemble has it as its expectation.
  const double t = 0.7;
  const double phi = std::exp(-t * t / 2) / std::sqrt(2 * std::numbers::pi);
  const double expected = t * std::erf(t / std::sqrt(2)) + 2 * phi - 1 / std::sqrt(std::numbers::pi);
  Random random(1);
  constexpr int draws = 20000;
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < draws; ++i) {
    std::vector<double> x(5);
    for (double& member : x) member = random.normal();
    const double score = fair_crps(x, t);
    sum += score;
    squares += score * score;
  }
  const double mean = sum / draws;
  const double error = std::sqrt((squares / draws - mean * mean) / draws);
  CHECK(std::abs(mean - expected) <= 4 * error);
}

TEST_CASE("a perfect ensemble is calibrated, with and without surrogate error") {
  constexpr std::size_t points = 40000;
  for (const double r : {0.0, 0.5}) {
    CAPTURE(r);
    constexpr std::size_t members = 20;
    const FieldScores scores = perfect_ensemble(points, members, 1, r, 2);
    // A ratio of two mean squares of normals: standard error sqrt((2/n + 2/(n (N - 1))) / 4), four of them.
    CHECK(std::abs(scores.spread_skill() - 1) <= 4 * std::sqrt(0.55 / points));
    // (m - t) / sqrt(V) has Student's t distribution where V is estimated, P(|t| <= 1.6449) = 0.8836 with 19 degrees of
    // freedom; a part of V that is known brings it towards the normal's 0.9.
    const double error = 4 * std::sqrt(0.1 / points);
    CHECK(scores.coverage90() >= 0.8836 - error);
    CHECK(scores.coverage90() <= (r == 0 ? 0.8836 : 0.9) + error);
    const std::vector<double> ranks = scores.ranks();
    REQUIRE(ranks.size() == members + 1);
    double chi_square = 0;
    for (const double share : ranks) {
      const double uniform = 1.0 / (members + 1);
      chi_square += points * (share - uniform) * (share - uniform) / uniform;
    }
    CHECK(chi_square <= 45.3);  // 0.999 quantile for 20 degrees of freedom
    if (r > 0) CHECK(scores.spread_skill_without_surrogate_error() < 0.9);
  }
}

TEST_CASE("an ensemble of wrong mean and spread: every score is its closed form") {
  // Members N(bias, s^2), the truth N(0, 1), and a variance r that is said to be the surrogate's.
  constexpr std::size_t points = 20000, members = 40;
  constexpr double n = members;
  for (const auto& [bias, s, r] : {std::tuple(0.0, 0.5, 0.0), std::tuple(0.7, 0.8, 0.3), std::tuple(-1.2, 2.0, 0.0)}) {
    CAPTURE(bias);
    Random random(9);
    std::vector<float> x(members * points);
    std::vector<float> truth(points);
    for (float& value : x) value = static_cast<float>(bias + s * random.normal());
    for (float& value : truth) value = static_cast<float>(random.normal());
    FieldScores scores;
    scores.add(x, truth, std::vector<double>{r}, random);
    const double v = (n + 1) / n * s * s + r;
    const double error = 1 + s * s / n + bias * bias;  // mean square of mean - truth
    const double tolerance = 4 / std::sqrt(static_cast<double>(points));
    // sqrt(V / E): V from many values; E's relative standard error is at most sqrt(2 / points).
    CHECK(std::abs(scores.spread_skill() / std::sqrt(v / error) - 1) <= tolerance);
    CHECK(std::abs(scores.spread_skill_without_surrogate_error() / std::sqrt((v - r) / error) - 1) <= tolerance);
    CHECK(std::abs(scores.relative_rmse() / std::sqrt(error) - 1) <= tolerance);
    // Normal intervals; that V is estimated from 40 members changes the share by less than 0.01.
    const auto phi = [](double z) { return 0.5 * (1 + std::erf(z / std::numbers::sqrt2)); };
    const double own = std::sqrt(1 + s * s / n);
    const double half = 1.6448536 * std::sqrt(v);
    CHECK(std::abs(scores.coverage90() - (phi((half - bias) / own) - phi((-half - bias) / own))) <=
          0.01 + tolerance / 2);
    // E|X - Y| - E|X - X'| / 2 with X ~ N(bias, s^2 + r), Y ~ N(0, 1) (Gneiting & Raftery 2007).
    const double both = std::sqrt(1 + s * s + r);
    const double distance = both * std::sqrt(2 / std::numbers::pi) * std::exp(-bias * bias / (2 * both * both)) +
                            bias * std::erf(bias / (both * std::numbers::sqrt2));
    CHECK(std::abs(scores.crps() - (distance - std::sqrt((s * s + r) / std::numbers::pi))) <= tolerance);
    // The share of truths below all members: of N + 1 equal draws for a perfect ensemble, more for a narrow one.
    const double lowest = scores.ranks().front();
    if (bias == 0) CHECK(lowest > 3 / (n + 1));
    if (bias > 0) CHECK(lowest > scores.ranks().back());
  }
  // A truth below all members: one rank has all.
  Random random(1);
  FieldScores below;
  below.add(std::vector<float>{3, 4, 5}, std::vector<float>{1}, std::vector<double>{0.0}, random);
  CHECK(below.ranks() == std::vector<double>{1, 0, 0, 0});
}

TEST_CASE("z of a parameter: its mean square for a perfect ensemble") {
  // z = (mean - truth) / s is sqrt((N + 1) / N) times Student's t of N - 1: mean square (N + 1) / N (N - 1) / (N - 3).
  constexpr int draws = 20000;
  constexpr std::size_t n = 20;
  Random random(3);
  double squares = 0, fourths = 0;
  std::vector<double> members(n);
  for (int i = 0; i < draws; ++i) {
    for (double& member : members) member = random.normal();
    const double z = score_parameter(members, random.normal(), 1).z;
    squares += z * z / draws;
    fourths += z * z * z * z / draws;
  }
  CHECK(std::abs(squares - 21.0 / 20 * 19 / 17) <= 4 * std::sqrt((fourths - squares * squares) / draws));
}

TEST_CASE("relative RMSE and spread by hand, channels pooled as a root mean square") {
  // Two points, two channels, two members.
  const std::vector<float> members{1, 10, 2, 20,   // member 0: (point, channel)
                                   3, 30, 4, 40};  // member 1
  const std::vector<float> truth{2, 25, 4, 30};
  Random random(3);
  FieldScores scores;
  scores.add(members, truth, std::vector<double>{0.0, 9.0}, random);
  // Means: 2, 20, 3, 30. Errors: channel 0: 0, 1; channel 1: 5, 0.
  const double expected = std::sqrt(0.5 * (1.0 / 20 + 25.0 / 1525));
  CHECK(std::abs(scores.relative_rmse() - expected) <= 1e-15);
  // Variances (N + 1)/N s^2: 3 and 300 at both points.
  CHECK(std::abs(scores.relative_spread() - std::sqrt(0.5 * (6.0 / 20 + 618.0 / 1525))) <= 1e-15);
  CHECK(std::abs(scores.spread_skill() - std::sqrt(624.0 / 26)) <= 1e-14);
  CHECK(std::abs(scores.spread_skill_without_surrogate_error() - std::sqrt(606.0 / 26)) <= 1e-14);
  CHECK(scores.coverage90() == 1);
}

TEST_CASE("points count with their area: one of area 2 is two points") {
  const std::vector<float> members{1, 5, 3, 2};  // (member, point)
  const std::vector<float> truth{2, 4};
  Random random(3);
  FieldScores by_area;
  by_area.add(members, truth, std::vector<double>{0.0}, random, std::vector<double>{2.0, 1.0});
  FieldScores twice;
  twice.add(std::vector<float>{1, 1, 5, 3, 3, 2}, std::vector<float>{2, 2, 4}, std::vector<double>{0.0}, random);
  CHECK(by_area.pack() == twice.pack());
  CHECK_THROWS_WITH_AS(by_area.add(members, truth, std::vector<double>{0.0}, random, std::vector<double>{1.0}),
                       "scores: points and areas do not match", levda::Error);
}

TEST_CASE("ties share ranks at random") {
  const std::vector<float> members(4 * 3000, 1.0F);
  const std::vector<float> truth(3000, 1.0F);
  Random random(4);
  FieldScores scores;
  scores.add(members, truth, std::vector<double>{0.0}, random);
  for (const double share : scores.ranks()) CHECK(std::abs(share - 0.2) <= 4 * std::sqrt(0.16 / 3000));
}

TEST_CASE("sums add up and survive a file; a single member has no spread") {
  Random random(5);
  const FieldScores a = perfect_ensemble(100, 5, 1, 0.1, 6);
  FieldScores sum;
  sum += a;
  sum += perfect_ensemble(50, 5, 2, 0.1, 7);
  const FieldScores back = FieldScores::unpack(sum.pack());
  CHECK(back.relative_rmse() == sum.relative_rmse());
  CHECK(back.crps() == sum.crps());
  CHECK(back.ranks() == sum.ranks());
  FieldScores single;
  single.add(std::vector<float>{1, 2}, std::vector<float>{1, 1}, std::vector<double>{0.0}, random);
  CHECK_FALSE(single.is_ensemble());
  CHECK(std::abs(single.relative_rmse() - std::sqrt(0.5)) <= 1e-15);
  CHECK_THROWS_AS(sum += perfect_ensemble(10, 7, 1, 0.1, 8), levda::Error);
  CHECK_THROWS_AS(FieldScores::unpack(std::vector<double>{1, 2, 3}), levda::Error);
}

TEST_CASE("parameters") {
  const ParameterScore score = score_parameter(std::vector<double>{1.0, 2.0, 3.0}, 2.5, 10);
  CHECK(std::abs(score.error - 0.05) <= 1e-15);
  CHECK(std::abs(score.z + 0.5) <= 1e-15);
}
