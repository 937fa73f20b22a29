#include "models/spherical_harmonics.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <numbers>

#include "autodiff/error.h"
#include "autodiff/random.h"
#include "tests/autodiff/compare.h"

using levda::models::associated_legendre;
using levda::models::Coefficients;
using levda::models::gauss_rule;
using levda::models::SphericalHarmonics;
using levda::testing::largest;
using levda::testing::largest_difference;
using Latitudes = SphericalHarmonics::Latitudes;

namespace {

constexpr double round_off = 0x1p-53;

/// Normal coefficients up to degree `last`; the mean is 0.
Coefficients random_field(const SphericalHarmonics& harmonics, std::int64_t last, std::uint64_t seed) {
  levda::autodiff::Random random(seed);
  Coefficients result(static_cast<std::size_t>(harmonics.size()), 0.0);
  for (std::int64_t m = 0; m <= last; ++m)
    for (std::int64_t l = std::max<std::int64_t>(m, 1); l <= last; ++l) {
      const auto re = static_cast<std::size_t>(harmonics.at(l, m));
      result[re] = random.normal();
      if (m > 0) result[re + static_cast<std::size_t>(harmonics.imaginary(m))] = random.normal();
    }
  return result;
}

/// sum_lm f_lm P_lm(mu) exp(i m longitude), term by term.
double by_definition(const SphericalHarmonics& harmonics, const Coefficients& f, double mu, double longitude) {
  double sum = 0;
  for (std::int64_t m = 0; m <= harmonics.truncation(); ++m) {
    const auto p = associated_legendre(m, harmonics.truncation(), mu);
    for (std::int64_t l = m; l <= harmonics.truncation(); ++l) {
      const auto re = static_cast<std::size_t>(harmonics.at(l, m));
      const double c =
          f[re] * std::cos(static_cast<double>(m) * longitude) -
          f[re + static_cast<std::size_t>(harmonics.imaginary(m))] * std::sin(static_cast<double>(m) * longitude);
      sum += (m == 0 ? 1 : 2) * c * p[static_cast<std::size_t>(l - m)];
    }
  }
  return sum;
}

std::vector<double> synthesised(const SphericalHarmonics& harmonics, const Coefficients& f) {
  std::vector<double> grid(f.size() / static_cast<std::size_t>(harmonics.size()) *
                           static_cast<std::size_t>(harmonics.nlat() * harmonics.nlon()));
  SphericalHarmonics::Workspace work;
  harmonics.synthesis(f, grid, work);
  return grid;
}

}  // namespace

TEST_CASE("spherical harmonics: the rule of Gauss and Legendre is exact up to degree 2 n - 1") {
  for (const std::int64_t n : {1, 2, 5, 16, 63}) {
    const auto rule = gauss_rule(n);
    for (std::int64_t power = 0; power < 2 * n; ++power) {
      double sum = 0;
      for (std::int64_t i = 0; i < n; ++i)
        sum += rule.weight[static_cast<std::size_t>(i)] *
               std::pow(rule.abscissa[static_cast<std::size_t>(i)], static_cast<double>(power));
      const double exact = power % 2 == 1 ? 0 : 2 / static_cast<double>(power + 1);
      // Each abscissa is rounded, and so taken to the power `power`.
      CHECK(std::abs(sum - exact) <= 8 * static_cast<double>(n + power) * round_off);
    }
  }
}

TEST_CASE("spherical harmonics: Legendre functions are the known ones, and orthonormal") {
  for (const double mu : {-0.9, 0.0, 0.3, 0.99}) {
    const double c = std::sqrt(1 - mu * mu);
    CHECK(std::abs(associated_legendre(0, 2, mu)[2] - std::sqrt(5.0) * 0.5 * (3 * mu * mu - 1)) <= 10 * round_off);
    CHECK(std::abs(associated_legendre(1, 2, mu)[1] - std::sqrt(7.5) * mu * c) <= 10 * round_off);
    CHECK(std::abs(associated_legendre(2, 2, mu)[0] - std::sqrt(15.0 / 8) * c * c) <= 10 * round_off);
  }
  const auto rule = gauss_rule(180);
  for (const std::int64_t m : {0, 1, 7, 100, 169}) {
    constexpr std::int64_t last = 171;
    std::vector<std::vector<double>> p;
    for (const double mu : rule.abscissa) p.push_back(associated_legendre(m, last, mu));
    double worst = 0;
    for (std::int64_t k = m; k <= last; ++k)
      for (std::int64_t l = m; l <= k; ++l) {
        double sum = k == l ? -1 : 0;
        for (std::size_t j = 0; j < p.size(); ++j)
          sum += 0.5 * rule.weight[j] * p[j][static_cast<std::size_t>(k - m)] * p[j][static_cast<std::size_t>(l - m)];
        worst = std::max(worst, std::abs(sum));
      }
    // The recurrence loses about one unit per degree.
    CHECK(worst <= 4 * last * round_off);
  }
}

