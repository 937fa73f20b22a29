#include "autodiff/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

using namespace levda::autodiff;

namespace {

/// Philox4x32-10 as in table 2 of Salmon et al. (SC'11), written out plainly.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> c, std::array<std::uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
    k[0] += 0x9E3779B9;
    k[1] += 0xBB67AE85;
  }
  return c;
}

/// Sum of (observed - expected)^2 / expected over equally likely classes.
double chi_square(const std::vector<std::int64_t>& counts) {
  const double total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  const double expected = total / static_cast<double>(counts.size());
  double chi = 0;
  for (const std::int64_t count : counts) chi += std::pow(static_cast<double>(count) - expected, 2) / expected;
  return chi;
}

}  // namespace

// The draws are fixed, so nothing here fails by chance; bounds of 5 standard deviations are passed by all but
// one in a million good generators.

TEST_CASE("random: Philox4x32-10 known answers") {
  Random zero(0);  // Random123's kat_vectors: counter and key zero
  CHECK(zero.bits() == 0x6627e8d5);
  CHECK(zero.bits() == 0xe169c58d);
  CHECK(zero.bits() == 0xbc57ac4c);
  CHECK(zero.bits() == 0x9b00dbd8);

  Random random(0x0123456789abcdefULL, 77, 0xfffffffe);
  for (std::uint32_t block = 0; block < 5; ++block)
    for (const std::uint32_t word : philox({block, 0, 77, 0xfffffffe}, {0x89abcdef, 0x01234567}))
      CHECK(random.bits() == word);
}

TEST_CASE("random: seed, stream and step each give another sequence, and the same ones the same") {
  std::set<std::uint32_t> first;
  for (const std::uint64_t seed : {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{1} << 32})
    for (std::uint32_t stream = 0; stream < 5; ++stream)
      for (std::uint32_t step = 0; step < 5; ++step) first.insert(Random(seed, stream, step).bits());
  CHECK(first.size() == 75);
  Random a(5, 3, 1);
  Random b(5, 3, 1);
  for (int i = 0; i < 100; ++i) CHECK(a.normal() == b.normal());

  // Neighbouring streams are uncorrelated: the mean product of n pairs has the deviation 1 / sqrt(n).
  Random one(9, 0);
  Random two(9, 1);
  Random three(9, 0, 1);
  constexpr int n = 40000;
  double streams = 0;
  double steps = 0;
  for (int i = 0; i < n; ++i) {
    const double x = one.normal();
    streams += x * two.normal();
    steps += x * three.normal();
  }
  CHECK(std::abs(streams / n) <= 5 / std::sqrt(n));
  CHECK(std::abs(steps / n) <= 5 / std::sqrt(n));
}

TEST_CASE("random: uniform numbers are in [0, 1) with mean 1/2 and variance 1/12") {
  Random random(1);
  constexpr int n = 100000;
  double sum = 0;
  double squares = 0;
  double least = 1;
  double most = 0;
  for (int i = 0; i < n; ++i) {
    const double x = random.uniform();
    sum += x;
    squares += (x - 0.5) * (x - 0.5);
    least = std::min(least, x);
    most = std::max(most, x);
  }
  CHECK(least >= 0);
  CHECK(most < 1);
  CHECK(least <= 1e-3);
  CHECK(most >= 1 - 1e-3);
  CHECK(std::abs(sum / n - 0.5) <= 5 * std::sqrt(1.0 / 12 / n));
  CHECK(std::abs(squares / n - 1.0 / 12) <= 5 * std::sqrt(1.0 / 180 / n));  // E (x - 1/2)^4 = 1/80
}

TEST_CASE("random: whole numbers below n are uniform and in range") {
  Random random(2);
  std::vector<std::int64_t> counts(10, 0);
  for (int i = 0; i < 100000; ++i) {
    const std::int64_t k = random.below(10);
    REQUIRE(k >= 0);
    REQUIRE(k < 10);
    ++counts[static_cast<std::size_t>(k)];
  }
  CHECK(chi_square(counts) <= 39.4);  // 9 degrees of freedom: exceeded with probability 1e-5
  CHECK(random.below(1) == 0);
  // A range of 3 2^61: each third gets a third of the numbers; a plain remainder of 2^64 would favour the first third.
  const std::int64_t third = std::int64_t{1} << 61;
  std::vector<std::int64_t> thirds(3, 0);
  for (int i = 0; i < 30000; ++i) {
    const std::int64_t k = random.below(3 * third);
    REQUIRE(k >= 0);
    REQUIRE(k < 3 * third);
    ++thirds[static_cast<std::size_t>(k / third)];
  }
  CHECK(chi_square(thirds) <= 23.0);  // 2 degrees of freedom, probability 1e-5
}

TEST_CASE("random: normal deviates have the moments, the distribution and no memory") {
  Random random(3);
  constexpr int n = 200000;
  std::vector<double> x(n);
  for (double& value : x) value = random.normal();
  double moment[5] = {};
  double neighbours = 0;
  for (int i = 0; i < n; ++i) {
    double power = 1;
    for (double& m : moment) {
      m += power / n;
      power *= x[static_cast<std::size_t>(i)];
    }
    if (i > 0) neighbours += x[static_cast<std::size_t>(i)] * x[static_cast<std::size_t>(i) - 1] / n;
  }
  const double root = std::sqrt(n);
  // Var x^k = E x^2k - (E x^k)^2 with E x^2, x^4, x^6, x^8 = 1, 3, 15, 105.
  CHECK(std::abs(moment[1]) <= 5 / root);
  CHECK(std::abs(moment[2] - 1) <= 5 * std::sqrt(2.0) / root);
  CHECK(std::abs(moment[3]) <= 5 * std::sqrt(15.0) / root);
  CHECK(std::abs(moment[4] - 3) <= 5 * std::sqrt(96.0) / root);
  CHECK(std::abs(neighbours) <= 5 / root);

  std::sort(x.begin(), x.end());
  double distance = 0;
  for (int i = 0; i < n; ++i) {
    const double p = 0.5 * std::erfc(-x[static_cast<std::size_t>(i)] / std::sqrt(2.0));
    distance = std::max({distance, std::abs(p - static_cast<double>(i) / n), std::abs(p - (i + 1.0) / n)});
  }
  CHECK(distance <= 2.5 / root);  // Kolmogorov and Smirnov: exceeded with probability 2 exp(-2 2.5^2) = 7e-6
}

TEST_CASE("random: permutations are permutations, all equally likely") {
  Random random(4);
  CHECK(random.permutation(0).empty());
  CHECK(random.permutation(1) == std::vector<std::int64_t>{0});
  std::vector<std::int64_t> order = random.permutation(1000);
  CHECK_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  for (std::int64_t i = 0; i < 1000; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);

  std::map<std::vector<std::int64_t>, std::int64_t> seen;
  for (int i = 0; i < 12000; ++i) ++seen[random.permutation(3)];
  REQUIRE(seen.size() == 6);
  std::vector<std::int64_t> counts;
  for (const auto& [p, count] : seen) counts.push_back(count);
  CHECK(chi_square(counts) <= 30.9);  // 5 degrees of freedom, probability 1e-5
}
