#include "models/legendre.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "autodiff/error.h"

namespace levda::models {

namespace {

using std::int64_t;

std::size_t index(int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

double legendre_epsilon(std::int64_t l, std::int64_t m) {
  const auto ll = static_cast<double>(l * l);
  return std::sqrt((ll - static_cast<double>(m * m)) / (4 * ll - 1));
}

std::vector<double> associated_legendre(std::int64_t m, std::int64_t last, double mu) {
  std::vector<double> p(index(std::max<int64_t>(last - m + 1, 1)));
  const double cosine = std::sqrt((1 - mu) * (1 + mu));
  p[0] = 1;
  for (int64_t k = 1; k <= m; ++k) p[0] *= cosine * std::sqrt(1 + 0.5 / static_cast<double>(k));
  for (int64_t l = m + 1; l <= last; ++l) {
    const double before = l - m >= 2 ? legendre_epsilon(l - 1, m) * p[index(l - m - 2)] : 0;
    p[index(l - m)] = (mu * p[index(l - m - 1)] - before) / legendre_epsilon(l, m);
  }
  return p;
}

GaussRule gauss_rule(std::int64_t n) {
  GaussRule rule{std::vector<double>(index(n)), std::vector<double>(index(n))};
  for (int64_t i = 0; i < n; ++i) {
    long double x = -std::cos(std::numbers::pi_v<long double> * (static_cast<long double>(i) + 0.75L) /
                              (static_cast<long double>(n) + 0.5L));
    long double slope = 0;
    for (int iteration = 0; iteration < 100; ++iteration) {
      long double previous = 0;
      long double p = 1;
      for (int64_t l = 1; l <= n; ++l) {
        const auto d = static_cast<long double>(l);
        const long double next = ((2 * d - 1) * x * p - (d - 1) * previous) / d;
        previous = p;
        p = next;
      }
      slope = static_cast<long double>(n) * (x * p - previous) / (x * x - 1);
      const long double change = p / slope;
      x -= change;
      if (std::abs(change) < 1e-18L) break;
    }
    rule.abscissa[index(i)] = static_cast<double>(x);
    rule.weight[index(i)] = static_cast<double>(2 / ((1 - x * x) * slope * slope));
  }
  return rule;
}

EvenToGaussian::EvenToGaussian(std::int64_t nlat) : nlat_(nlat) {
  // P_lm of even m is a sum of cosines of the polar distance, of odd m one of sines; the even latitudes lie in the
  // middles of nlat cells from pole to pole.
  constexpr double pi = std::numbers::pi;
  const auto n = static_cast<double>(nlat);
  for (const double mu : gauss_rule(nlat).abscissa) {
    const double at = std::acos(-mu);  // from the south pole
    for (int64_t j = 0; j < nlat; ++j) {
      const double from = pi * (static_cast<double>(j) + 0.5) / n;
      double cosines = 1 / n;
      double sines = 0;
      for (int64_t k = 1; k < nlat; ++k) {
        const auto wave = static_cast<double>(k);
        cosines += 2 / n * std::cos(wave * at) * std::cos(wave * from);
        sines += 2 / n * std::sin(wave * at) * std::sin(wave * from);
      }
      even_orders_.push_back(cosines);
      odd_orders_.push_back(sines + std::sin(n * at) * std::sin(n * from) / n);
    }
  }
}

void EvenToGaussian::operator()(std::span<const double> even, std::span<double> gaussian) const {
  const int64_t nlon = 2 * nlat_;
  const int64_t points = nlat_ * nlon;
  if (even.size() != gaussian.size() || static_cast<int64_t>(even.size()) % points != 0)
    throw Error(
        fmt::format("spherical harmonics: {} values to {}, on grids of {}", even.size(), gaussian.size(), points));
  // Half a turn away even orders are the same, odd ones change sign.
  std::vector<double> sums(even.size());
  for (int64_t row = 0; row < static_cast<int64_t>(even.size()); row += nlon)
    for (int64_t i = 0; i < nlat_; ++i) {
      sums[index(row + i)] = 0.5 * (even[index(row + i)] + even[index(row + i + nlat_)]);
      sums[index(row + i + nlat_)] = 0.5 * (even[index(row + i)] - even[index(row + i + nlat_)]);
    }
  std::vector<double> line(index(nlon));
  for (int64_t first = 0; first < static_cast<int64_t>(even.size()); first += points)
    for (int64_t j = 0; j < nlat_; ++j) {
      std::fill(line.begin(), line.end(), 0.0);
      for (int64_t k = 0; k < nlat_; ++k) {
        const double* __restrict from = sums.data() + first + k * nlon;
        const double a = even_orders_[index(j * nlat_ + k)];
        const double b = odd_orders_[index(j * nlat_ + k)];
        for (int64_t i = 0; i < nlat_; ++i) line[index(i)] += a * from[i];
        for (int64_t i = nlat_; i < nlon; ++i) line[index(i)] += b * from[i];
      }
      double* const to = gaussian.data() + first + j * nlon;
      for (int64_t i = 0; i < nlat_; ++i) {
        to[i] = line[index(i)] + line[index(i + nlat_)];
        to[i + nlat_] = line[index(i)] - line[index(i + nlat_)];
      }
    }
}

}  // namespace levda::models