TEST_CASE("spherical harmonics: there and back, several fields at once") {
  for (const auto& [truncation, nlat] :
       std::array<std::array<std::int64_t, 2>, 4>{{{10, 16}, {9, 16}, {15, 24}, {21, 32}}}) {
    const SphericalHarmonics harmonics(truncation, nlat, Latitudes::gaussian);
    CHECK(harmonics.nlon() == 2 * nlat);
    Coefficients fields;
    for (const std::uint64_t seed : {1, 2, 3}) {
      const Coefficients one = random_field(harmonics, truncation, seed);
      fields.insert(fields.end(), one.begin(), one.end());
    }
    fields[0] = 2.5;  // a mean
    SphericalHarmonics::Workspace work;
    const std::vector<double> grid = synthesised(harmonics, fields);
    Coefficients back(fields.size());
    harmonics.analysis(grid, back, work);
    CHECK(largest_difference(fields, back) <= 1e-12);
    CHECK(largest(grid) > 10);
    // The mean square, of the grid and of the coefficients.
    const auto rule = gauss_rule(nlat);
    double square = 0;
    double coefficients = 0;
    for (std::int64_t j = 0; j < nlat; ++j)
      for (std::int64_t i = 0; i < 2 * nlat; ++i)
        square += 0.5 * rule.weight[static_cast<std::size_t>(j)] *
                  std::pow(grid[static_cast<std::size_t>(j * 2 * nlat + i)], 2) / static_cast<double>(2 * nlat);
    for (std::int64_t m = 0; m <= truncation; ++m)
      for (std::int64_t l = m; l <= truncation; ++l)
        for (const std::int64_t part : {0, 1})
          coefficients +=
              (m == 0 ? 1 : 2) *
              std::pow(fields[static_cast<std::size_t>(harmonics.at(l, m) + part * harmonics.imaginary(m))], 2);
    CHECK(std::abs(square / coefficients - 1) <= 1e-12);
  }
}

TEST_CASE("spherical harmonics: both grids hold the sum that defines a field, so they hold the same field") {
  constexpr std::int64_t nlat = 16;
  for (const Latitudes latitudes : {Latitudes::gaussian, Latitudes::even}) {
    const SphericalHarmonics harmonics(10, nlat, latitudes);
    const Coefficients f = random_field(harmonics, 10, 5);
    const std::vector<double> grid = synthesised(harmonics, f);
    double worst = 0;
    for (std::int64_t j = 0; j < nlat; ++j) {
      const double mu = latitudes == Latitudes::even
                            ? std::sin((-90 + (static_cast<double>(j) + 0.5) * 180 / nlat) * std::numbers::pi / 180)
                            : gauss_rule(nlat).abscissa[static_cast<std::size_t>(j)];
      CHECK(std::abs(harmonics.mu(j) - mu) <= 2 * round_off);
      for (std::int64_t i = 0; i < 2 * nlat; ++i)
        worst =
            std::max(worst, std::abs(by_definition(harmonics, f, mu, static_cast<double>(i) * std::numbers::pi / nlat) -
                                     grid[static_cast<std::size_t>(j * 2 * nlat + i)]));
    }
    CHECK(worst <= 1e-12);
  }
}

