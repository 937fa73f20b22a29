#include "da/scores.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autodiff/error.h"

namespace levda::da {

namespace {

constexpr double z90 = 1.6448536269514722;

void add_to(std::vector<double>& sum, const std::vector<double>& term) {
  if (sum.empty()) sum.resize(term.size(), 0);
  if (term.empty()) return;
  if (sum.size() != term.size()) throw Error("scores of different channels or ensemble sizes");
  std::transform(sum.begin(), sum.end(), term.begin(), sum.begin(), std::plus<>());
}

double total(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

double pooled_ratio(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t c = 0; c < a.size(); ++c) sum += a[c] / b[c];
  return std::sqrt(sum / static_cast<double>(a.size()));
}

}  // namespace

double fair_crps(std::span<double> x, double truth) {
  const auto n = static_cast<double>(x.size());
  std::sort(x.begin(), x.end());
  double distance = 0;
  double pairs = 0;  // sum over i < j of x_j - x_i
  for (std::size_t k = 0; k < x.size(); ++k) {
    distance += std::abs(x[k] - truth);
    pairs += (2 * static_cast<double>(k) - n + 1) * x[k];
  }
  return distance / n - pairs / (n * (n - 1));
}

void FieldScores::add(std::span<const float> members, std::span<const float> truth,
                      std::span<const double> surrogate_variance, autodiff::Random& random,
                      std::span<const double> areas) {
  const std::size_t channels = surrogate_variance.size();
  const std::size_t values = truth.size();
  const std::size_t n = members.size() / values;
  if (n == 0 || members.size() != n * values || values % channels != 0)
    throw Error("scores: members and truth do not match");
  if (!areas.empty() && areas.size() != values / channels) throw Error("scores: points and areas do not match");
  std::vector<double> error(channels, 0);
  std::vector<double> square(channels, 0);
  std::vector<double> variance(channels, 0);
  std::vector<double> member_variance(channels, 0);
  std::vector<double> ranks(n > 1 ? n + 1 : 0, 0);
  std::vector<double> x(n);
  const auto count = static_cast<double>(n);
  for (std::size_t i = 0; i < values; ++i) {
    const std::size_t c = i % channels;
    const double t = truth[i];
    const double area = areas.empty() ? 1 : areas[i / channels];
    double mean = 0;
    for (std::size_t k = 0; k < n; ++k) {
      x[k] = members[k * values + i];
      mean += x[k];
    }
    mean /= count;
    error[c] += area * (mean - t) * (mean - t);
    square[c] += area * t * t;
    if (n == 1) continue;
    double spread = 0;
    for (const double member : x) spread += (member - mean) * (member - mean);
    spread *= (count + 1) / count / (count - 1);
    member_variance[c] += area * spread;
    const double v = spread + surrogate_variance[c];
    variance[c] += area * v;
    if (std::abs(t - mean) <= z90 * std::sqrt(v)) covered_ += area;
    if (surrogate_variance[c] > 0) {
      const double deviation = std::sqrt(surrogate_variance[c]);
      for (double& member : x) member += deviation * random.normal();
    }
    crps_ += area * fair_crps(x, t);
    crps_count_ += area;
    // x is sorted now; equal values share their ranks at random.
    const auto [low, high] = std::equal_range(x.begin(), x.end(), t);
    ranks[static_cast<std::size_t>(low - x.begin() + random.below(high - low + 1))] += area;
  }
  add_to(squared_error_, error);
  add_to(squared_truth_, square);
  add_to(variance_, variance);
  add_to(member_variance_, member_variance);
  add_to(ranks_, ranks);
}

FieldScores& FieldScores::operator+=(const FieldScores& other) {
  add_to(squared_error_, other.squared_error_);
  add_to(squared_truth_, other.squared_truth_);
  add_to(variance_, other.variance_);
  add_to(member_variance_, other.member_variance_);
  add_to(ranks_, other.ranks_);
  covered_ += other.covered_;
  crps_ += other.crps_;
  crps_count_ += other.crps_count_;
  return *this;
}

double FieldScores::relative_rmse() const { return pooled_ratio(squared_error_, squared_truth_); }
double FieldScores::squared_error() const { return std::accumulate(squared_error_.begin(), squared_error_.end(), 0.0); }

double FieldScores::relative_spread() const { return pooled_ratio(variance_, squared_truth_); }
double FieldScores::spread_skill() const { return std::sqrt(total(variance_) / total(squared_error_)); }
double FieldScores::spread_skill_without_surrogate_error() const {
  return std::sqrt(total(member_variance_) / total(squared_error_));
}
double FieldScores::coverage90() const { return covered_ / crps_count_; }
double FieldScores::crps() const { return crps_ / crps_count_; }

std::vector<double> FieldScores::ranks() const {
  std::vector<double> shares = ranks_;
  const double all = total(ranks_);
  for (double& share : shares) share /= all;
  return shares;
}

std::vector<double> FieldScores::pack() const {
  std::vector<double> numbers{static_cast<double>(squared_error_.size()), static_cast<double>(ranks_.size()), covered_,
                              crps_, crps_count_};
  for (const auto* part : {&squared_error_, &squared_truth_, &variance_, &member_variance_, &ranks_})
    numbers.insert(numbers.end(), part->begin(), part->end());
  return numbers;
}

FieldScores FieldScores::unpack(std::span<const double> numbers) {
  const auto fail = [] { throw Error("not the sums of scores"); };
  constexpr std::size_t head = 5;
  constexpr double many = 1e6;
  if (numbers.size() < head || !(numbers[0] >= 0 && numbers[0] < many && numbers[1] >= 0 && numbers[1] < many)) fail();
  const auto channels = static_cast<std::size_t>(numbers[0]);
  const auto bins = static_cast<std::size_t>(numbers[1]);
  if (numbers.size() != head + 4 * channels + bins) fail();
  FieldScores s;
  s.covered_ = numbers[2];
  s.crps_ = numbers[3];
  s.crps_count_ = numbers[4];
  std::size_t at = head;
  const auto take = [&](std::vector<double>& part, std::size_t size) {
    part.assign(numbers.begin() + static_cast<std::ptrdiff_t>(at),
                numbers.begin() + static_cast<std::ptrdiff_t>(at + size));
    at += size;
  };
  take(s.squared_error_, channels);
  take(s.squared_truth_, channels);
  take(s.variance_, channels);
  take(s.member_variance_, channels);
  take(s.ranks_, bins);
  return s;
}

ParameterScore score_parameter(std::span<const double> members, double truth, double range) {
  const auto n = static_cast<double>(members.size());
  const double mean = std::accumulate(members.begin(), members.end(), 0.0) / n;
  double variance = 0;
  for (const double member : members) variance += (member - mean) * (member - mean);
  variance /= n - 1;
  return {.error = std::abs(mean - truth) / range, .z = (mean - truth) / std::sqrt(variance)};
}

}  // namespace levda::da