TEST_CASE("spherical harmonics: a wind has the vorticity and divergence it was made of, and is their gradient") {
  constexpr std::int64_t nlat = 32;
  constexpr std::int64_t points = nlat * 2 * nlat;
  const SphericalHarmonics harmonics(21, nlat, Latitudes::gaussian);
  const auto size = static_cast<std::size_t>(harmonics.size());
  const Coefficients vorticity = random_field(harmonics, 21, 1);
  const Coefficients divergence = random_field(harmonics, 21, 2);
  Coefficients wind(2 * size);
  harmonics.wind(vorticity.data(), divergence.data(), wind.data(), wind.data() + size);
  const std::vector<double> grid = synthesised(harmonics, wind);
  Coefficients analysed(2 * size);
  SphericalHarmonics::Workspace work;
  harmonics.wind_analysis(grid, analysed, work);
  Coefficients found(size);
  harmonics.curl(analysed.data(), analysed.data() + size, found.data());
  CHECK(largest_difference(found, vorticity) <= 1e-12);
  harmonics.divergence(analysed.data(), analysed.data() + size, found.data());
  CHECK(largest_difference(found, divergence) <= 1e-12);

  // U = dchi/dlongitude - cos(latitude) dpsi/dlatitude and V alike, by differences of the sum that defines chi and psi.
  Coefficients psi = harmonics.by_degree(
      [](std::int64_t l, std::int64_t) { return l == 0 ? 0 : -1.0 / static_cast<double>(l * (l + 1)); });
  Coefficients chi = psi;
  for (std::size_t k = 0; k < size; ++k) {
    psi[k] *= vorticity[k];
    chi[k] *= divergence[k];
  }
  constexpr double h = 1e-4;
  for (const std::int64_t j : {0, 3, 17, 30})
    for (const std::int64_t i : {0, 20, 47}) {
      const double latitude = std::asin(harmonics.mu(j));
      const double longitude = static_cast<double>(i) * std::numbers::pi / nlat;
      const auto slope = [&](const Coefficients& f, bool east) {
        const auto at = [&](double step) {
          return by_definition(harmonics, f, std::sin(latitude + (east ? 0 : step)), longitude + (east ? step : 0));
        };
        return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
      };
      const double c = std::cos(latitude);
      // Differences: round-off of fields of about 5 over h; the fifth derivative adds 5 (21 h)^4.
      const double tolerance = 20 * 5 * round_off / h + 5 * std::pow(21 * h, 4);
      const auto k = static_cast<std::size_t>(j * 2 * nlat + i);
      CHECK(std::abs(grid[k] - (slope(chi, true) - c * slope(psi, false))) <= tolerance);
      CHECK(std::abs(grid[points + k] - (slope(psi, true) + c * slope(chi, false))) <= tolerance);
    }
}

TEST_CASE(
    "spherical harmonics: a gradient has no curl, a rotated one no divergence, and twice a gradient is the Laplacian") {
  const SphericalHarmonics harmonics(10, 16, Latitudes::gaussian);
  const auto size = static_cast<std::size_t>(harmonics.size());
  const Coefficients f = random_field(harmonics, 10, 3);
  const Coefficients zero(size, 0.0);
  const Coefficients laplacian =
      harmonics.by_degree([](std::int64_t l, std::int64_t) { return -static_cast<double>(l * (l + 1)); });
  Coefficients source(size);
  for (std::size_t k = 0; k < size; ++k) source[k] = laplacian[k] * f[k];
  for (const bool gradient : {true, false}) {
    Coefficients wind(2 * size);
    harmonics.wind(gradient ? zero.data() : source.data(), gradient ? source.data() : zero.data(), wind.data(),
                   wind.data() + size);
    Coefficients analysed(2 * size);
    SphericalHarmonics::Workspace work;
    harmonics.wind_analysis(synthesised(harmonics, wind), analysed, work);
    Coefficients curl(size);
    Coefficients divergence(size);
    harmonics.curl(analysed.data(), analysed.data() + size, curl.data());
    harmonics.divergence(analysed.data(), analysed.data() + size, divergence.data());
    const double tolerance = 1e-12 * 110;
    CHECK(largest_difference(gradient ? divergence : curl, source) <= tolerance);
    CHECK(largest(gradient ? curl : divergence) <= tolerance);
  }
}

TEST_CASE("spherical harmonics: products of fields, point by point, do not alias") {
  constexpr std::int64_t nlat = 16;
  const SphericalHarmonics harmonics(10, nlat, Latitudes::gaussian);
  // (f grad chi) of degree 10 each, against the same on a grid that resolves the product.
  const SphericalHarmonics finer(21, 32, Latitudes::gaussian);
  const auto divergence_of_product = [&](const SphericalHarmonics& at) {
    const auto n = static_cast<std::size_t>(at.size());
    Coefficients in;
    const Coefficients f = random_field(at, 10, 4);
    const Coefficients chi = random_field(at, 10, 6);
    const Coefficients zero(n, 0.0);
    in.insert(in.end(), f.begin(), f.end());
    in.resize(3 * n);
    at.wind(zero.data(), chi.data(), in.data() + n, in.data() + 2 * n);
    Coefficients out(2 * n);
    SphericalHarmonics::Workspace own;
    at.through_grid(
        in,
        [&](const double* from, double* to) {
          const std::int64_t count = at.nlat();
          for (std::int64_t j = 0; j < count; ++j) {
            to[j] = from[j] * from[count + j];
            to[count + j] = from[j] * from[2 * count + j];
          }
        },
        out, own);
    Coefficients result(n);
    at.divergence(out.data(), out.data() + n, result.data());
    return result;
  };
  const Coefficients coarse = divergence_of_product(harmonics);
  const Coefficients fine = divergence_of_product(finer);
  double worst = 0;
  double size_of_it = 0;
  for (std::int64_t m = 0; m <= 10; ++m)
    for (std::int64_t l = m; l <= 10; ++l)
      for (const std::int64_t part : {0, 1}) {
        const double a = coarse[static_cast<std::size_t>(harmonics.at(l, m) + part * harmonics.imaginary(m))];
        const double b = fine[static_cast<std::size_t>(finer.at(l, m) + part * finer.imaginary(m))];
        worst = std::max(worst, std::abs(a - b));
        size_of_it = std::max(size_of_it, std::abs(b));
      }
  CHECK(worst <= 1e-12 * size_of_it);
  CHECK(size_of_it > 1);
}

TEST_CASE("spherical harmonics: what makes no sense is named") {
  CHECK_THROWS_WITH_AS(SphericalHarmonics(10, 20, Latitudes::even),
                       "spherical harmonics: 20 latitudes are not a multiple of 8", levda::Error);
  CHECK_THROWS_WITH_AS(SphericalHarmonics(11, 16, Latitudes::gaussian),
                       "spherical harmonics: truncation 11 is not in 1 .. 10, what 16 latitudes resolve", levda::Error);
  const SphericalHarmonics harmonics(10, 16, Latitudes::even);
  Coefficients f(static_cast<std::size_t>(harmonics.size()));
  std::vector<double> grid(16 * 32);
  SphericalHarmonics::Workspace work;
  CHECK_THROWS_WITH_AS(harmonics.analysis(grid, f, work),
                       "spherical harmonics: there is no analysis on evenly spaced latitudes", levda::Error);
  grid.pop_back();
  const std::string message = fmt::format(
      "spherical harmonics: {0} coefficients of {0} per field, but 511 values on a grid of 512", harmonics.size());
  CHECK_THROWS_WITH_AS(harmonics.synthesis(f, grid, work), message.c_str(), levda::Error);
}

TEST_CASE("spherical harmonics: from even latitudes to Gaussian ones, exactly") {
  for (const auto& [truncation, nlat] : std::array<std::array<std::int64_t, 2>, 2>{{{10, 16}, {15, 24}}}) {
    const SphericalHarmonics even(truncation, nlat, Latitudes::even);
    const SphericalHarmonics gaussian(truncation, nlat, Latitudes::gaussian);
    Coefficients fields = random_field(even, truncation, 1);
    fields[0] = 2.5;  // a mean
    const Coefficients other = random_field(even, truncation, 2);
    fields.insert(fields.end(), other.begin(), other.end());
    const std::vector<double> from = synthesised(even, fields);
    std::vector<double> to(from.size());
    const levda::models::EvenToGaussian convert(nlat);
    convert(from, to);
    // Sums of nlat terms.
    CHECK(largest_difference(to, synthesised(gaussian, fields)) <=
          10 * static_cast<double>(nlat) * largest(from) * round_off);
    to.pop_back();
    CHECK_THROWS_AS(convert(from, to), levda::Error);
  }
}
